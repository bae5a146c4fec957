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


def pad_targets(targets: BoxTargets, batch_size: int, least: int = 0) -> Padded:
    """Spread flat targets over pictures; G is the most boxes of a picture, at least ``least``."""
    counts = torch.bincount(targets.image, minlength=batch_size)
    most = max(least, int(counts.max()) if len(targets.image) else 0)
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
    target = scores.new_zeros(batch * count, dtype=torch.long)
    quality = scores.new_zeros(batch * count)
    if objects == 0:
        shape = (batch, count)
        return Assignment(quality.bool().view(shape), target.view(shape), quality.view(shape))
    centre = (truth.boxes[..., :2] + truth.boxes[..., 2:]) / 2
    reach = ((truth.boxes[..., 2:] - truth.boxes[..., :2]) / 2).clamp(min=min_side / 2 + 1e-4)
    x, y = points.unbind(-1)
    within = (x - centre[..., :1]).abs() < reach[..., :1]
    within &= (y - centre[..., 1:]).abs() < reach[..., 1:]
    within &= truth.real[..., None]

    # few points lie within an object: go on with the pairs that do, in order of object and point
    image, slot, point = within.nonzero(as_tuple=True)
    item, place = image * objects + slot, image * count + point
    overlap = box_iou(truth.boxes.flatten(0, 1)[item], boxes.flatten(0, 1)[place])
    score = scores.flatten(0, 1)[place, truth.labels.flatten()[item]]
    measure = score.pow(alpha) * overlap.pow(beta)

    best_first = measure.argsort(descending=True, stable=True)
    best_first = best_first[item[best_first].argsort(stable=True)]
    counts = torch.bincount(item, minlength=batch * objects)
    before = (counts.cumsum(0) - counts)[item[best_first]]
    nth = torch.arange(len(item), device=item.device) - before
    chosen = best_first[nth < topk].sort().values
    item, place, slot = item[chosen], place[chosen], slot[chosen]
    overlap, measure = overlap[chosen], measure[chosen]

    most = torch.full_like(quality, -1).scatter_reduce_(0, place, overlap, "amax")
    rival = torch.where(overlap == most[place], slot, objects)
    owner = torch.full_like(target, objects).scatter_reduce_(0, place, rival, "amin")
    kept = slot == owner[place]
    item, place, slot = item[kept], place[kept], slot[kept]
    overlap, measure = overlap[kept], measure[kept]

    none = quality.new_zeros(batch * objects)
    most_aligned = none.scatter_reduce(0, item, measure, "amax").clamp(min=1e-30)
    most_overlap = none.scatter_reduce(0, item, overlap, "amax")
    quality[place] = measure / most_aligned[item] * most_overlap[item]
    target[place] = slot
    positive = torch.zeros_like(quality, dtype=torch.bool)
    positive[place] = True
    shape = (batch, count)
    return Assignment(positive.view(shape), target.view(shape), quality.view(shape))
