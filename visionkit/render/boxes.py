"""Boxes drawn on their picture."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from visionkit.colours import Colour, class_colour, ink_on
from visionkit.geometry import Image
from visionkit.lettering import put_text, text_width
from visionkit.results import Detections

_SHIFT = 4  # boxes are drawn to a sixteenth of a pixel


def draw_boxes(image: Image, result: Detections, scores: bool, line: int | None) -> Image:
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
