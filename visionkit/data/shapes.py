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
import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from visionkit.data.coco import read_coco
from visionkit.data.index import DetectionIndex
from visionkit.errors import DataError

CLASSES = ("circle", "square", "triangle", "star", "cross", "ring")
COUNTS: Mapping[str, int] = {"train": 800, "val": 100, "test": 100}
EMPTY = 0.05
NOISE = 18.0
VERSION = 1
"""Of the pictures: changes whenever a pixel or a box does."""

_MARKER = "shapes.json"
_SIDES = (160, 240)
_OBJECTS = (1, 6)
_LINES = 5
_SMALLEST = 20.0
_CONTRAST = (40.0, 160.0)
_GRADIENT = 25.0
_RING_HOLE = 0.55

Floats = NDArray[np.float32]
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
    if not _is_made(root):
        log.info("generating %d pictures in %s", sum(COUNTS.values()), root)
        generate(root)
    return read_coco(root, split)


def _is_made(root: Path) -> bool:
    try:
        version = json.loads((root / _MARKER).read_text("utf-8"))["version"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    if version != VERSION:
        raise DataError(
            f"{root}: holds version {version} of the generated set, this is version {VERSION}; "
            "delete the folder or choose another data.root"
        )
    return True


def generate(root: Path, counts: Mapping[str, int] = COUNTS, seed: int = 0) -> None:
    """Make the set in ``root``, in COCO's format; nothing happens if another process was faster.

    Args:
        root: a folder that is empty or doesn't exist.
        counts: split -> number of pictures.
        seed: every picture depends on it, on its split and on its number alone.

    Raises:
        DataError: ``root`` isn't empty, or can't be written.
    """
    target = root.resolve()
    work = target.parent / f".{target.name}.{uuid.uuid4().hex[:12]}"
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise DataError(
                f"{root}: isn't an empty folder and holds no generated set; "
                "choose another data.root, or another data= for what is there"
            )
        work.mkdir(parents=True)
        for number, (split, count) in enumerate(counts.items()):
            _generate_split(work, split, count, (seed, number))
        (work / _MARKER).write_text(json.dumps({"version": VERSION, "seed": seed}), "utf-8")
        try:
            os.rename(work, target)
        except OSError:
            if not _is_made(root):
                raise
    except OSError as error:
        if not _is_made(root):
            raise DataError(
                f"{root}: the generated set can't be written ({error.strerror}); "
                "set data.root to a folder you can write to"
            ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _generate_split(root: Path, split: str, count: int, seed: tuple[int, int]) -> None:
    folder = root / "images" / split
    folder.mkdir(parents=True)
    (root / "annotations").mkdir(exist_ok=True)
    order = np.random.default_rng(seed).permutation(count)
    empty = set(order[: round(count * EMPTY)].tolist())
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for i in range(count):
        image, shapes = draw_scene(np.random.default_rng((*seed, i)), empty=i in empty)
        name = f"{i:04d}.png"
        # Noise hardly packs: filtering and searching for matches would cost time and save nothing.
        how = [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY]
        _, data = cv2.imencode(".png", image[:, :, ::-1], how)
        (folder / name).write_bytes(data.tobytes())
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
    y, x = np.mgrid[:height, :width].astype(np.float32) + np.float32(0.5)
    base = rng.uniform(40, 215, 3)
    angle = rng.uniform(0, 2 * np.pi)
    along = (np.cos(angle) * (x / width - 0.5) + np.sin(angle) * (y / height - 0.5)).astype("f4")
    slope = rng.uniform(-_GRADIENT, _GRADIENT, 3) * 2
    canvas = (base + along[:, :, None] * slope).astype(np.float32)

    for _ in range(rng.integers(0, _LINES + 1)):
        ends = rng.uniform(0, 1, (2, 2)) * (width, height)
        distance = _to_segment(x, y, ends[0], ends[1]) - rng.uniform(0.5, 2.0)
        _paint(canvas, distance, _colour(rng, base))

    shapes: list[Shape] = []
    for _ in range(0 if empty else rng.integers(_OBJECTS[0], _OBJECTS[1] + 1)):
        placed = _place(rng, shapes, x, y)
        if placed is None:
            continue
        shape, distance = placed
        _paint(canvas, distance, _colour(rng, base))
        shapes = [_behind(below, shape.mask) for below in shapes] + [shape]

    canvas += rng.standard_normal(canvas.shape, np.float32) * np.float32(NOISE)
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8), shapes


def _place(
    rng: np.random.Generator, shapes: list[Shape], x: Floats, y: Floats
) -> tuple[Shape, Floats] | None:
    """Find a place for one more object where it hides no other by more than half."""
    height, width = x.shape
    for _ in range(30):
        label = int(rng.integers(len(CLASSES)))
        outline = _outline(CLASSES[label], rng.uniform(0, 2 * np.pi))
        low, high = outline.min(0), outline.max(0)
        outline = (outline - low) / (high - low).max()
        extent = (high - low) / (high - low).max()
        across = rng.uniform(_SMALLEST, min(height, width) / 2)
        corner = rng.uniform(0, 1, 2) * (np.array([width, height]) - extent * across)
        distance = np.full(x.shape, np.inf, np.float32)
        left, top = np.maximum(corner - 2, 0).astype(int).tolist()
        right, bottom = (corner + extent * across + 3).astype(int).tolist()
        near = np.s_[top:bottom, left:right]
        distance[near] = _distance(CLASSES[label], outline * across + corner, x[near], y[near])
        mask = distance < 0
        if all(2 * _behind(s, mask).visible.sum() >= s.mask.sum() for s in shapes):
            x1, y1 = corner.tolist()
            x2, y2 = (corner + extent * across).tolist()
            return Shape(label, (x1, y1, x2, y2), mask, mask), distance
    return None


def _behind(shape: Shape, mask: Mask) -> Shape:
    return Shape(shape.label, shape.box, shape.mask, shape.visible & ~mask)


def _colour(rng: np.random.Generator, base: NDArray[np.float64]) -> Floats:
    """A colour whose channels are all 40 to 160 levels away from ``base``, and within 0..255."""
    up = rng.random(3) < 0.5
    room = np.where(up, 255 - base, base)
    up ^= room < _CONTRAST[0]
    room = np.minimum(np.where(up, 255 - base, base), _CONTRAST[1])
    away = rng.uniform(_CONTRAST[0], room)
    return np.where(up, base + away, base - away).astype(np.float32)


def _outline(name: str, angle: float) -> NDArray[np.float64]:
    """Corners [n, 2] of a shape of any size, turned by ``angle``; for round ones, its box's."""
    if name in ("circle", "ring"):
        return np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    if name == "cross":
        arm = 0.34
        quarter = np.array([[1, -arm], [1, arm], [arm, arm]])
        return np.concatenate([quarter @ _rotation(angle + k * np.pi / 2) for k in range(4)])
    points, inner = {"square": (4, 1.0), "triangle": (3, 1.0), "star": (5, 0.45)}[name]
    steps = 2 * points if inner < 1 else points
    theta = np.arange(steps) * (2 * np.pi / steps) + angle
    radius = np.where(np.arange(steps) % 2, inner, 1.0)
    return np.stack([radius * np.cos(theta), radius * np.sin(theta)], 1)


def _rotation(angle: float) -> NDArray[np.float64]:
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def _distance(name: str, outline: NDArray[np.float64], x: Floats, y: Floats) -> Floats:
    """The signed distance of each pixel's centre from the shape's edge, negative inside."""
    if name in ("circle", "ring"):
        (cx, cy), radius = outline.mean(0), np.ptp(outline[:, 0]) / 2
        from_centre = np.hypot(x - np.float32(cx), y - np.float32(cy))
        if name == "circle":
            return np.asarray(from_centre - np.float32(radius), np.float32)
        middle, half = radius * (1 + _RING_HOLE) / 2, radius * (1 - _RING_HOLE) / 2
        return np.asarray(np.abs(from_centre - np.float32(middle)) - np.float32(half), np.float32)
    distance = np.full(x.shape, np.inf, np.float32)
    inside = np.zeros(x.shape, bool)
    for a, b in zip(outline, np.roll(outline, -1, 0), strict=True):
        np.minimum(distance, _to_segment(x, y, a, b), out=distance)
        crosses = (y < a[1]) != (y < b[1])
        if a[1] != b[1]:
            inside ^= crosses & (x < a[0] + (y - a[1]) * ((b[0] - a[0]) / (b[1] - a[1])))
    return np.where(inside, -distance, distance)


def _to_segment(x: Floats, y: Floats, a: NDArray[np.float64], b: NDArray[np.float64]) -> Floats:
    """The distance of each pixel's centre from the segment between ``a`` and ``b``."""
    dx, dy = (np.float32(v) for v in b - a)
    px, py = x - np.float32(a[0]), y - np.float32(a[1])
    t = np.clip((px * dx + py * dy) / max(dx * dx + dy * dy, np.float32(1e-6)), 0, 1)
    return np.asarray(np.hypot(px - t * dx, py - t * dy), np.float32)


def _paint(canvas: Floats, distance: Floats, colour: Floats) -> None:
    """Lay a colour on the canvas where ``distance`` is negative, with an edge of one pixel."""
    cover = np.clip(0.5 - distance, 0, 1)[:, :, None]
    canvas += cover * (colour - canvas)


read_shapes.generates = True  # type: ignore[attr-defined]  # its folder need not be there yet
