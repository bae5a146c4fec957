"""Results drawn on their pictures, and pictures put together. NumPy and OpenCV only."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from visionkit.colours import Colour, class_colour, ink_on
from visionkit.geometry import Image
from visionkit.lettering import put_text, shorten, text_width
from visionkit.results import Classification, Detections, Result

_SHIFT = 4  # boxes are drawn to a sixteenth of a pixel
_PAPER = (24, 24, 27)
_TITLE_INK = (236, 236, 236)
_CAPTION_INK = _TITLE_INK
_LEGIBLE = 160  # pixels across that a caption needs
_RIGHT, _WRONG = (120, 220, 130), (255, 110, 100)


def draw(image: Image, result: Result, *, scores: bool = True, line: int | None = None) -> Image:
    """Draw a result on its picture.

    Args:
        image: [H, W, 3] uint8 RGB; it isn't changed.
        result: of that picture, in its pixels.
        scores: write scores (truth has none to tell).
        line: width of the lines of boxes in pixels; from the size of the picture unless given.

    Returns:
        [H, W, 3] uint8 RGB; under a picture's classes it is higher.
    """
    if isinstance(result, Classification):
        return _captioned(image, [(_classes(result, scores), _CAPTION_INK)])
    assert isinstance(result, Detections)
    return _draw_boxes(image, result, scores, line)


def compare(image: Image, truth: Result, result: Result) -> Image:
    """Show the truth of a picture and what was predicted.

    Boxes are drawn on two copies side by side; classes stand below the picture, a wrong one in red.
    """
    if isinstance(truth, Classification) and isinstance(result, Classification):
        right = set(truth.labels) == set(result.labels)
        said = (f"predicted: {_classes(result, True)}", _RIGHT if right else _WRONG)
        return _captioned(image, [(f"truth: {_classes(truth, False)}", _CAPTION_INK), said])
    drawn = [draw(image, truth, scores=False), draw(image, result)]
    return side_by_side(drawn, ["truth", "prediction"])


def _classes(result: Classification, scores: bool) -> str:
    if scores:
        return result.summary()
    shown = [result.classes[i] if i < len(result.classes) else str(i) for i in result.labels]
    return ", ".join(shown) or "nothing"


def _captioned(image: Image, lines: Sequence[tuple[str, Colour]]) -> Image:
    """Put lines of text below a picture, each in its colour, shortened to its width.

    A picture too small for words is enlarged by a whole factor.
    """
    factor = -(-_LEGIBLE // image.shape[1])
    image = np.repeat(np.repeat(image, factor, 0), factor, 1)
    width = image.shape[1]
    size = round(min(max(11, width / 18), 28))
    step = round(size * 1.5)
    foot = np.full((step * len(lines) + size // 2, width, 3), _PAPER, np.uint8)
    for n, (text, colour) in enumerate(lines):
        wording = shorten(text, size, width - size)
        put_text(foot, wording, size // 2, round(size * 1.25) + n * step, size, colour)
    return np.concatenate([image, foot])


def _draw_boxes(image: Image, result: Detections, scores: bool, line: int | None) -> Image:
    """Draw boxes with their class and score; the best boxes lie on top.

    Tags stand on top of their box, or inside it where there is no room above. Better boxes choose
    first. A tag that would hide another, or the neighbours of a small box, is cut down: without the
    score, then to three letters of the class, then left out (the colour still tells the class).
    """
    height, width = image.shape[:2]
    out = np.ascontiguousarray(image).copy()
    if not len(result):
        return out
    line = line or max(1, round((height + width) / 600))
    size = _letter_size(result, height, width)
    order = range(len(result) - 1, -1, -1)
    names = result.names
    for i in order:
        _box(out, result.boxes[i].tolist(), int(result.labels[i]), line)
    placed = np.zeros((0, 4))
    tags: list[tuple[str, NDArray[np.float64], int]] = []
    for i in range(len(result)):
        score = f" {result.scores[i]:.2f}" if scores else ""
        wordings = dict.fromkeys((names[i] + score, names[i], names[i][:3]))
        others = np.delete(result.boxes, i, 0).astype(np.float64)
        found = _place(
            result.boxes[i].astype(np.float64), list(wordings), size, placed, others, out
        )
        if found:
            placed = np.concatenate([placed, found[1][None]])
            tags.append((*found, int(result.labels[i])))
    for wording, spot, label in reversed(tags):
        _tag(out, wording, spot, class_colour(label), size)
    return out


def _letter_size(result: Detections, height: int, width: int) -> int:
    """Letters that suit the picture, smaller where most boxes are small."""
    sides = result.boxes[:, 2:] - result.boxes[:, :2]
    typical = float(np.median(np.sqrt(np.clip(sides.prod(1), 1, None))))
    return round(min(max(10, (height + width) / 75), max(10, typical / 5), 40))


def _box(out: Image, box: Sequence[float], label: int, line: int) -> None:
    height, width = out.shape[:2]
    half = line / 2
    left, right = (min(max(x, half - 0.5), width - 0.5 - half) for x in box[0::2])
    top, bottom = (min(max(y, half - 0.5), height - 0.5 - half) for y in box[1::2])
    corners = [
        (round(x * 2**_SHIFT), round(y * 2**_SHIFT)) for x, y in ((left, top), (right, bottom))
    ]
    colour = class_colour(label)
    if line > 1:  # a dark rim keeps the box visible on its own colour
        rim = tuple(c // 4 for c in colour)
        cv2.rectangle(out, corners[0], corners[1], rim, line + 2, cv2.LINE_AA, _SHIFT)
    cv2.rectangle(out, corners[0], corners[1], colour, line, cv2.LINE_AA, _SHIFT)


def _place(
    box: NDArray[np.float64],
    wordings: Sequence[str],
    size: int,
    tags: NDArray[np.float64],
    others: NDArray[np.float64],
    out: Image,
) -> tuple[str, NDArray[np.float64]] | None:
    """Find the longest wording of a tag that hides nothing, and its place ``x1 y1 x2 y2``."""
    height, width = out.shape[:2]
    tag_h = round(size * 1.2) + _padding(size)
    roomy = box[3] - box[1] > 2.5 * tag_h
    for wording in wordings:
        tag_w = text_width(wording, size) + 2 * _padding(size)
        fits = tag_w <= 1.25 * (box[2] - box[0])
        # over a box much larger than the tag nothing is lost
        small = others[(others[:, 2:] - others[:, :2]).prod(1) < 6 * tag_w * tag_h]
        left = min(max(round(box[0]), 0), max(width - tag_w, 0))
        above = round(box[1]) - tag_h
        inside = min(max(round(box[1]), 0), max(height - tag_h, 0))
        tops = ([above] if above >= 0 else []) + ([inside] if roomy or above < 0 else [])
        for top in tops:
            spot = np.array([left, top, left + tag_w, top + tag_h], np.float64)
            if not _touches(spot, tags) and (fits or not _touches(spot, small)):
                return wording, spot
    return None


def _touches(box: NDArray[np.float64], others: NDArray[np.float64]) -> bool:
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    return bool((high > low).all(1).any())


def _padding(size: int) -> int:
    return max(2, size // 4)


def _tag(out: Image, text: str, spot: NDArray[np.float64], colour: Colour, size: int) -> None:
    left, top, right, bottom = (int(x) for x in spot)
    cv2.rectangle(out, (left, top), (right - 1, bottom - 1), colour, cv2.FILLED)
    pad = _padding(size)
    put_text(out, text, left + pad, bottom - pad // 2 - round(size * 0.22), size, ink_on(colour))


def side_by_side(images: Sequence[Image], titles: Sequence[str]) -> Image:
    """Put pictures in a row, each under its title: the truth and a prediction, say.

    Args:
        images: [H, W, 3] uint8 RGB each; lower ones are scaled to the highest.
        titles: as many.

    Returns:
        [H', W', 3] uint8 RGB.
    """
    height = max(i.shape[0] for i in images)
    gap = max(2, height // 100)
    size = round(min(max(11, height / 22), 28))
    panels: list[Image] = []
    for image, title in zip(images, titles, strict=True):
        panel = _scaled(image, height)
        head = np.full((round(size * 1.8), panel.shape[1], 3), _PAPER, np.uint8)
        wording = shorten(title, size, panel.shape[1] - size)
        put_text(head, wording, size // 2, round(size * 1.25), size, _TITLE_INK)
        if panels:
            panels.append(np.full((height + len(head), gap, 3), _PAPER, np.uint8))
        panels.append(np.concatenate([head, panel]))
    return np.concatenate(panels, 1)


def _scaled(image: Image, height: int) -> Image:
    if image.shape[0] == height:
        return image
    width = max(1, round(image.shape[1] * height / image.shape[0]))
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def contact_sheet(images: Sequence[Image], columns: int | None = None) -> Image:
    """Lay pictures out in rows of ``columns`` (about a square unless given).

    Each stands in the middle of a cell of the largest height and width; pictures keep their pixels.

    Returns:
        [H, W, 3] uint8 RGB.
    """
    columns = min(columns or math.ceil(math.sqrt(len(images))), len(images))
    rows = math.ceil(len(images) / columns)
    cell_h, cell_w = max(i.shape[0] for i in images), max(i.shape[1] for i in images)
    gap = max(2, cell_h // 60)
    shape = (rows * (cell_h + gap) + gap, columns * (cell_w + gap) + gap, 3)
    sheet = np.full(shape, _PAPER, np.uint8)
    for n, image in enumerate(images):
        top = gap + n // columns * (cell_h + gap) + (cell_h - image.shape[0]) // 2
        left = gap + n % columns * (cell_w + gap) + (cell_w - image.shape[1]) // 2
        sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
    return sheet
