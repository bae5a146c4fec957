"""Which points of a detector's grid answer for which object."""

from typing import NamedTuple

import torch
from torch import Tensor

from visionkit.batch import BoxTargets
from visionkit.ops.boxes import box_iou


class Padded(NamedTuple):
    """The boxes of a batch with G slots for each picture.

    Attributes:
        boxes: [B, G, 4] float32.
        labels: [B, G] int64.
        real: [B, G] bool, False for slots without a box.
    """

    boxes: Tensor
    labels: Tensor
    real: Tensor


def pad_targets(targets: BoxTargets, batch_size: int) -> Padded:
    """Spread flat targets over pictures; G is the most boxes that any picture has."""
    counts = torch.bincount(targets.image, minlength=batch_size)
    most = int(counts.max()) if len(targets.image) else 0
    device = targets.boxes.device
    order = torch.argsort(targets.image, stable=True)
    image = targets.image[order]
    slot = torch.arange(len(image), device=device) - (counts.cumsum(0) - counts)[image]
    boxes = torch.zeros(batch_size, most, 4, device=device)
    labels = torch.zeros(batch_size, most, dtype=torch.long, device=device)
    real = torch.zeros(batch_size, most, dtype=torch.bool, device=device)
    boxes[image, slot] = targets.boxes[order].float()
    labels[image, slot] = targets.labels[order]
    real[image, slot] = True
    return Padded(boxes, labels, real)


class Assignment(NamedTuple):
    """For each of A points of each picture, the object it answers for.

    Attributes:
        positive: [B, A] bool.
        target: [B, A] int64, the object's slot (0 where there is none).
        quality: [B, A] float32, the score the point should give its object's class, 0 elsewhere.
    """

    positive: Tensor
    target: Tensor
    quality: Tensor


@torch.no_grad()
def task_aligned(
    scores: Tensor,
    boxes: Tensor,
    points: Tensor,
    truth: Padded,
    *,
    topk: int,
    alpha: float,
    beta: float,
    min_side: float,
) -> Assignment:
    """Task-aligned assignment (Feng et al. 2021, TOOD).

    A point is measured for an object by ``score**alpha * iou**beta``; the ``topk`` best points
    within the object's box answer for it, and a point chosen by several objects goes to the one
    that its box overlaps most. The wanted score is the measure, scaled so that an object's best
    point gets the object's largest IoU.

    Args:
        scores: [B, A, K] predicted probabilities.
        boxes: [B, A, 4] predicted boxes.
        points: [A, 2] x and y.
        truth: the objects.
        topk: points for each object.
        alpha: power of the score.
        beta: power of the overlap.
        min_side: boxes are taken as at least this wide and high when looking for points within,
            so that an object smaller than a cell has one too. In pixels, the finest stride.
    """
    batch, count = scores.shape[:2]
    objects = truth.boxes.shape[1]
    if objects == 0:
        zero = scores.new_zeros(batch, count)
        return Assignment(zero.bool(), zero.long(), zero)
    centre = (truth.boxes[..., :2] + truth.boxes[..., 2:]) / 2
    reach = ((truth.boxes[..., 2:] - truth.boxes[..., :2]) / 2).clamp(min=min_side / 2 + 1e-4)
    away = (points - centre[:, :, None]).abs() < reach[:, :, None]
    candidate = away.all(-1) & truth.real[..., None]  # [B, G, A]
    overlap = box_iou(truth.boxes[:, :, None], boxes[:, None]) * candidate
    index = truth.labels[..., None].expand(-1, -1, count)
    score = scores.transpose(1, 2).gather(1, index)
    measure = score.pow(alpha) * overlap.pow(beta) * candidate

    # a candidate without any overlap yet still outranks a point outside
    rank = torch.where(candidate, measure, -torch.ones_like(measure))
    best = rank.topk(min(topk, count), dim=-1).indices
    chosen = torch.zeros_like(candidate).scatter_(-1, best, True) & candidate

    claims = chosen.sum(1)  # [B, A]
    owner = torch.where(chosen, overlap, -torch.ones_like(overlap)).argmax(1)
    only = torch.zeros_like(chosen).scatter_(1, owner[:, None], True)
    chosen &= only
    positive = claims > 0
    target = torch.where(positive, owner, torch.zeros_like(owner))

    measure = measure * chosen
    most_aligned = measure.amax(-1, keepdim=True)
    most_overlap = (overlap * chosen).amax(-1, keepdim=True)
    quality = (measure / most_aligned.clamp(min=1e-30) * most_overlap).amax(1)
    return Assignment(positive, target, quality)
