"""Random changes to a whole batch of small pictures at once, in torch on the CPU.

A Python call for each picture of 28 or 32 pixels would cost more than the network.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from visionkit.geometry import PAD_COLOUR

Border = Literal["mean", "black", "edge", "reflect"]
Draw = Callable[[], NDArray[np.float64]]
Windows = tuple[NDArray[np.float64], ...]

_GREY = (0.299, 0.587, 0.114)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Chance:
    """Random numbers for the pictures of a batch, each picture's from its own key alone.

    So a picture's changes don't depend on its batch-mates. The generator is SplitMix64 (Steele,
    Lea and Flood 2014), which needs no state, and so has none to be made for each picture.

    Args:
        seed: of the run.
        *keys: [B] integers each, such as epoch and position.
    """

    def __init__(self, seed: int, *keys: NDArray[np.int64]) -> None:
        state = np.full(len(keys[0]), seed, np.uint64)
        for key in keys:
            state = _scramble(state + key.astype(np.uint64) * _GOLDEN)
        self._state = state

    def __call__(self) -> NDArray[np.float64]:
        """The next number of each picture, [B], in [0, 1)."""
        self._state = self._state + _GOLDEN
        return (_scramble(self._state) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _scramble(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def between(draw: Draw, low: float, high: float) -> NDArray[np.float64]:
    """Numbers in [low, high)."""
    return low + (high - low) * draw()


def whole_between(draw: Draw, low: int, high: int) -> NDArray[np.int64]:
    """Whole numbers from ``low`` to ``high``, both included."""
    return np.floor(between(draw, low, high + 1)).astype(np.int64)


def windows(draw: Draw, area: tuple[float, float], aspect: tuple[float, float]) -> Windows:
    """Random windows in a picture: heights, widths, tops and lefts, in parts of its sides.

    Args:
        draw: gives numbers in [0, 1).
        area: least and greatest part of the picture's area. A window that would be higher or wider
            than the picture is cut down to it.
        aspect: least and greatest ratio of width to height, in terms of the picture's own.
    """
    size = between(draw, *area)
    ratio = np.exp(between(draw, np.log(aspect[0]), np.log(aspect[1])))
    height, width = np.minimum(np.sqrt(size / ratio), 1), np.minimum(np.sqrt(size * ratio), 1)
    return height, width, draw() * (1 - height), draw() * (1 - width)


def border_colour(border: Border, channels: int) -> tuple[float, ...]:
    """What lies outside of a picture with a border of one colour."""
    if border != "mean":
        return (0.0,) * channels
    if channels == 3:
        return tuple(map(float, PAD_COLOUR))
    return (float(round(sum(w * c for w, c in zip(_GREY, PAD_COLOUR, strict=True)))),)


def moved(
    images: Tensor,
    down: NDArray[np.int64],
    right: NDArray[np.int64],
    upside: NDArray[np.bool_],
    mirrored: NDArray[np.bool_],
    border: Border,
) -> Tensor:
    """Flip pictures, then shift them by whole pixels.

    Args:
        images: [B, C, H, W] uint8.
        down: [B] pixels.
        right: [B] pixels.
        upside: [B], which to mirror top to bottom.
        mirrored: [B], which to mirror left to right.
        border: what comes in from outside.
    """
    height, width = images.shape[2:]
    rows, rows_inside = _lines(height, down, upside, border)
    columns, columns_inside = _lines(width, right, mirrored, border)
    if down.any() or upside.any():  # whole rows are copied much faster than gathered
        first = torch.arange(0, images.shape[0] * images.shape[1] * height, height)
        index = first.view(*images.shape[:2], 1) + torch.from_numpy(rows)[:, None]
        images = images.reshape(-1, width).index_select(0, index.view(-1)).view(images.shape)
    if right.any() or mirrored.any():
        index = torch.from_numpy(columns)[:, None, None]
        images = images.gather(3, index.expand(images.shape))
    if border in ("mean", "black"):
        outside = ~(rows_inside[:, :, None] & columns_inside[:, None])
        colour = torch.tensor(border_colour(border, images.shape[1]), dtype=torch.uint8)
        images = _painted(images, outside, colour[:, None, None])
    return images


def _lines(
    size: int, shift: NDArray[np.int64], mirrored: NDArray[np.bool_], border: Border
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Which row (or column) each one shows, [B, size], and whether that lies in the picture."""
    source = np.arange(size) - shift[:, None]
    inside = (source >= 0) & (source < size)
    if border == "reflect":
        source = (size - 1) - np.abs((size - 1) - np.abs(source))
    source = np.clip(source, 0, size - 1)
    return np.where(mirrored[:, None], size - 1 - source, source), inside


