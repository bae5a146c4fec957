"""A detection set that is made on the spot: six shapes on noisy gradients.

Pictures have sides of 160 to 240 px, a gradient background with noise of sigma 18 over all, and up
to five distractor lines. Each shows one to six objects of six classes, any way round, whose box is
20 px to half the picture's short side across, in a colour that is 40 to 160 levels away from the
background's base in every channel. Nothing leaves the picture, and no object is more than half
hidden. One picture in twenty is empty. 800, 100 and 100 pictures for train, val and test.

The figures above, the seed and the order of the random draws are fixed: scores on this set compare.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from visionkit.data.coco import read_coco
from visionkit.data.drawing import (
    CLASSES,
    SMALLEST,
    Floats,
    background,
    colour,
    distance,
    outline,
    paint,
    with_noise,
)
from visionkit.data.index import DetectionIndex
from visionkit.data.made import is_made, make_once

COUNTS: Mapping[str, int] = {"train": 800, "val": 100, "test": 100}
EMPTY = 0.05
VERSION = 1
"""Of the pictures: changes whenever a pixel or a box does."""

_MARKER = "shapes.json"
_SIDES = (160, 240)
_OBJECTS = (1, 6)

Mask = NDArray[np.bool_]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shape:
    """One object of a scene.

    Attributes:
        label: index into :data:`CLASSES`.
        box: ``x1 y1 x2 y2`` of the whole outline, tight.
        mask: [H, W], the whole object, also where another hides it.
        visible: [H, W], what is left to see of it.
    """

    label: int
    box: tuple[float, float, float, float]
    mask: Mask
    visible: Mask


def read_shapes(root: str | Path, split: str) -> DetectionIndex | None:
    """Read a split of the generated set, making the set in ``root`` on the first call.

    It is made beside ``root`` and moved there whole, so that an interrupted run, or two at once,
    leave nothing half-made.

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
    return read_coco(root, split)


def generate(root: Path, counts: Mapping[str, int] = COUNTS, seed: int = 0) -> None:
    """Make the set in ``root``, in COCO's format; nothing happens if another process was faster.

    Args:
        root: a folder that is empty or doesn't exist.
        counts: split -> number of pictures.
        seed: every picture depends on it, on its split and on its number alone.

    Raises:
        DataError: ``root`` isn't empty, or can't be written.
    """

    def write(folder: Path) -> None:
        for number, (split, count) in enumerate(counts.items()):
            _generate_split(folder, split, count, (seed, number))

    make_once(root, _MARKER, {"version": VERSION, "seed": seed}, write)


def _generate_split(root: Path, split: str, count: int, seed: tuple[int, int]) -> None:
    folder = root / "images" / split
    folder.mkdir(parents=True)
    (root / "annotations").mkdir(exist_ok=True)
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for i, (name, image, shapes) in enumerate(scenes(count, seed)):
        write_picture(folder / name, image)
        height, width = image.shape[:2]
        images.append({"id": i + 1, "file_name": name, "width": width, "height": height})
        for shape in shapes:
            x1, y1, x2, y2 = shape.box
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": i + 1,
                    "category_id": shape.label + 1,
                    "bbox": [round(v, 2) for v in (x1, y1, x2 - x1, y2 - y1)],
                    "area": int(shape.mask.sum()),
                    "iscrowd": 0,
                }
            )
    content = {
        "info": {"description": "generated shapes", "version": str(VERSION)},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": k + 1, "name": name} for k, name in enumerate(CLASSES)],
    }
    path = root / "annotations" / f"instances_{split}.json"
    path.write_text(json.dumps(content), "utf-8")


def scenes(
    count: int, seed: tuple[int, int]
) -> Iterator[tuple[str, NDArray[np.uint8], list[Shape]]]:
    """Draw the pictures of a split: the names of their files, their pixels and their objects.

    Args:
        count: how many.
        seed: the set's, and the split's number.
    """
    order = np.random.default_rng(seed).permutation(count)
    empty = set(order[: round(count * EMPTY)].tolist())
    for i in range(count):
        yield f"{i:04d}.png", *draw_scene(np.random.default_rng((*seed, i)), empty=i in empty)


def write_picture(path: Path, image: NDArray[np.uint8]) -> None:
    """Write a noisy picture [H, W, 3] RGB as PNG."""
    # Noise hardly packs: filtering and searching for matches would cost time and save nothing.
    how = [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY]
    _, data = cv2.imencode(".png", image[:, :, ::-1], how)
    path.write_bytes(data.tobytes())


def draw_scene(
    rng: np.random.Generator, *, empty: bool = False
) -> tuple[NDArray[np.uint8], list[Shape]]:
    """Draw one picture.

    Args:
        rng: decides everything.
        empty: whether to leave the objects out.

    Returns:
        The picture [H, W, 3] uint8 RGB, and its objects from the lowest to the topmost.
    """
    height, width = rng.integers(_SIDES[0], _SIDES[1] + 1, 2).tolist()
    canvas, base, (x, y) = background(rng, height, width)
    shapes: list[Shape] = []
    for _ in range(0 if empty else rng.integers(_OBJECTS[0], _OBJECTS[1] + 1)):
        placed = _place(rng, shapes, x, y)
        if placed is None:
            continue
        shape, away = placed
        paint(canvas, away, colour(rng, base))
        shapes = [_behind(below, shape.mask) for below in shapes] + [shape]

    return with_noise(canvas, rng), shapes


def _place(
    rng: np.random.Generator, shapes: list[Shape], x: Floats, y: Floats
) -> tuple[Shape, Floats] | None:
    """Find a place for one more object where it hides no other by more than half."""
    height, width = x.shape
    for _ in range(30):
        label = int(rng.integers(len(CLASSES)))
        corners = outline(CLASSES[label], rng.uniform(0, 2 * np.pi))
        low, high = corners.min(0), corners.max(0)
        corners = (corners - low) / (high - low).max()
        extent = (high - low) / (high - low).max()
        across = rng.uniform(SMALLEST, min(height, width) / 2)
        corner = rng.uniform(0, 1, 2) * (np.array([width, height]) - extent * across)
        away = np.full(x.shape, np.inf, np.float32)
        left, top = np.maximum(corner - 2, 0).astype(int).tolist()
        right, bottom = (corner + extent * across + 3).astype(int).tolist()
        near = np.s_[top:bottom, left:right]
        away[near] = distance(CLASSES[label], corners * across + corner, x[near], y[near])
        mask = away < 0
        if all(2 * _behind(s, mask).visible.sum() >= s.mask.sum() for s in shapes):
            x1, y1 = corner.tolist()
            x2, y2 = (corner + extent * across).tolist()
            return Shape(label, (x1, y1, x2, y2), mask, mask), away
    return None


def _behind(shape: Shape, mask: Mask) -> Shape:
    return Shape(shape.label, shape.box, shape.mask, shape.visible & ~mask)


read_shapes.generates = True  # type: ignore[attr-defined]  # its folder need not be there yet
