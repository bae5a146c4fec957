"""Boxes as offsets from others (Girshick et al. 2014)."""

import math

import torch
from torch import Tensor

MOST_GROWTH = math.log(1000 / 16)
"""Of a side in one step, as a logarithm: an untrained network's boxes would overflow."""

Weights = tuple[float, float, float, float]
"""What the offsets of x, y, width and height are multiplied by, so that each varies by about 1."""


def encode_boxes(boxes: Tensor, anchors: Tensor, weights: Weights) -> Tensor:
    """Offsets that lead from anchors to boxes.

    Args:
        boxes: [..., 4] of positive width and height.
        anchors: [..., 4] of positive width and height.
        weights: see :data:`Weights`.

    Returns:
        [..., 4]: the way between the centres in sides of the anchor, and the logarithms of the
        sides' quotients, each times its weight.
    """
    x, y, width, height = _centres(boxes)
    anchor_x, anchor_y, anchor_width, anchor_height = _centres(anchors)
    return torch.stack(
        [
            weights[0] * (x - anchor_x) / anchor_width,
            weights[1] * (y - anchor_y) / anchor_height,
            weights[2] * torch.log(width / anchor_width),
            weights[3] * torch.log(height / anchor_height),
        ],
        -1,
    )


def decode_boxes(offsets: Tensor, anchors: Tensor, weights: Weights) -> Tensor:
    """Boxes [..., 4] that the offsets [..., 4] lead to: the inverse of :func:`encode_boxes`.

    Sides grow by at most :data:`MOST_GROWTH`.
    """
    dx, dy, dw, dh = offsets.unbind(-1)
    x, y, width, height = _centres(anchors)
    x = dx / weights[0] * width + x
    y = dy / weights[1] * height + y
    half_width = torch.exp((dw / weights[2]).clamp(max=MOST_GROWTH)) * width * 0.5
    half_height = torch.exp((dh / weights[3]).clamp(max=MOST_GROWTH)) * height * 0.5
    return torch.stack([x - half_width, y - half_height, x + half_width, y + half_height], -1)


def clip_boxes(boxes: Tensor, canvas: tuple[int, int]) -> Tensor:
    """Boxes [..., 4] cut off at the borders of a canvas of (height, width) pixels.

    NaN becomes 0, so that a box of NaN has no area.
    """
    x1, y1, x2, y2 = torch.where(boxes > 0, boxes, 0.0).unbind(-1)
    height, width = canvas
    return torch.stack(
        [x1.clamp(max=width), y1.clamp(max=height), x2.clamp(max=width), y2.clamp(max=height)], -1
    )


def has_area(boxes: Tensor, side: float) -> Tensor:
    """Whether boxes [..., 4] are at least ``side`` pixels wide and high, [...]; not for NaN."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    return (x2 - x1 >= side) & (y2 - y1 >= side)


def _centres(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x1, y1, x2, y2 = boxes.unbind(-1)
    width, height = x2 - x1, y2 - y1
    return x1 + 0.5 * width, y1 + 0.5 * height, width, height
