"""The generated shapes with masks: the pictures of the set of boxes, and the class of each pixel.

Pictures, splits and counts are those of :mod:`visionkit.data.shapes`. A pixel is of the topmost
object that its centre is in, else of the class ``background``. Masks are PNG files of indices.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from visionkit.colours import class_colour
from visionkit.data.drawing import CLASSES as SHAPES
from visionkit.data.made import is_made, make_once
from visionkit.data.mask_index import MaskIndex
from visionkit.data.masks import read_masks
from visionkit.data.shapes import COUNTS, Shape, scenes, write_picture
from visionkit.data.shapes import VERSION as PICTURES

CLASSES = ("background", *SHAPES)
VERSION = 10 * PICTURES + 1
"""Of pictures and masks: changes whenever a pixel of either does."""

_MARKER = "shape_masks.json"

log = logging.getLogger(__name__)


def read_shape_masks(root: str | Path, split: str) -> MaskIndex | None:
    """Read a split of the generated set, making the set in ``root`` on the first call.

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
    return read_masks(root, split, layout="folders", validation=0)


def generate(root: Path, counts: Mapping[str, int] = COUNTS, seed: int = 0) -> None:
    """Make the set in ``root``, as folders; nothing happens if another process was faster.

    Args:
        root: a folder that is empty or doesn't exist.
        counts: split -> number of pictures.
        seed: every picture depends on it, on its split and on its number alone.

    Raises:
        DataError: ``root`` isn't empty, or can't be written.
    """

    def write(folder: Path) -> None:
        (folder / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES), "utf-8")
        for number, (split, count) in enumerate(counts.items()):
            _write_split(folder, split, count, (seed, number))

    make_once(root, _MARKER, {"version": VERSION, "seed": seed}, write)


def _write_split(root: Path, split: str, count: int, seed: tuple[int, int]) -> None:
    pictures, masks = root / "images" / split, root / "masks" / split
    pictures.mkdir(parents=True)
    masks.mkdir(parents=True)
    palette = [value for label in range(len(CLASSES)) for value in class_colour(label)]
    for name, image, shapes in scenes(count, seed):
        write_picture(pictures / name, image)
        mask = Image.fromarray(draw_mask((image.shape[0], image.shape[1]), shapes))
        mask.putpalette(palette)
        mask.save(masks / name)


def draw_mask(size: tuple[int, int], shapes: Sequence[Shape]) -> NDArray[np.uint8]:
    """The labels [H, W] of what is to be seen of the objects of a scene."""
    labels = np.zeros(size, np.uint8)
    for shape in shapes:
        labels[shape.visible] = 1 + shape.label
    return labels


read_shape_masks.generates = True  # type: ignore[attr-defined]  # its folder need not be there yet
