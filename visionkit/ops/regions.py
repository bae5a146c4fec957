"""Equal-sized features of boxes of any size (RoIAlign, He et al. 2017) from a pyramid."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import roi_align

CANONICAL_SIDE, CANONICAL_STRIDE = 224, 16
"""A box of this side is looked at on the map of this stride (Lin et al. 2017)."""
SAMPLES = 2
"""Points in each direction whose mean is a bin."""


def pyramid_level(boxes: Tensor, strides: Sequence[int]) -> Tensor:
    """Return the map that each box is looked at on: half the side, half the stride.

    Args:
        boxes: [R, 4] in canvas pixels.
        strides: of the maps, ascending.

    Returns:
        [R] int64, a position in ``strides``.
    """
    x1, y1, x2, y2 = boxes.unbind(-1)
    side = ((x2 - x1) * (y2 - y1)).sqrt()
    level = math.log2(CANONICAL_STRIDE) + torch.log2(side / CANONICAL_SIDE) + 1e-6
    position = torch.zeros_like(level, dtype=torch.long)
    for stride in strides[1:]:
        position += level >= math.log2(stride)
    return position


def pool_regions(
    maps: Sequence[Tensor], strides: Sequence[int], boxes: Tensor, image: Tensor, size: int
) -> tuple[Tensor, Tensor | None]:
    """Pool the features of boxes, each from its own map.

    Args:
        maps: [B, C, H, W] each.
        strides: of the maps, ascending.
        boxes: [R, 4] float32 in canvas pixels; what isn't finite counts as 0.
        image: [R] int64, the picture of each.
        size: rows and columns of bins.

    Returns:
        [R, C, size, size] float32 and their order, [R] positions in ``boxes``; None if it is that
        of the boxes. To sort what is computed from them costs less than to sort them.
    """
    boxes = torch.where(boxes.abs() < torch.inf, boxes, 0.0)
    level = pyramid_level(boxes, strides)
    maps = [x.float() for x in maps]
    if torch.compiler.is_compiling():  # fixed shapes
        pooled = _pool(maps[0], strides[0], boxes, image, size)
        for i in range(1, len(maps)):
            here = (level == i)[:, None, None, None]
            pooled = torch.where(here, _pool(maps[i], strides[i], boxes, image, size), pooled)
        return pooled, None
    if boxes.device.type == "cpu":
        return _pool_by_table(maps, strides, boxes, image, level, size), None
    order = level.argsort(stable=True)
    counts = torch.bincount(level, minlength=len(strides)).tolist()
    parts = zip(
        maps,
        strides,
        torch.split(boxes[order], counts),
        torch.split(image[order], counts),
        strict=True,
    )
    found = [_pool(*part, size) for part in parts]
    return torch.cat(found), order


def _pool(x: Tensor, stride: int, boxes: Tensor, image: Tensor, size: int) -> Tensor:
    rois = torch.cat([image[:, None].to(boxes.dtype), boxes], 1)
    pooled: Tensor = roi_align(x, rois, size, 1 / stride, SAMPLES)
    return pooled


def _pool_by_table(
    maps: Sequence[Tensor],
    strides: Sequence[int],
    boxes: Tensor,
    image: Tensor,
    level: Tensor,
    size: int,
) -> Tensor:
    """Pool on a processor, where torchvision's loop over boxes runs on a single core.

    The cells of all maps become the rows of a table, and a bin is the weighted sum of those around
    its points: an embedding bag.
    """
    table = torch.cat([x.permute(0, 2, 3, 1).flatten(0, 2) for x in maps])
    with torch.no_grad():
        shapes = [(x.shape[-2], x.shape[-1]) for x in maps]
        starts = [0]
        for x in maps[:-1]:
            starts.append(starts[-1] + len(x) * x.shape[-2] * x.shape[-1])
        per_level = torch.tensor(
            [
                (first, *shape, 1 / stride)
                for first, shape, stride in zip(starts, shapes, strides, strict=True)
            ],
            dtype=torch.float64,
        )[level]
        start, height, width, _ = per_level.long().unbind(1)
        x1, y1, x2, y2 = (boxes * per_level[:, 3:].float()).unbind(1)
        rows, row_weights = _around(y1, y2, height, size)
        columns, column_weights = _around(x1, x2, width, size)
        rows = rows * width[:, None, None] + (start + image * height * width)[:, None, None]
        index = rows[:, :, None, :, None] + columns[:, None, :, None, :]
        weights = row_weights[:, :, None, :, None] * column_weights[:, None, :, None, :]
    cells = (2 * SAMPLES) ** 2
    pooled = F.embedding_bag(
        index.view(-1, cells), table, mode="sum", per_sample_weights=weights.view(-1, cells)
    )
    return pooled.view(len(boxes), size, size, table.shape[1]).permute(0, 3, 1, 2)


def _around(start: Tensor, end: Tensor, cells: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Find what each bin along one side is made of, by linear interpolation between centres.

    Args:
        start: [R] of the box, in cells.
        end: likewise.
        cells: [R] of the map, int64.
        size: bins.

    Returns:
        Cells [R, size, 2 * SAMPLES] int64 and their weights, which sum to 1.
    """
    points = size * SAMPLES
    step = (end - start).clamp(min=1) / points
    at = start[:, None] + (torch.arange(points) + 0.5) * step[:, None]
    last = (cells - 1)[:, None]
    beyond = at > cells[:, None]  # of a tiny box at the border, widened to one cell
    at = at.clamp(min=0).minimum(last)
    low = at.long()
    high = (low + 1).minimum(last)
    part = at - low
    weights = torch.stack([1 - part, part], -1).masked_fill(beyond[..., None], 0) / SAMPLES
    shape = (len(start), size, 2 * SAMPLES)
    return torch.stack([low, high], -1).view(shape), weights.view(shape)
