"""Several pictures on one canvas: random placement, mosaic, mixup. NumPy and OpenCV."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from visionkit.geometry import Image, blank
from visionkit.sample import Boxes

Picture = tuple[Image, Boxes]


def place(
    canvas: Image,
    picture: Picture,
    scale: float,
    top_left: tuple[float, float],
    window: tuple[int, int, int, int],
    min_visible: float,
) -> Boxes:
    """Draw a scaled picture into a window of the canvas and return its boxes there.

    Args:
        canvas: [H, W, 3], drawn on.
        picture: image and boxes.
        scale: factor on the picture's sides.
        top_left: where its first row and column fall, y and x in canvas pixels.
        window: ``y1 x1 y2 x2``, the part of the canvas that may be drawn on.
        min_visible: a box is kept if at least this part of its area is in the window.
    """
    image, boxes = picture
    height = max(1, round(image.shape[0] * scale))
    width = max(1, round(image.shape[1] * scale))
    top, left = round(top_left[0]), round(top_left[1])
    y1, x1 = max(window[0], top), max(window[1], left)
    y2, x2 = min(window[2], top + height), min(window[3], left + width)
    if y2 <= y1 or x2 <= x1:
        return Boxes()
    how = cv2.INTER_AREA if scale < 0.6 else cv2.INTER_LINEAR
    resized = cv2.resize(image, (width, height), interpolation=how)
    canvas[y1:y2, x1:x2] = resized[y1 - top : y2 - top, x1 - left : x2 - left]
    factor = np.array([width / image.shape[1], height / image.shape[0]], np.float32)
    moved = boxes.boxes * np.tile(factor, 2) + np.array([left, top, left, top], np.float32)
    return clean(Boxes(moved.astype(np.float32), boxes.labels), (y1, x1, y2, x2), min_visible)


def clean(
    boxes: Boxes, window: tuple[int, int, int, int], min_visible: float, min_side: float = 2.0
) -> Boxes:
    """Clip boxes to ``window`` (``y1 x1 y2 x2``); drop those mostly outside or next to nothing.

    A box that was less than ``min_side`` pixels across before is kept only if it is whole.
    """
    y1, x1, y2, x2 = window
    before = boxes.boxes
    after = np.clip(before, [x1, y1, x1, y1], [x2, y2, x2, y2]).astype(np.float32)
    sides = after[:, 2:] - after[:, :2]
    area_before = (before[:, 2:] - before[:, :2]).prod(1)
    visible = sides.prod(1) / np.maximum(area_before, 1e-9)
    keep = (sides > 0).all(1) & (visible >= min_visible)
    keep &= (sides >= min_side).all(1) | (visible > 0.999)
    return Boxes(after[keep], boxes.labels[keep])


def join(parts: Sequence[Boxes]) -> Boxes:
    """All boxes of several parts."""
    return Boxes(
        np.concatenate([p.boxes for p in parts]), np.concatenate([p.labels for p in parts])
    )


def scaled(
    picture: Picture,
    canvas: tuple[int, int],
    scale: float,
    rng: np.random.Generator,
    min_visible: float,
    centred: bool = False,
) -> Picture:
    """One picture at a random place: inside the canvas if smaller, a random crop if larger."""
    image = blank(canvas)
    room = [canvas[k] - picture[0].shape[k] * scale for k in (0, 1)]
    top_left = (room[0] * rng.random(), room[1] * rng.random())
    if centred:  # where the letterbox puts it
        top_left = (room[0] // 2, room[1] // 2)
    boxes = place(image, picture, scale, top_left, (0, 0, *canvas), min_visible)
    return image, boxes


def mosaic(
    pictures: Sequence[Picture],
    canvas: tuple[int, int],
    scale: Callable[[], float],
    rng: np.random.Generator,
    min_visible: float,
) -> Picture:
    """Four pictures around a random centre (Bochkovskiy et al. 2020), each cut off at its quarter.

    Args:
        pictures: four.
        canvas: height and width of the result.
        scale: gives a random factor for each picture.
        rng: source of chance.
        min_visible: see :func:`place`.
    """
    height, width = canvas
    image = blank(canvas)
    cy, cx = round(height * rng.uniform(0.3, 0.7)), round(width * rng.uniform(0.3, 0.7))
    parts = []
    for k, picture in enumerate(pictures):
        factor = scale()
        h, w = (side * factor for side in picture[0].shape[:2])
        above, before = k < 2, k % 2 == 0
        window = (
            0 if above else cy,
            0 if before else cx,
            cy if above else height,
            cx if before else width,
        )
        top_left = (cy - h if above else cy, cx - w if before else cx)
        parts.append(place(image, picture, factor, top_left, window, min_visible))
    return image, join(parts)


def mixup(a: Picture, b: Picture, ratio: float) -> Picture:
    """Blend two pictures of one size (Zhang et al. 2018) and keep the boxes of both."""
    image = cv2.addWeighted(a[0], ratio, b[0], 1 - ratio, 0)
    return np.asarray(image, np.uint8), join([a[1], b[1]])
