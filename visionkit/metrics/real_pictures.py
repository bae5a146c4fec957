"""The pictures of a split as a network sees them, for comparison with what it makes."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visionkit.data.cores import in_threads
from visionkit.data.defects import naming_way_out
from visionkit.data.index import Index
from visionkit.geometry import Image, resize_image

_READ = 64
"""Pictures that are held at once."""


def count(index: Index) -> int:
    """How many real pictures a split has: of two lists, the second one's."""
    unpaired: Any = index
    return len(unpaired.targets) if index.kind == "unpaired" else len(index)


def chosen(index: Index, samples: int) -> NDArray[np.int64]:
    """Return the places of at most ``samples`` real pictures, drawn once for ever, of any order.

    A list by class has only some of them at its front, so the first ones would not do.
    """
    return _drawn(count(index), samples)


def compared(index: Index, samples: int) -> dict[int, int]:
    """Return which pictures of a split are compared with which, at most ``samples`` of each.

    Returns:
        By the place of the picture that another is made for, the place of a real one, in the order
        of comparison. They are the same but for two lists: of these, either is drawn by itself, as
        many as the shorter one has.
    """
    real = _drawn(count(index), min(samples, len(index)))
    made = _drawn(len(index), len(real))
    return dict(zip(made.tolist(), real.tolist(), strict=True))


def _drawn(of: int, samples: int) -> NDArray[np.int64]:
    return np.random.default_rng(0).permutation(of)[:samples]


def read(index: Index, places: Sequence[int], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return pictures [N, H, W, 3] uint8 RGB of a size (height, width), as evaluation sees them.

    Where pictures have others that they are to be turned into, these are meant: brought to the size
    whatever their shape. As many files are read at a time as there are cores.

    Args:
        index: the split.
        places: of real pictures, see :func:`count`.
        size: height and width.

    Raises:
        DataError: a file is missing, truncated, or no picture.
    """
    if not len(places):
        return np.zeros((0, *size, 3), np.uint8)
    where = [int(place) for place in places]
    dataset: Any = None if turns_into(index) else index.dataset(size)
    if getattr(dataset, "batched", False):
        batch: NDArray[np.uint8] = dataset[where].images.permute(0, 2, 3, 1).numpy()
        return batch
    one = _target(index, size) if dataset is None else lambda place: dataset[place].image
    found = np.empty((len(where), *size, 3), np.uint8)
    for n, image in enumerate(in_threads(one, where)):
        found[n] = image
    return found


def read_in_parts(
    index: Index, places: Sequence[int], size: tuple[int, int]
) -> Iterator[NDArray[np.uint8]]:
    """Yield what :func:`read` returns, some pictures at a time."""
    for start in range(0, len(places), _READ):
        yield read(index, places[start : start + _READ], size)


def turns_into(index: Index) -> bool:
    """Whether the pictures of a split are to be turned into others."""
    return index.kind in ("pairs", "unpaired")


def _target(index: Index, size: tuple[int, int]) -> Callable[[int], Image]:
    pairs: Any = index

    def read_one(place: int) -> Image:
        with naming_way_out():
            image = pairs.target(place)
        return resize_image(image, size)

    return read_one
