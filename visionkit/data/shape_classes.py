"""Class folders that are made on the spot: one shape a picture, drawn as in the set of boxes.

Pictures have sides of 48 to 80 px, with the gradient background, the noise, the distractor lines
and the colours of :mod:`visionkit.data.shapes`. Each shows one of the six shapes, any way round,
anywhere, whole, 20 px to three quarters of the short side across. 6000, 480 and 480 pictures for
train, val and test, as many of each class.

The figures above, the seed and the order of the random draws are fixed: scores on this set compare.
"""

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visionkit.data import drawing
from visionkit.data.class_index import ClassIndex
from visionkit.data.folder import read_folder
from visionkit.data.made import is_made, make_once
from visionkit.data.shapes import write_picture

CLASSES = drawing.CLASSES
COUNTS: Mapping[str, int] = {"train": 6000, "val": 480, "test": 480}
VERSION = 2
"""Of the pictures: changes whenever a pixel does."""

_MARKER = "shape_classes.json"
_SIDES = (48, 80)
_LARGEST = 0.75

log = logging.getLogger(__name__)


def read_shape_classes(root: str | Path, split: str) -> ClassIndex | None:
    """Read a split of the generated class folders, making them in ``root`` on the first call.

    Args:
        root: the set's folder; it may not exist yet.
        split: ``train``, ``val`` or ``test``.

    Returns:
        The index, or None for any other split.

    Raises:
        DataError: ``root`` holds something else, or can't be written.
    """
    root = Path(root)
    if not is_made(root, _MARKER, VERSION):
        log.info("generating %d pictures in %s", sum(COUNTS.values()), root)
        generate(root)
    return read_folder(root, split)


def generate(root: Path, counts: Mapping[str, int] = COUNTS, seed: int = 0) -> None:
    """Make the set in ``root``, as class folders; nothing happens if another process was faster.

    Args:
        root: a folder that is empty or doesn't exist.
        counts: split -> number of pictures.
        seed: every picture depends on it, on its split and on its number alone.

    Raises:
        DataError: ``root`` isn't empty, or can't be written.
    """

    def write(folder: Path) -> None:
        for number, (split, count) in enumerate(counts.items()):
            _write_split(folder / split, count, (seed, number))

    make_once(root, _MARKER, {"version": VERSION, "seed": seed}, write)


def _write_split(folder: Path, count: int, seed: tuple[int, int]) -> None:
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
    for i in range(count):
        label = i % len(CLASSES)
        image = draw_one(np.random.default_rng((*seed, i)), label)
        write_picture(folder / CLASSES[label] / f"{i:04d}.png", image)


def draw_one(rng: np.random.Generator, label: int) -> NDArray[np.uint8]:
    """Draw a picture of one shape.

    Args:
        rng: decides everything else.
        label: of the shape, 0..5.

    Returns:
        [H, W, 3] uint8 RGB.
    """
    height, width = rng.integers(_SIDES[0], _SIDES[1] + 1, 2).tolist()
    across = drawing.SMALLEST, min(height, width) * _LARGEST
    return drawing.one_shape(rng, CLASSES[label], (height, width), across)


read_shape_classes.generates = True  # type: ignore[attr-defined]  # its folder need not be there
