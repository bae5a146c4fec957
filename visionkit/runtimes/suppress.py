"""Non-maximum suppression as :func:`visionkit.ops.boxes.suppress` does it, without torch."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Found(NamedTuple):
    """Boxes of one picture.

    Attributes:
        boxes: [N, 4] float32, ``x1 y1 x2 y2`` in pixels.
        scores: [N] float32.
        labels: [N] int64.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]

    def take(self, which: NDArray[np.bool_] | NDArray[np.int64] | slice) -> "Found":
        """Return some of the boxes: those marked, or those at the given places."""
        return Found(self.boxes[which], self.scores[which], self.labels[which])


def enough(found: Found, confidence: float) -> Found:
    """Return the boxes with a score of at least ``confidence``, and of at least 0.

    Boxes that aren't finite and scores of NaN are passed over.
    """
    sure = found.scores >= max(confidence, 0.0)
    return found.take(sure & np.isfinite(found.boxes).all(1))


def best_first(found: Found) -> Found:
    """Return all boxes by descending score; equals keep their order."""
    return found.take(np.argsort(-found.scores, kind="stable"))


def best(boxes: NDArray[np.float32], scores: NDArray[np.float32], count: int) -> Found:
    """Return the boxes and classes with the largest scores, best first; the first of equals.

    Args:
        boxes: [N, 4].
        scores: [N, K], of each box for each class.
        count: at most so many are returned; of one box there may be several, each of another class.
    """
    flat = np.where(np.isnan(scores), -np.inf, scores).ravel()
    if count < len(flat):
        cut = np.partition(flat, len(flat) - count)[len(flat) - count]
        above, equal = np.flatnonzero(flat > cut), np.flatnonzero(flat == cut)
        place = np.sort(np.concatenate([above, equal[: count - len(above)]]))
    else:
        place = np.arange(len(flat))
    place = place[np.argsort(-flat[place], kind="stable")]
    row, label = np.divmod(place, scores.shape[1])
    return Found(boxes[row], scores[row, label], label)


def suppress(found: Found, confidence: float, iou: float, limit: int) -> Found:
    """Non-maximum suppression within each class.

    Args:
        found: boxes in any order.
        confidence: see :func:`enough`.
        iou: a box that overlaps a better one of its class by more than this is left out.
        limit: the most boxes that are kept.

    Returns:
        What is kept, best first.
    """
    sure = enough(found, confidence)
    return sure.take(unsuppressed(sure, iou, limit))


def unsuppressed(found: Found, iou: float, limit: int | None = None) -> NDArray[np.int64]:
    """Return the places of boxes that no better one of their class suppresses, best first.

    The arithmetic is that of :func:`visionkit.ops.boxes.suppress` to the last bit: classes are
    moved apart in float64, and of boxes with equal scores the first is the better one.

    Args:
        found: finite boxes in any order.
        iou: a box that overlaps a better one by more than this is suppressed.
        limit: stop when so many are found.
    """
    boxes, scores, labels = found
    order = np.argsort(-scores.astype(np.float64), kind="stable")
    limit = len(order) if limit is None else limit
    if iou >= 1 or not len(order):  # nothing overlaps by more
        return order[:limit]
    span = np.float64(boxes.max() - boxes.min() + 1)
    apart = boxes.astype(np.float64) + (labels * span)[:, None]
    x1, y1, x2, y2 = np.ascontiguousarray(apart[order].T)
    area = (x2 - x1) * (y2 - y1)
    kept: list[int] = []
    left = np.arange(len(order))
    with np.errstate(divide="ignore", invalid="ignore"):  # two empty boxes don't overlap
        while len(left) and len(kept) < limit:
            first, left = left[0], left[1:]
            kept.append(int(first))
            width = np.minimum(x2[first], x2[left]) - np.maximum(x1[first], x1[left])
            height = np.minimum(y2[first], y2[left]) - np.maximum(y1[first], y1[left])
            shared = np.maximum(width, 0) * np.maximum(height, 0)
            overlap = shared / (area[first] + area[left] - shared)
            left = left[~(overlap > iou)]
    return order[kept]
