"""The pictures of a split as a network sees them, for comparison with what it makes."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visionkit.data.defects import naming_way_out
from visionkit.data.index import Index
from visionkit.geometry import Image, resize_image

_READ = 64
"""Pictures that are held at once."""


def chosen(index: Index, samples: int) -> NDArray[np.int64]:
    """Return the places of at most ``samples`` pictures, drawn once for ever, of any order.

    A list by class has only some of them at its front, so the first ones would not do.
    """
    return np.random.default_rng(0).permutation(len(index))[:samples]


def read(index: Index, places: Sequence[int], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return pictures [N, H, W, 3] uint8 RGB of a size (height, width), as evaluation sees them.

    Where pictures have others that they are to be turned into, these are meant: brought to the size
    whatever their shape.

    Raises:
        DataError: a file is missing, truncated, or no picture.
    """
    if not len(places):
        return np.zeros((0, *size, 3), np.uint8)
    return np.stack(list(_pictures(index, places, size)))


def read_in_parts(
    index: Index, places: Sequence[int], size: tuple[int, int]
) -> Iterator[NDArray[np.uint8]]:
    """Yield what :func:`read` returns, some pictures at a time."""
    for start in range(0, len(places), _READ):
        yield read(index, places[start : start + _READ], size)


def turns_into(index: Index) -> bool:
    """Whether the pictures of a split are to be turned into others."""
    return index.kind in ("pairs", "unpaired")


def _pictures(index: Index, places: Sequence[int], size: tuple[int, int]) -> Iterator[Image]:
    if turns_into(index):
        pairs: Any = index
        for place in places:
            with naming_way_out():
                image = pairs.target(int(place))
            yield resize_image(image, size)
        return
    dataset: Any = index.dataset(size)
    if getattr(dataset, "batched", False):
        yield from dataset[[int(p) for p in places]].images.permute(0, 2, 3, 1).numpy()
        return
    for place in places:
        yield dataset[int(place)].image
