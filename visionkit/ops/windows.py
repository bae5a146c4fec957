"""What windows that slide over a large canvas say, put together."""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor


def blend(
    parts: Iterable[Tensor], places: Sequence[tuple[int, int]], canvas: tuple[int, int]
) -> Tensor:
    """Average what windows say of the pixels that they share, the more the nearer their middle.

    A window's weight falls to its borders as Hann's does, so that there is no seam where it ends,
    but never to 0.

    Args:
        parts: [B, C, h, w], for each window, in order; taken one at a time.
        places: top and left of each window, which together cover the canvas.
        canvas: height and width.

    Returns:
        [B, C, H, W] float32.

    Raises:
        ValueError: there are more or fewer parts than places, or none.
    """
    total = weights = None
    for part, (top, left) in zip(parts, places, strict=True):
        if total is None or weights is None:
            total = part.new_zeros((*part.shape[:2], *canvas), dtype=torch.float32)
            weights = total.new_zeros(canvas)
        height, width = part.shape[-2:]
        here = (..., slice(top, top + height), slice(left, left + width))
        weight = _hann(height, total)[:, None] * _hann(width, total)
        total[here] += part * weight
        weights[here] += weight
    if total is None or weights is None:
        raise ValueError("there are no windows to put together")
    return total.div_(weights)


def _hann(side: int, like: Tensor) -> Tensor:
    """Weights [side], taken at the middles of pixels, where Hann's window isn't 0."""
    middles = torch.arange(side, device=like.device, dtype=like.dtype) + 0.5
    return (middles * (math.pi / side)).sin().square()
