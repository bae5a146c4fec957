"""Boxes as tensors: overlaps, distances to points, suppression."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import nms


class Decoded(NamedTuple):
    """Boxes of a batch, N for each picture, best first.

    Attributes:
        boxes: [B, N, 4] float32, ``x1 y1 x2 y2`` in canvas pixels.
        scores: [B, N] float32, 0..1.
        labels: [B, N] int64.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes [..., 4] and [..., 4], broadcast; 0 for empty ones."""
    inter, union = _overlap(a, b)
    return inter / union.clamp(min=1e-9)


def _overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    ax1, ay1, ax2, ay2 = a.unbind(-1)
    bx1, by1, bx2, by2 = b.unbind(-1)
    width = (torch.minimum(ax2, bx2) - torch.maximum(ax1, bx1)).clamp(min=0)
    height = (torch.minimum(ay2, by2) - torch.maximum(ay1, by1)).clamp(min=0)
    inter = width * height
    area_a, area_b = (ax2 - ax1) * (ay2 - ay1), (bx2 - bx1) * (by2 - by1)
    return inter, area_a + area_b - inter


def complete_iou(a: Tensor, b: Tensor) -> Tensor:
    """CIoU (Zheng et al. 2020) of paired boxes [N, 4]: IoU less a distance and an aspect term.

    The aspect term's weight is a constant for the gradient, as in the paper.
    """
    iou = box_iou(a, b)
    ax1, ay1, ax2, ay2 = a.unbind(-1)
    bx1, by1, bx2, by2 = b.unbind(-1)
    hull_w = torch.maximum(ax2, bx2) - torch.minimum(ax1, bx1)
    hull_h = torch.maximum(ay2, by2) - torch.minimum(ay1, by1)
    diagonal = (hull_w**2 + hull_h**2).clamp(min=1e-9)
    distance = ((ax1 + ax2 - bx1 - bx2) ** 2 + (ay1 + ay2 - by1 - by2) ** 2) / 4
    angle_a = torch.atan((ax2 - ax1) / (ay2 - ay1).clamp(min=1e-6))
    angle_b = torch.atan((bx2 - bx1) / (by2 - by1).clamp(min=1e-6))
    aspect = (4 / math.pi**2) * (angle_a - angle_b) ** 2
    with torch.no_grad():
        weight = aspect / (1 - iou + aspect).clamp(min=1e-9)
    return iou - distance / diagonal - weight * aspect


def generalised_iou(a: Tensor, b: Tensor) -> Tensor:
    """GIoU (Rezatofighi et al. 2019) of paired boxes [N, 4]: IoU less the hull's empty part."""
    inter, union = _overlap(a, b)
    ax1, ay1, ax2, ay2 = a.unbind(-1)
    bx1, by1, bx2, by2 = b.unbind(-1)
    hull_w = torch.maximum(ax2, bx2) - torch.minimum(ax1, bx1)
    hull_h = torch.maximum(ay2, by2) - torch.minimum(ay1, by1)
    hull = hull_w * hull_h
    return inter / union.clamp(min=1e-9) - (hull - union) / hull.clamp(min=1e-9)


def grid_points(
    sizes: list[tuple[int, int]], strides: list[int], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Centres of the cells of several maps.

    Returns:
        Points [A, 2] (x, y) in canvas pixels and the stride [A] of each, map after map, row by row.
    """
    points, of_stride = [], []
    for (height, width), stride in zip(sizes, strides, strict=True):
        y = (torch.arange(height, device=device, dtype=torch.float32) + 0.5) * stride
        x = (torch.arange(width, device=device, dtype=torch.float32) + 0.5) * stride
        grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
        points.append(torch.stack([grid_x, grid_y], -1).reshape(-1, 2))
        of_stride.append(torch.full((height * width,), float(stride), device=device))
    return torch.cat(points), torch.cat(of_stride)


def boxes_from_distances(points: Tensor, distances: Tensor) -> Tensor:
    """Boxes [..., A, 4] whose left, top, right, bottom lie ``distances`` away from the points."""
    return torch.cat([points - distances[..., :2], points + distances[..., 2:]], -1)


def suppress(decoded: Decoded, confidence: float, iou: float, limit: int) -> list[Decoded]:
    """Non-maximum suppression within each class, picture by picture.

    Boxes that aren't finite and scores of NaN are passed over.

    Returns:
        For each picture its boxes [n, 4], scores [n] and labels [n] with n <= ``limit``.
    """
    kept = []
    if decoded.boxes.device.type == "mps":  # which has no float64
        decoded = Decoded(*(t.cpu() for t in decoded))
    for boxes, scores, labels in zip(*decoded, strict=True):
        enough = (scores >= confidence) & boxes.isfinite().all(1)
        boxes, scores, labels = boxes[enough], scores[enough], labels[enough]
        # classes are moved apart in float64, which costs no precision at any canvas size
        span = boxes.max() - boxes.min() + 1 if len(boxes) else boxes.new_zeros(())
        apart = boxes.double() + (labels * span.double())[:, None]
        best = nms(apart, scores.double(), iou)[:limit]
        kept.append(Decoded(boxes[best], scores[best], labels[best]))
    return kept
