"""Masks that are files of their own."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from visionkit.data.cores import in_threads
from visionkit.data.mask_index import wrong_size
from visionkit.data.mask_legend import Legend
from visionkit.data.strings import StringTable
from visionkit.errors import DataError

_MEND = "replace the file or take it out of the data set"
_VALUES = frozenset({"1", "L", "P", "I", "I;16", "I;16B"})
_FIRST = frozenset({"LA", "PA"})
_COLOURS = frozenset({"RGB", "RGBA", "RGBX"})
_INDEXED = frozenset({"P", "PA"})
_PNG = b"\x89PNG\r\n\x1a\n"
_SEVERAL = (b"\2", b"\4", b"\6")
"""How a PNG's header says that pixels have several numbers: colours, grey with alpha, both."""


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
        pixels, palette = _read(path)
        return self.legend.labels(pixels, path, palette)

    def name(self, i: int) -> str:
        """The mask's file."""
        return self.files[i]

    def wrong_size(
        self, i: int, size: tuple[int, int], picture: str, theirs: tuple[int, int]
    ) -> DataError:
        """See :class:`visionkit.data.mask_index.Masks`."""
        return wrong_size(self.files[i], size, picture, theirs)

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
    return _read(path)[0]


def _read(path: str | Path) -> tuple[NDArray[Any], NDArray[np.uint8] | None]:
    """The values or colours of a mask, and the colours [P, 3] of its palette, if it has one."""
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
    if data[:8] == _PNG and data[24:25] == b"\x10" and data[25:26] in _SEVERAL:
        raise DataError(
            f"{path}: has 16 bits a colour, of which 8 would be lost; save it as 8-bit PNG"
        )
    try:
        with Image.open(BytesIO(data)) as mask:
            mask.load()
            mode = mask.mode
            pixels = np.asarray(mask)
            colours = mask.getpalette() if mode in _INDEXED else None
    except Image.DecompressionBombError as error:
        raise DataError(
            f"{path}: has too many pixels to be read as a mask; cut picture and mask into parts"
        ) from error
    except (OSError, SyntaxError, ValueError) as error:
        cause = "truncated" if "truncated" in str(error) else "not a picture that can be decoded"
        raise DataError(f"{path}: {cause}; {_MEND}") from error
    palette = None if colours is None else np.array(colours, np.uint8).reshape(-1, 3)
    if mode in _VALUES:
        return pixels.astype(np.uint8) if mode == "1" else _unstretched(pixels, data), palette
    if mode in _FIRST:
        return pixels[:, :, 0], palette
    if mode in _COLOURS:
        return pixels[:, :, :3], None
    raise DataError(f"{path}: a picture of mode {mode} holds no labels; save it as 8-bit PNG")


def _unstretched(pixels: NDArray[Any], data: bytes) -> NDArray[Any]:
    """Undo what is done to a grey PNG of 2 or 4 bits: its values are spread over 0..255."""
    if data[:8] != _PNG or data[25] != 0 or data[24] not in (2, 4):
        return pixels
    return pixels // np.uint8(255 // ((1 << data[24]) - 1))


def values_in(paths: Sequence[str]) -> list[int]:
    """Return the values that occur in masks, sorted; those that can't be read are passed over.

    Raises:
        DataError: more masks are in colours than have values.
    """
    found: set[int] = set()
    coloured = []
    valued = 0
    for path, values in zip(paths, in_threads(_values, paths), strict=True):
        if values is None:
            coloured.append(path)
        else:
            found |= values
            valued += bool(values)
    if len(coloured) > valued:  # a black mask is one of colours, too
        raise DataError(
            f"{coloured[0]}: is in colours, and nothing says what they stand for; write lines like "
            "`name red green blue` to classes.txt in the set's folder"
        )
    return sorted(found)


def _values(path: str) -> set[int] | None:
    """The values of a mask; None if it is in colours."""
    try:
        pixels = read_values(path)
    except DataError:  # whoever reads the mask will tell
        return set()
    if pixels.ndim == 3:
        if (pixels != pixels[:, :, :1]).any():
            return None
        pixels = pixels[:, :, 0]
    if pixels.dtype == np.uint8:
        return set(np.flatnonzero(np.bincount(pixels.ravel(), minlength=256)).tolist())
    return set(np.unique(pixels).tolist())
