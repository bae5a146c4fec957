"""Decoded pictures that are kept, in one buffer for all who read them."""

import mmap
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visionkit.data.cache_rooms import Place, Room, private
from visionkit.geometry import Image

_PAGE = 4096


class ImageCache:
    """N slots for pictures of at most ``height`` x ``width``, filled as they are first read.

    What one process decodes, all that share the room have, see :mod:`visionkit.data.cache_rooms`.
    Two that decode the same picture at once write the same bytes. In a room that outlives the run a
    slot is believed only if its checksum is right: a machine may have crashed while it was written.

    Args:
        count: N.
        height: of the largest picture.
        width: of the largest picture.
        channels: 3 for pictures [H, W, 3], 1 for masks [H, W].
        place: makes the room.
        name: of what is kept, where a place has several rooms.
    """

    def __init__(
        self,
        count: int,
        height: int,
        width: int,
        channels: int = 3,
        place: Place = private,
        name: str = "images",
    ) -> None:
        self._shape = (count, height, width, channels)
        self._last = () if channels == 1 else (channels,)
        self._place, self._name = place, name
        head = -(-count * 5 * 4 // _PAGE) * _PAGE
        self._start = max(_PAGE, head)
        size = self._start + ImageCache.size(count, height, width, channels)
        self._enter(place(f"{height}x{width}x{channels}-{name}", size))

    def _enter(self, room: Room) -> None:
        self._room = room
        self._arrays: tuple[NDArray[np.uint32], NDArray[np.uint8]] | None = None
        self._believed = np.zeros(self._shape[0], np.bool_)
        if not room.lasts:  # forked workers have what is mapped before
            self._open()

    def _open(self) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
        """Height, width, original height and width, and checksum of each slot; and all pixels."""
        if self._arrays is None:
            whole: mmap.mmap = self._room.open()
            count = self._shape[0]
            facts = np.frombuffer(whole, np.uint32, count * 5).reshape(count, 5)
            self._arrays = facts, np.frombuffer(whole, np.uint8, offset=self._start)
        return self._arrays

    @staticmethod
    def size(count: int, height: int, width: int, channels: int = 3) -> int:
        """Bytes that a full cache of pictures takes, or of more than three bytes a pixel."""
        return count * height * width * channels

    def beside(
        self, name: str, count: int, height: int, width: int, channels: int = 3
    ) -> "ImageCache":
        """Another cache at the same place."""
        return ImageCache(count, height, width, channels, self._place, name)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_arrays": None, "_believed": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._enter(self._room)

    def get(
        self, i: int, read: Callable[[], tuple[Image, tuple[int, int]]]
    ) -> tuple[Image, tuple[int, int]]:
        """Return picture ``i`` and its original height and width, calling ``read`` if need be."""
        kept = self.kept(i)
        if kept is None:
            kept = read()
            self.keep(i, *kept)
        return kept

    def kept(self, i: int) -> tuple[Image, tuple[int, int]] | None:
        """Return picture ``i`` and its original height and width, if it is there."""
        facts, everything = self._open()
        height, width, *original, checksum = facts[i].tolist()
        if not height:
            return None
        _, most_high, most_wide, _ = self._shape
        if height > most_high or width > most_wide:
            return None
        shape = (height, width, *self._last)
        pixels = everything[self._first(i) :][: int(np.prod(shape))]
        if self._room.lasts and not self._believed[i]:
            if zlib.crc32(pixels.data) != checksum:
                return None
            self._believed[i] = True
        image = pixels.reshape(shape)
        image.flags.writeable = False  # others have it, too
        return image, (original[0], original[1])

    def keep(self, i: int, image: Image, size: tuple[int, int]) -> None:
        """Put picture ``i``, of that original height and width, into its slot."""
        facts, everything = self._open()
        pixels = everything[self._first(i) :][: image.size]
        pixels[:] = image.reshape(-1)
        checksum = zlib.crc32(pixels.data) if self._room.lasts else 0
        facts[i, 1:] = (image.shape[1], *size, checksum)
        facts[i, 0] = image.shape[0]  # last: it says that the slot is complete

    def _first(self, i: int) -> int:
        _, height, width, channels = self._shape
        return i * height * width * channels
