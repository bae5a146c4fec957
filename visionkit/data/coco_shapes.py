"""The outlines of objects as COCO writes them: polygons, and run lengths of pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

_FIFTHS = 5
_REACH = 10
"""How many times the picture's longer side a corner may lie away from its origin."""
_DIGITS = 7
"""Characters of a run length: 35 bits."""


@dataclass(frozen=True)
class Shape:
    """The pixels of one object.

    Attributes:
        polygons: the corners of each, ``x y x y ...`` [2 n] int32, in fifths of a pixel.
        runs: COCO's compressed run lengths, where it has no polygons.
        area: in pixels.
        unusable: how many of its polygons were left out.
    """

    polygons: Sequence[NDArray[np.int32]]
    runs: bytes
    area: float
    unusable: int = 0


def shape_of(segmentation: object, size: tuple[int, int]) -> Shape:
    """Read a ``segmentation``.

    Args:
        segmentation: a list of polygons, or a mapping of ``size`` and ``counts``, whose run lengths
            are a list or COCO's text.
        size: height and width of the picture.

    Raises:
        ValueError: it is neither, or of another size; says what is wrong.
    """
    if isinstance(segmentation, dict):
        return _of_runs(segmentation, size)
    if not segmentation:
        raise ValueError("no segmentation")
    if not isinstance(segmentation, list):
        raise ValueError("a segmentation that is neither a list of polygons nor run lengths")
    corners = [_corners(polygon, size) for polygon in segmentation]
    good = [each for each in corners if each is not None]
    if not good:
        raise ValueError("no polygon of at least 3 corners, each of 2 finite numbers")
    # rounded as COCO's rasteriser does, which looks at no more of them than that
    fifths = [np.trunc(_FIFTHS * each + 0.5).astype(np.int32) for each in good]
    return Shape(fifths, b"", sum(map(_area, good)), len(corners) - len(good))


def paint(
    polygons: Sequence[NDArray[np.int32]], runs: bytes, size: tuple[int, int]
) -> NDArray[np.bool_]:
    """Which pixels an object covers, column by column: [W, H].

    Args:
        polygons: see :class:`Shape`.
        runs: likewise.
        size: height and width.
    """
    height, width = size
    coded: Any = {"size": [height, width], "counts": runs}
    if polygons:
        # a whole number of fifths again, also where the rasteriser cuts towards zero
        corners = [(each - 0.75 * (each < 0)) / _FIFTHS for each in polygons]
        parts = coco_mask.frPyObjects(corners, height, width)
        coded = parts[0] if len(parts) == 1 else coco_mask.merge(parts)
    return np.asarray(coco_mask.decode(coded), np.uint8).T.view(np.bool_)


def run_lengths(text: bytes) -> NDArray[np.int64]:
    """Decode COCO's compressed run lengths.

    A number is written in digits of five bits, the lowest first, as the characters from ``0`` on; a
    sixth bit says that more follow, and the highest bit of the last digit is the sign. From the
    fourth number on, each is the difference from the one two before.

    Raises:
        ValueError: the text isn't of that kind.
    """
    codes = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise ValueError("broken run lengths")
    ends = np.flatnonzero(codes & 32 == 0)
    starts = np.append(0, ends[:-1] + 1)
    digits = ends - starts + 1
    if digits.max() > _DIGITS:
        raise ValueError("broken run lengths")
    place = 5 * (np.arange(len(codes)) - np.repeat(starts, digits))
    values = np.add.reduceat((codes & 31) << place, starts)
    values -= np.where(codes[ends] & 16, np.int64(1) << 5 * digits, 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def _corners(polygon: object, size: tuple[int, int]) -> NDArray[np.float64] | None:
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
        return None
    try:
        values = np.array(polygon)
    except ValueError:  # lists among the numbers
        return None
    if values.ndim != 1 or values.dtype.kind not in "iuf":
        return None
    # not <= rather than >, for NaN; what is far outside would take the rasteriser ages
    return values.astype(np.float64) if np.abs(values).max() <= _REACH * max(size) else None


def _area(corners: NDArray[np.float64]) -> float:
    """The area of a polygon, in pixels."""
    x, y = corners[0::2], corners[1::2]
    twice = x[:-1] @ y[1:] - y[:-1] @ x[1:] + x[-1] * y[0] - y[-1] * x[0]
    return abs(float(twice)) / 2


def _of_runs(segmentation: dict[Any, Any], size: tuple[int, int]) -> Shape:
    height, width = size
    stated, counts = segmentation.get("size"), segmentation.get("counts")
    if stated != [height, width]:
        raise ValueError(
            f"run lengths of size {stated!r}, where height and width are [{height}, {width}]"
        )
    if isinstance(counts, list):
        lengths = np.array(counts) if all(type(n) is int for n in counts) else np.zeros(0)
        if lengths.dtype != np.int64:
            raise ValueError("run lengths that aren't whole numbers")
    elif isinstance(counts, str):
        lengths = run_lengths(counts.encode(errors="surrogatepass"))
    else:
        raise ValueError("no run lengths")
    pixels = height * width
    if lengths.min() < 0 or lengths.max() > pixels or int(lengths.sum()) != pixels:
        raise ValueError(f"run lengths that don't add up to {width} x {height} pixels")
    if isinstance(counts, list):
        coded = coco_mask.frPyObjects({"size": stated, "counts": counts}, height, width)
        counts = coded["counts"].decode()
    return Shape((), counts.encode(), float(lengths[1::2].sum()))
