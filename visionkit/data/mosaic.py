"""Several pictures on one canvas: random placement, mosaic, mixup. NumPy and OpenCV."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from visionkit.geometry import Image, blank, resize_labels
from visionkit.sample import Boxes

Picture = tuple[Image, Boxes]
Window = tuple[int, int, int, int]
"""``y1 x1 y2 x2`` in canvas pixels."""


@dataclass(frozen=True)
class Placement:
    """Where a scaled picture comes to lie on a canvas.

    Attributes:
        own: height and width of the picture.
        scale: factor on them.
        size: height and width after scaling.
        top_left: where its first row and column fall, y and x in canvas pixels.
        seen: the part of the canvas that it covers; None where it isn't seen.
    """

    own: tuple[int, int]
    scale: float
    size: tuple[int, int]
    top_left: tuple[int, int]
    seen: Window | None

    def draw(self, canvas: Image, image: Image) -> None:
        """Draw the picture."""
        if self.seen is not None:
            how = cv2.INTER_AREA if self.scale < 0.6 else cv2.INTER_LINEAR
            resized = cv2.resize(image, self.size[::-1], interpolation=how)
            self._copy(canvas, np.asarray(resized, np.uint8))

    def draw_labels(self, canvas: NDArray[np.uint8], labels: NDArray[np.uint8]) -> None:
        """Draw labels [H, W], as the picture is drawn, by the nearest."""
        if self.seen is not None:
            self._copy(canvas, resize_labels(labels, self.size))

    def _copy(self, canvas: NDArray[np.uint8], pixels: NDArray[np.uint8]) -> None:
        assert self.seen is not None
        (y1, x1, y2, x2), (top, left) = self.seen, self.top_left
        canvas[y1:y2, x1:x2] = pixels[y1 - top : y2 - top, x1 - left : x2 - left]

    def move(self, boxes: Boxes, min_visible: float) -> Boxes:
        """Return what is seen of boxes; those less visible than ``min_visible`` are left out."""
        if self.seen is None:
            return Boxes()
        (height, width), (own_height, own_width) = self.size, self.own
        factor = np.array([width / own_width, height / own_height], np.float32)
        top, left = self.top_left
        moved = boxes.boxes * np.tile(factor, 2) + np.array([left, top, left, top], np.float32)
        return clean(Boxes(moved.astype(np.float32), boxes.labels), self.seen, min_visible)


def placed(
    own: tuple[int, int], scale: float, top_left: tuple[float, float], window: Window
) -> Placement:
    """Place a scaled picture on a canvas.

    Args:
        own: height and width of the picture.
        scale: factor on them.
        top_left: where its first row and column fall, y and x in canvas pixels.
        window: ``y1 x1 y2 x2``, the part of the canvas that may be drawn on.
    """
    height, width = max(1, round(own[0] * scale)), max(1, round(own[1] * scale))
    top, left = round(top_left[0]), round(top_left[1])
    y1, x1 = max(window[0], top), max(window[1], left)
    y2, x2 = min(window[2], top + height), min(window[3], left + width)
    seen = None if y2 <= y1 or x2 <= x1 else (y1, x1, y2, x2)
    return Placement(own, scale, (height, width), (top, left), seen)


def clean(boxes: Boxes, window: Window, min_visible: float, min_side: float = 2.0) -> Boxes:
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
    lies = somewhere((picture[0].shape[0], picture[0].shape[1]), canvas, scale, rng, centred)
    lies.draw(image, picture[0])
    return image, lies.move(picture[1], min_visible)


def somewhere(
    own: tuple[int, int],
    canvas: tuple[int, int],
    scale: float,
    rng: np.random.Generator,
    centred: bool = False,
) -> Placement:
    """Place a picture of height and width ``own`` as :func:`scaled` does."""
    room = [canvas[k] - own[k] * scale for k in (0, 1)]
    top_left = (room[0] * rng.random(), room[1] * rng.random())
    if centred:  # where the letterbox puts it
        top_left = (room[0] // 2, room[1] // 2)
    return placed(own, scale, top_left, (0, 0, *canvas))


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
        min_visible: a box is kept if at least this part of its area is seen.
    """
    image = blank(canvas)
    sizes = [(picture[0].shape[0], picture[0].shape[1]) for picture in pictures]
    parts = []
    for picture, lies in zip(pictures, quarters(sizes, canvas, scale, rng), strict=True):
        lies.draw(image, picture[0])
        parts.append(lies.move(picture[1], min_visible))
    return image, join(parts)


def quarters(
    sizes: Sequence[tuple[int, int]],
    canvas: tuple[int, int],
    scale: Callable[[], float],
    rng: np.random.Generator,
) -> list[Placement]:
    """Place four pictures of heights and widths ``sizes`` as :func:`mosaic` does."""
    height, width = canvas
    cy, cx = round(height * rng.uniform(0.3, 0.7)), round(width * rng.uniform(0.3, 0.7))
    found = []
    for k, own in enumerate(sizes):
        factor = scale()
        h, w = (side * factor for side in own)
        above, before = k < 2, k % 2 == 0
        window = (
            0 if above else cy,
            0 if before else cx,
            cy if above else height,
            cx if before else width,
        )
        top_left = (cy - h if above else cy, cx - w if before else cx)
        found.append(placed(own, factor, top_left, window))
    return found


def mixup(a: Picture, b: Picture, ratio: float) -> Picture:
    """Blend two pictures of one size (Zhang et al. 2018) and keep the boxes of both."""
    image = cv2.addWeighted(a[0], ratio, b[0], 1 - ratio, 0)
    return np.asarray(image, np.uint8), join([a[1], b[1]])
