"""Sheets of pictures with captions. NumPy and OpenCV only."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from visionkit.colours import Colour
from visionkit.geometry import Image
from visionkit.lettering import put_text, shorten, text_width
from visionkit.render import contact_sheet

SIDE = 196
COLUMNS = 6
_PAPER = (24, 24, 27)
_EMPTY = (52, 52, 58)
_INK = (236, 236, 236)
_FAINT = (150, 150, 158)
_SIZE = 14
_LINE = 20


class Words(NamedTuple):
    """A line of a caption: a faint word, a name in its colour, and a number that is never cut."""

    lead: str
    name: str
    colour: Colour | None = None
    tail: str = ""


def tile(image: Image | None, lines: Sequence[Words], side: int = SIDE) -> Image:
    """Put a picture into a square with a caption below.

    Small pictures are enlarged by a whole factor, each pixel a square, so that nothing is blurred;
    large ones are reduced.

    Args:
        image: [H, W, 3] uint8 RGB, or None for one that can't be read.
        lines: the caption.
        side: of the square, in pixels.

    Returns:
        [side + caption, side, 3] uint8 RGB.
    """
    out = np.full((side, side, 3), _PAPER, np.uint8)
    if image is None:
        out[:] = _EMPTY
        note = shorten("can't be read", _SIZE, side)
        left = (side - text_width(note, _SIZE)) // 2
        put_text(out, note, left, side // 2, _SIZE, _FAINT)
    else:
        fitted = _fit(image, side)
        height, width = fitted.shape[:2]
        top, left = (side - height) // 2, (side - width) // 2
        out[top : top + height, left : left + width] = fitted
    return with_caption(out, lines)


def with_caption(image: Image, lines: Sequence[Words]) -> Image:
    """Put a caption below a picture, as wide as it is.

    Args:
        image: [H, W, 3] uint8 RGB.
        lines: the caption.

    Returns:
        [H + caption, W, 3] uint8 RGB.
    """
    foot = np.full((_LINE * len(lines) + _LINE // 2, image.shape[1], 3), _PAPER, np.uint8)
    for n, words in enumerate(lines):
        _write(foot, words, _LINE * (n + 1) - 3)
    return np.concatenate([image, foot])


def _fit(image: Image, side: int) -> Image:
    height, width = image.shape[:2]
    factor = side // max(height, width)
    if factor >= 1:
        return np.repeat(np.repeat(image, factor, 0), factor, 1)
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _write(out: Image, words: Words, baseline: int) -> None:
    gap, edge = _SIZE // 2, 2
    tail_w = text_width(words.tail, _SIZE) if words.tail else 0
    start = edge + text_width(words.lead, _SIZE) + gap
    room = out.shape[1] - start - edge - (tail_w + gap if words.tail else 0)
    put_text(out, words.lead, edge, baseline, _SIZE, _FAINT)
    name = shorten(words.name, _SIZE, room)
    put_text(out, name, start, baseline, _SIZE, words.colour or _INK)
    if words.tail:
        put_text(out, words.tail, out.shape[1] - edge - tail_w, baseline, _SIZE, _INK)


def sheet(tiles: Sequence[Image], title: str, columns: int = COLUMNS) -> Image:
    """Lay tiles out in rows under a title.

    Returns:
        [H, W, 3] uint8 RGB.
    """
    body = contact_sheet(tiles, columns)
    width = max(body.shape[1], text_width(title, _SIZE + 2) + 2 * _SIZE)
    out = np.full((2 * _LINE + body.shape[0], width, 3), _PAPER, np.uint8)
    put_text(out, title, _SIZE // 2, round(1.4 * _LINE), _SIZE + 2, _INK)
    out[2 * _LINE :, : body.shape[1]] = body
    return out
