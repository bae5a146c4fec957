"""Masks that are files of their own."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from visionkit.data.cores import cores
from visionkit.data.index import StringTable
from visionkit.data.mask_classes import Legend
from visionkit.errors import DataError

_MEND = "replace the file or take it out of the data set"
_PART = 64
_VALUES = frozenset({"1", "L", "P", "I", "I;16", "I;16B"})
_FIRST = frozenset({"LA", "PA"})
_COLOURS = frozenset({"RGB", "RGBA", "RGBX"})


@dataclass(frozen=True)
class MaskFiles:
    """The masks of N pictures, see :class:`visionkit.data.mask_index.Masks`.

    Attributes:
        files: their paths.
        legend: what their values stand for.
    """

    files: StringTable
    legend: Legend

    def mask(self, i: int) -> NDArray[np.uint8]:
        """See :class:`visionkit.data.mask_index.Masks`."""
        path = self.files[i]
        return self.legend.labels(read_values(path), path)

    def name(self, i: int) -> str:
        """The mask's file."""
        return self.files[i]

    def only(self, keep: NDArray[np.bool_]) -> "MaskFiles":
        """See :class:`visionkit.data.mask_index.Masks`."""
        kept = np.flatnonzero(keep).tolist()
        return MaskFiles(StringTable([self.files[i] for i in kept]), self.legend)


def read_values(path: str | Path) -> NDArray[Any]:
    """Read a mask as it is stored.

    Returns:
        [H, W] unsigned values (of a palette picture the indices, whatever its colours), or
        [H, W, 3] uint8 RGB.

    Raises:
        DataError: the file is missing, truncated, no picture, or of a kind that can't hold labels.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror}); check the path") from error
    if not data:
        raise DataError(f"{path}: the file is empty; {_MEND}")
    if data[:2] == b"\xff\xd8":
        raise DataError(
            f"{path}: is a JPEG, which blurs labels; write the mask anew as PNG from its source"
        )
    try:
        with Image.open(BytesIO(data)) as mask:
            mask.load()
            mode = mask.mode
            pixels = np.asarray(mask)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        cause = "truncated" if "truncated" in str(error) else "not a picture that can be decoded"
        raise DataError(f"{path}: {cause}; {_MEND}") from error
    if mode in _VALUES:
        return pixels.astype(np.uint8) if mode == "1" else _unstretched(pixels, data)
    if mode in _FIRST:
        return pixels[:, :, 0]
    if mode in _COLOURS:
        return pixels[:, :, :3]
    raise DataError(f"{path}: a picture of mode {mode} holds no labels; save it as 8-bit PNG")


def _unstretched(pixels: NDArray[Any], data: bytes) -> NDArray[Any]:
    """Undo what is done to a grey PNG of 2 or 4 bits: its values are spread over 0..255."""
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[25] != 0 or data[24] not in (2, 4):
        return pixels
    return pixels // np.uint8(255 // ((1 << data[24]) - 1))


def values_in(paths: Sequence[str]) -> list[int]:
    """Return the values that occur in masks, sorted; those that can't be read are passed over.

    Raises:
        DataError: a mask is in colours.
    """
    found: set[int] = set()
    step = _PART * cores()

    def each() -> Iterator[set[int]]:
        with ThreadPoolExecutor(cores()) as pool:
            for start in range(0, len(paths), step):
                yield from pool.map(_values, paths[start : start + step])

    for values in each():
        found |= values
    return sorted(found)


def _values(path: str) -> set[int]:
    try:
        pixels = read_values(path)
    except DataError:  # whoever reads the mask will tell
        return set()
    if pixels.ndim == 3:
        if (pixels != pixels[:, :, :1]).any():
            raise DataError(
                f"{path}: is in colours, and nothing says what they stand for; write lines like "
                "`name red green blue` to classes.txt in the set's folder"
            )
        pixels = pixels[:, :, 0]
    if pixels.dtype == np.uint8:
        return set(np.flatnonzero(np.bincount(pixels.ravel(), minlength=256)).tolist())
    return set(np.unique(pixels).tolist())
