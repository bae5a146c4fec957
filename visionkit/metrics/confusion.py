"""Which class is taken for which: the confusion matrix of a detector."""

import numpy as np
from numpy.typing import NDArray


def confusion_matrix(
    truth_boxes: NDArray[np.floating],
    truth_labels: NDArray[np.int64],
    boxes: NDArray[np.floating],
    scores: NDArray[np.floating],
    labels: NDArray[np.int64],
    num_classes: int,
    *,
    crowd: NDArray[np.bool_] | None = None,
    confidence: float = 0.25,
    iou: float = 0.5,
) -> NDArray[np.int64]:
    """Count true against predicted classes in one picture; matrices of pictures add up.

    Detections choose in the order of their scores, each the free truth that it overlaps most, of
    any class. What stays free is background: a truth without detection is counted in the last
    column (missed), a detection without truth in the last row (invented). Detections that lie in a
    crowd without a truth of their own are not counted.

    Args:
        truth_boxes: [T, 4] ``x1 y1 x2 y2``.
        truth_labels: [T] int64.
        boxes: [D, 4], in the same pixels.
        scores: [D].
        labels: [D] int64.
        num_classes: K.
        crowd: [T] bool, truths that stand for many objects.
        confidence: detections below it are left out.
        iou: the overlap that makes a match.

    Returns:
        [K + 1, K + 1] int64, rows true, columns predicted.
    """
    matrix = np.zeros((num_classes + 1, num_classes + 1), np.int64)
    crowd = np.zeros(len(truth_labels), bool) if crowd is None else crowd
    keep = np.flatnonzero(scores >= confidence)
    keep = keep[np.argsort(-scores[keep], kind="stable")]
    boxes, labels = boxes[keep], labels[keep]
    overlap = _overlaps(boxes, truth_boxes[~crowd])
    inside = _overlaps(boxes, truth_boxes[crowd], of_first=True)
    truth_labels = truth_labels[~crowd]
    # of truths that overlap equally, the one of the same class is meant
    preference = overlap + 1e-9 * (labels[:, None] == truth_labels[None])
    free = np.ones(len(truth_labels), bool)
    for i, label in enumerate(labels.tolist()):
        candidates = np.flatnonzero(free & (overlap[i] >= iou))
        if len(candidates):
            chosen = candidates[np.argmax(preference[i, candidates])]
            free[chosen] = False
            matrix[truth_labels[chosen], label] += 1
        elif not (inside[i] >= iou).any():
            matrix[num_classes, label] += 1
    matrix[:num_classes, num_classes] += np.bincount(truth_labels[free], minlength=num_classes)
    return matrix


def _overlaps(
    a: NDArray[np.floating], b: NDArray[np.floating], of_first: bool = False
) -> NDArray[np.float64]:
    """Intersection over union [A, B], or over the area of the first box."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    area_a, area_b = ((x[:, 2:] - x[:, :2]).prod(-1) for x in (a, b))
    whole = area_a[:, None] + (0 if of_first else area_b[None] - shared)
    return np.asarray(shared / np.maximum(whole, 1e-12), np.float64)
