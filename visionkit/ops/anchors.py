"""Anchor boxes: the guesses that a detector starts from, the same in every picture."""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor


def anchor_grid(
    grids: Sequence[tuple[int, int]],
    strides: Sequence[int],
    sizes: Sequence[float],
    ratios: Sequence[float],
    device: torch.device,
) -> Tensor:
    """Anchors of every cell of several maps (Ren et al. 2015), kept for the next call.

    A cell's anchors all have the area ``size ** 2``; their corners are rounded to whole pixels
    around the cell's upper left corner, but no side is less than a pixel.

    Args:
        grids: rows and columns of each map.
        strides: pixels per cell of each map.
        sizes: square root of the anchors' area for each map, in pixels.
        ratios: height over width.
        device: where the anchors lie.

    Returns:
        [A, 4] float32, ``x1 y1 x2 y2`` in canvas pixels: map after map, row by row, cell by cell,
        one for each ratio. Not to be written to.
    """
    key = (tuple(grids), tuple(strides), tuple(sizes), tuple(ratios), device)
    if torch.compiler.is_compiling():  # what is kept then would be a stand-in
        return _make(*key)
    with torch.inference_mode(False):  # validation may come first, and training wants them too
        return _kept(*key)


def cell_anchors(size: float, ratios: Sequence[float]) -> Tensor:
    """Anchors [R, 4] of one area around the origin, float32."""
    ratio = torch.tensor(ratios, dtype=torch.float32)
    height = ratio.sqrt()
    half = torch.stack([1 / height * size, height * size], 1) / 2
    half = half.round().clamp(min=0.5)
    return torch.cat([-half, half], 1)


def _make(
    grids: tuple[tuple[int, int], ...],
    strides: tuple[int, ...],
    sizes: tuple[float, ...],
    ratios: tuple[float, ...],
    device: torch.device,
) -> Tensor:
    found = []
    for (rows, columns), stride, size in zip(grids, strides, sizes, strict=True):
        y = torch.arange(rows, dtype=torch.float32, device=device) * stride
        x = torch.arange(columns, dtype=torch.float32, device=device) * stride
        grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
        corner = torch.stack([grid_x, grid_y, grid_x, grid_y], -1).view(-1, 1, 4)
        found.append((corner + cell_anchors(size, ratios).to(device)).view(-1, 4))
    return torch.cat(found)


_kept = functools.lru_cache(maxsize=16)(_make)
