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
    """

    def __init__(self, count: int, height: int, width: int) -> None:
        self._shape = (count, height, width)
        self._pixels = np.frombuffer(mmap.mmap(-1, max(1, self.size(*self._shape))), np.uint8)
        self._sizes = np.frombuffer(mmap.mmap(-1, max(1, count) * 16), np.int32).reshape(-1, 4)

    @staticmethod
    def size(count: int, height: int, width: int) -> int:
        """Bytes that a full cache takes."""
        return count * height * width * 3

    def __reduce__(self) -> tuple[type["ImageCache"], tuple[int, int, int]]:
        return ImageCache, self._shape

    def get(
        self, i: int, read: Callable[[], tuple[Image, tuple[int, int]]]
    ) -> tuple[Image, tuple[int, int]]:
        """Return picture ``i`` and its original height and width, calling ``read`` if need be."""
        slot = self._shape[1] * self._shape[2] * 3
        height, width, *original = self._sizes[i].tolist()
        if height:
            pixels = self._pixels[i * slot : i * slot + height * width * 3]
            return pixels.reshape(height, width, 3), (original[0], original[1])
        image, size = read()
        self._pixels[i * slot : i * slot + image.size] = image.reshape(-1)
        self._sizes[i, 1:] = (image.shape[1], *size)
        self._sizes[i, 0] = image.shape[0]  # last: it says that the slot is complete
        return image, size
