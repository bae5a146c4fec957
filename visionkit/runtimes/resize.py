"""Bilinear resizing of a map of figures, as torch does it, without torch."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]


class Taps(NamedTuple):
    """The two neighbours that each value along one side is a mean of.

    Attributes:
        first: [N], place of the one.
        second: [N], place of the other.
        near: [N], weight of the first.
        far: [N], weight of the second.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    near: Float
    far: Float


def resize(plane: Float, size: tuple[int, int]) -> Float:
    """Resize a map [h, w] to (height, width).

    What ``torch.nn.functional.interpolate`` gives with ``mode="bilinear"`` and
    ``align_corners=False``: values stand at the middles of their cells, and nothing is smoothed
    where it shrinks. Places are float32 as torch's are, so that values agree to the
    rounding of a place (4e-6 of maps of 40 cells); OpenCV's, which are as good, differ by up to
    5e-5.
    """
    if plane.shape == size:
        return plane
    rows, columns = taps(plane.shape[0], size[0]), taps(plane.shape[1], size[1])
    if size[0] < plane.shape[0]:  # the smaller map in between is the cheaper way
        return _along_columns(_along_rows(plane, rows), columns)
    return _along_rows(_along_columns(plane, columns), rows)


def _along_rows(plane: Float, rows: Taps) -> Float:
    return plane[rows.first] * rows.near[:, None] + plane[rows.second] * rows.far[:, None]


def _along_columns(plane: Float, columns: Taps) -> Float:
    first, second = plane.take(columns.first, 1), plane.take(columns.second, 1)
    return first * columns.near + second * columns.far


@lru_cache(maxsize=64)
def taps(side: int, wanted: int) -> Taps:
    """Find the neighbours of each of ``wanted`` values among ``side``."""
    # most builds of torch multiply and subtract in one step, of which the result alone is rounded
    scale = np.float64(np.float32(side) / np.float32(wanted))
    place = ((np.arange(wanted) + 0.5) * scale - 0.5).astype(np.float32)
    place = np.maximum(place, np.float32(0))
    first = np.minimum(place.astype(np.int64), side - 1)
    far = np.clip(place - first.astype(np.float32), np.float32(0), np.float32(1))
    return Taps(first, np.minimum(first + 1, side - 1), 1 - far, far)
