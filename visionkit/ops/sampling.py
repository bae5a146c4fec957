"""Which of many boxes a two-stage detector learns from."""

from typing import NamedTuple

import torch
from torch import Tensor

from visionkit.ops.assignment import Padded
from visionkit.ops.boxes import box_iou

PAIRS = 2**20
"""Of boxes and objects that are compared at a time."""


class Matched(NamedTuple):
    """What each of N boxes of each picture is to learn.

    Attributes:
        positive: [B, N] bool, it is an object.
        negative: [B, N] bool, it is background; a box that is neither teaches nothing.
        slot: [B, N] int64, the object it overlaps most.
    """

    positive: Tensor
    negative: Tensor
    slot: Tensor


@torch.no_grad()
def match_anchors(anchors: Tensor, truth: Padded, high: float, low: float) -> Matched:
    """Match anchors to objects (Ren et al. 2015).

    An anchor is an object's from an IoU of ``high`` on, and background below ``low`` of all. An
    object's best anchors (several, if they are equal) are an object whatever the IoU, if not zero;
    they too learn the object that they overlap most.

    Args:
        anchors: [A, 4], the same for all pictures.
        truth: the objects.
        high: 0..1.
        low: at most ``high``.
    """
    shape = (len(truth.boxes), len(anchors))
    slot = torch.zeros(shape, dtype=torch.long, device=anchors.device)
    positive = torch.zeros(shape, dtype=torch.bool, device=anchors.device)
    negative = torch.ones_like(positive)
    # coordinate by coordinate, and a picture at a time: all of a batch's overlaps wouldn't fit
    # into a processor's cache, and with many boxes not even into a GPU's memory
    x1, y1, x2, y2 = anchors.T.contiguous()
    area = (x2 - x1) * (y2 - y1)
    for i, count in enumerate(truth.real.sum(1).tolist()):
        if count == 0:
            continue
        left, top, right, bottom = truth.boxes[i, :count, :, None].unbind(1)
        width = torch.minimum(right, x2).sub_(torch.maximum(left, x1)).clamp_(min=0)
        height = torch.minimum(bottom, y2).sub_(torch.maximum(top, y1)).clamp_(min=0)
        inter = width.mul_(height)
        iou = inter.div_(((right - left) * (bottom - top) + area).sub_(inter))
        most, slot[i] = iou.max(0)
        best = iou.amax(1, keepdim=True).clamp_(min=1e-6)
        positive[i] = (most >= high) | (iou >= best).any(0)
        negative[i] = (most < low) & ~positive[i]
    return Matched(positive, negative, slot)


@torch.no_grad()
def best_object(boxes: Tensor, objects: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """Find the object that each box overlaps most.

    Args:
        boxes: [B, N, 4].
        objects: [B, G, 4], with G > 0.
        real: [B, G] bool.

    Returns:
        Its IoU [B, N] (-1 where there is none) and slot [B, N].
    """
    ious, slots = [], []
    rows = PAIRS // max(1, real.numel())
    for part in torch.split(boxes, max(1, rows), 1):
        iou = box_iou(part[:, :, None], objects[:, None])
        found = torch.where(real[:, None], iou, -1.0).max(-1)
        ious.append(found.values)
        slots.append(found.indices)
    return torch.cat(ious, 1), torch.cat(slots, 1)


class Sampled(NamedTuple):
    """Boxes chosen at random, S of each picture: positives first.

    Attributes:
        place: [B, S] int64, which of the N boxes.
        taken: [B, S] bool, False where there weren't enough.
        positive: [B, S] bool.
    """

    place: Tensor
    taken: Tensor
    positive: Tensor


@torch.no_grad()
def sample(positive: Tensor, negative: Tensor, count: int, most: int) -> Sampled:
    """Choose ``count`` boxes of each picture, at most ``most`` of them positive.

    Negatives fill what positives leave. torch's random numbers decide.

    Args:
        positive: [B, N] bool.
        negative: [B, N] bool, nowhere where ``positive`` is.
        count: S, or N if that is less.
        most: at most ``count``.
    """
    candidates = positive.shape[1]
    key = torch.rand(positive.shape, device=positive.device)
    rank = torch.where(negative, key, -1.0)
    best, first = torch.where(positive, key, -1.0).topk(min(most, candidates), 1)
    # positives go before all negatives; a place without one keeps its rank
    rank = rank.scatter(1, first, torch.where(best >= 0, best + 1, rank.gather(1, first)))
    value, place = rank.topk(min(count, candidates), 1)
    return Sampled(place, value >= 0, value >= 1)