def warped(
    images: Tensor,
    cut: Windows,
    degrees: NDArray[np.float64],
    down: NDArray[np.int64],
    right: NDArray[np.int64],
    upside: NDArray[np.bool_],
    mirrored: NDArray[np.bool_],
    border: Border,
) -> Tensor:
    """Let a window of each picture fill its frame, flip, turn and shift it, by one resampling.

    Args:
        images: [B, C, H, W] uint8.
        cut: see :func:`windows`.
        degrees: [B], turns to the left.
        down: see :func:`moved`.
        right: see :func:`moved`.
        upside: see :func:`moved`.
        mirrored: see :func:`moved`.
        border: see :func:`moved`.
    """
    height, width = images.shape[2:]
    h, w, top, left = cut
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    across, along = np.where(mirrored, -w, w), np.where(upside, -h, h)
    # from places in the frame to places in the picture, both from -1 to 1
    theta = np.zeros((len(images), 2, 3))
    theta[:, 0, 0], theta[:, 0, 1] = across * cos, -across * sin * (height / width)
    theta[:, 1, 0], theta[:, 1, 1] = along * sin * (width / height), along * cos
    shift = np.stack([right * 2 / width, down * 2 / height], 1)
    theta[:, :, 2] = np.stack([2 * left + w - 1, 2 * top + h - 1], 1)
    theta[:, :, 2] -= (theta[:, :, :2] @ shift[:, :, None])[:, :, 0]
    x = torch.from_numpy(((np.arange(width) * 2 + 1) / width - 1).astype(np.float32))
    y = torch.from_numpy(((np.arange(height) * 2 + 1) / height - 1).astype(np.float32))
    m = torch.from_numpy(theta.astype(np.float32))[:, :, :, None, None]
    # F.affine_grid takes as long as the sampling
    grid = torch.stack([m[:, k, 0] * x + (m[:, k, 1] * y[:, None] + m[:, k, 2]) for k in (0, 1)], 3)
    padding = {"edge": "border", "reflect": "reflection"}.get(border, "zeros")
    colour = torch.tensor(border_colour(border, images.shape[1]))[:, None, None]
    sampled = F.grid_sample(images - colour, grid, padding_mode=padding, align_corners=False)
    return _to_bytes(sampled + colour)


def recoloured(
    images: Tensor,
    brightness: NDArray[np.float64],
    contrast: NDArray[np.float64],
    saturation: NDArray[np.float64],
) -> Tensor:
    """Change colours by factors, [B] each; 1 leaves them alone.

    Args:
        images: [B, C, H, W] uint8.
        brightness: on all values.
        contrast: on the distance from the picture's mean grey.
        saturation: on the distance of each pixel from its grey; nothing for grey pictures.
    """
    bright, sharp, rich = (
        torch.from_numpy(f.astype(np.float32))[:, None, None, None]
        for f in (brightness, contrast, saturation)
    )
    values = images.float()
    if images.shape[1] == 3:
        grey = (values * torch.tensor(_GREY)[:, None, None]).sum(1, keepdim=True)
        values = torch.lerp(grey.expand_as(values), values, rich)
    else:
        grey = values
    mean = grey.mean((1, 2, 3), keepdim=True)
    return _to_bytes((mean + (values - mean) * sharp) * bright)


def erased(
    images: Tensor, holes: Windows, colours: NDArray[np.float64], chosen: NDArray[np.bool_]
) -> Tensor:
    """Fill a window of the chosen pictures with a colour.

    Args:
        images: [B, C, H, W] uint8.
        holes: see :func:`windows`.
        colours: [B, C], 0..1.
        chosen: [B].
    """
    height, width = images.shape[2:]
    h, w, top, left = holes
    y, x = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    rows = (y >= top[:, None]) & (y < (top + h)[:, None]) & chosen[:, None]
    columns = (x >= left[:, None]) & (x < (left + w)[:, None])
    fill = torch.from_numpy((colours * 256).astype(np.uint8))[:, :, None, None]
    return _painted(images, rows[:, :, None] & columns[:, None], fill)


def _painted(images: Tensor, where: NDArray[np.bool_], colour: Tensor) -> Tensor:
    """Lay a colour on the pixels [B, H, W] of a batch; ten times as fast as ``torch.where``."""
    chosen = torch.from_numpy(where.view(np.uint8))[:, None]
    return images * (1 - chosen) + colour * chosen


def _to_bytes(values: Tensor) -> Tensor:
    return values.round_().clamp_(0, 255).to(torch.uint8)
