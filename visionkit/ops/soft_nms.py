"""Suppression that lowers scores instead of removing boxes (Bodla et al. 2017)."""

from typing import Literal

import torch

from visionkit.ops.boxes import Decoded, box_iou


@torch.no_grad()
def soft_suppress(
    decoded: Decoded,
    confidence: float,
    iou: float,
    limit: int,
    how: Literal["linear", "gaussian"],
    sigma: float = 0.5,
) -> list[Decoded]:
    """Soft non-maximum suppression within each class, picture by picture.

    Again and again the box with the highest score is taken, and the scores of those left of its
    class fall with their overlap: ``linear``: beyond ``iou`` they are multiplied by 1 - overlap;
    ``gaussian``: by exp(-overlap^2 / ``sigma``). Boxes that aren't finite and scores of
    NaN are passed over.

    Args:
        decoded: N boxes of each picture.
        confidence: boxes end when their score falls below this.
        iou: of ``linear``.
        limit: the most boxes of a picture.
        how: as above.
        sigma: of ``gaussian``, above 0.

    Returns:
        For each picture its boxes [n, 4], scores [n] (as lowered) and labels [n] with n <=
        ``limit``, best first.
    """
    boxes, labels = decoded.boxes, decoded.labels
    least = max(confidence, 0.0)
    # scores never rise; what is taken or too low is marked by -1
    real = (decoded.scores >= least) & boxes.isfinite().all(2)
    boxes = torch.where(real[..., None], boxes, 0.0)
    left = torch.where(real, decoded.scores, -1.0)
    rounds = min(limit, boxes.shape[1])
    taken = labels.new_zeros(len(boxes), rounds)
    scores = left.new_full((len(boxes), rounds), -1.0)
    image = torch.arange(len(boxes), device=boxes.device)
    for n in range(rounds):
        best, place = left.max(1)
        if bool((best < least).all()):
            break
        taken[:, n], scores[:, n] = place, best
        overlap = box_iou(boxes, boxes[image, place][:, None])
        if how == "linear":
            factor = torch.where(overlap > iou, 1 - overlap, 1.0)
        else:
            factor = torch.exp(-overlap.square() / sigma)
        mine = (labels == labels[image, place][:, None]) & (left >= 0)
        left = torch.where(mine, left * factor, left)
        left[image, place] = -1.0
    found = []
    for i, (index, score) in enumerate(zip(taken, scores, strict=True)):
        enough = score >= least
        index, score = index[enough], score[enough]
        found.append(Decoded(boxes[i, index], score, labels[i, index]))
    return found
