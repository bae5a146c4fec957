"""Pictures of 32 px that are made on the spot: one shape each, drawn as in the other sets.

Each shows one of the six shapes of :mod:`visionkit.data.shapes`, whole, 20 to 28 px across, turned
by up to 10 degrees, on a gradient background, in a colour that is 40 to 160 levels away from it.
There are no distractor lines, and the noise has sigma 4, so that shapes of that size can be told
apart and learned in minutes, and what is made like them can be judged by eye. 8000, 1000 and 1000
pictures for train, val and test, as many of each class, one by one in turn.

The figures above, the seed and the order of the random draws are fixed: scores on this set compare.
"""

import logging
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visionkit.data import drawing
from visionkit.data.class_index import ClassIndex
from visionkit.data.made import is_made, make_once
from visionkit.errors import DataError

CLASSES = drawing.CLASSES
COUNTS: Mapping[str, int] = {"train": 8000, "val": 1000, "test": 1000}
SIDE = 32
VERSION = 1
"""Of the pictures: changes whenever a pixel does."""

_MARKER = "shape_images.json"
_ACROSS = (20.0, 28.0)
_TURN = np.pi / 18
_NOISE = 4.0

log = logging.getLogger(__name__)


def read_shape_images(root: str | Path, split: str) -> ClassIndex | None:
    """Read a split of the generated pictures, making them in ``root`` on the first call.

    They are pixels in memory, from one file for each split.

    Args:
        root: the set's folder; it may not exist yet.
        split: ``train``, ``val`` or ``test``.

    Returns:
        The index, or None for any other split.

    Raises:
        DataError: ``root`` holds something else, or can't be read or written.
    """
    root = Path(root)
    if not is_made(root, _MARKER, VERSION):
        log.info("generating %d pictures in %s", sum(COUNTS.values()), root)
        generate(root)
    path = root / f"{split}.npz"
    if split not in COUNTS or not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            pixels, labels = file["pixels"], file["labels"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: truncated or damaged; delete {root} to make it anew") from error
    return ClassIndex(CLASSES, np.arange(len(labels), dtype=np.int64), labels, pixels=pixels)


def generate(root: Path, counts: Mapping[str, int] = COUNTS, seed: int = 0) -> None:
    """Make the set in ``root``; nothing happens if another process was faster.

    Args:
        root: a folder that is empty or doesn't exist.
        counts: split -> number of pictures.
        seed: every picture depends on it, on its split and on its number alone.

    Raises:
        DataError: ``root`` isn't empty, or can't be written.
    """

    def write(folder: Path) -> None:
        for number, (split, count) in enumerate(counts.items()):
            labels = np.arange(count, dtype=np.int64) % len(CLASSES)
            pixels = np.zeros((count, SIDE, SIDE, 3), np.uint8)
            for i, label in enumerate(labels.tolist()):
                pixels[i] = draw_one(np.random.default_rng((seed, number, i)), label)
            np.savez(folder / f"{split}.npz", pixels=pixels, labels=labels)

    make_once(root, _MARKER, {"version": VERSION, "seed": seed}, write)


def draw_one(rng: np.random.Generator, label: int) -> NDArray[np.uint8]:
    """Draw a picture of one shape.

    Args:
        rng: decides everything else.
        label: of the shape, 0..5.

    Returns:
        [32, 32, 3] uint8 RGB.
    """
    name = CLASSES[label]
    upright = -np.pi / 4 if name == "square" else -np.pi / 2
    turns = (upright - _TURN, upright + _TURN)
    return drawing.one_shape(rng, name, (SIDE, SIDE), _ACROSS, 0, _NOISE, turns)


read_shape_images.generates = True  # type: ignore[attr-defined]  # its folder need not be there
