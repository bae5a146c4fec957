"""Decoded pictures in memory, one buffer for the process and the workers forked from it."""

import mmap
from collections.abc import Callable

import numpy as np

from visionkit.geometry import Image


class ImageCache:
    """N slots for pictures of at most ``height`` x ``width``, filled as they are first read.

    The memory is an anonymous shared mapping: pages that were never written cost nothing, and what
    one forked worker decodes, all have. A worker that is started afresh begins with an empty one.

    Args:
        count: N.
        height: of the largest picture.
        width: of the largest picture.
        channels: 3 for pictures [H, W, 3], 1 for masks [H, W].
    """

    def __init__(self, count: int, height: int, width: int, channels: int = 3) -> None:
        self._shape = (count, height, width, channels)
        self._last = () if channels == 1 else (channels,)
        room = count * height * width * channels
        self._pixels = np.frombuffer(mmap.mmap(-1, max(1, room)), np.uint8)
        self._sizes = np.frombuffer(mmap.mmap(-1, max(1, count) * 16), np.int32).reshape(-1, 4)

    @staticmethod
    def size(count: int, height: int, width: int, channels: int = 3) -> int:
        """Bytes that a full cache of pictures takes, or of more than three bytes a pixel."""
        return count * height * width * channels

    def __reduce__(self) -> tuple[type["ImageCache"], tuple[int, int, int, int]]:
        return ImageCache, self._shape

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
        height, width, *original = self._sizes[i].tolist()
        if not height:
            return None
        start, shape = self._start(i), (height, width, *self._last)
        pixels = self._pixels[start : start + int(np.prod(shape))]
        return pixels.reshape(shape), (original[0], original[1])

    def keep(self, i: int, image: Image, size: tuple[int, int]) -> None:
        """Put picture ``i``, of that original height and width, into its slot."""
        start = self._start(i)
        self._pixels[start : start + image.size] = image.reshape(-1)
        self._sizes[i, 1:] = (image.shape[1], *size)
        self._sizes[i, 0] = image.shape[0]  # last: it says that the slot is complete

    def _start(self, i: int) -> int:
        _, height, width, channels = self._shape
        return i * height * width * channels
