"""Pictures put together: with captions, in rows, on sheets."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from visionkit.colours import Colour
from visionkit.geometry import Image
from visionkit.lettering import put_text, shorten

PAPER = (24, 24, 27)
INK: Colour = (236, 236, 236)
LEGIBLE = 160
"""Pixels across that words need."""
_TALL = 2000


def enlargement(image: Image) -> int:
    """Return the whole factor that makes a picture legible, unless it gets too high by that."""
    height, width = image.shape[:2]
    return int(max(1, min(-(-LEGIBLE // width), _TALL // height)))


def enlarged(pixels: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Make each pixel of [H, W, 3] or [H, W] a square of ``factor``."""
    return np.repeat(np.repeat(pixels, factor, 0), factor, 1) if factor > 1 else pixels


def on_paper(image: Image, width: int = LEGIBLE) -> Image:
    """Put a narrower picture into the middle of paper of that width."""
    room = width - image.shape[1]
    if room <= 0:
        return image
    out = np.full((image.shape[0], width, 3), PAPER, np.uint8)
    out[:, room // 2 : room // 2 + image.shape[1]] = image
    return out


def captioned(image: Image, lines: Sequence[tuple[str, Colour]]) -> Image:
    """Put lines of text below a picture, each in its colour, shortened to its width.

    A picture too small for words is enlarged by a whole factor.
    """
    image = on_paper(enlarged(image, enlargement(image)))
    width = image.shape[1]
    size = round(min(max(11, width / 18), 28))
    step = round(size * 1.5)
    foot = np.full((step * len(lines) + size // 2, width, 3), PAPER, np.uint8)
    for n, (text, colour) in enumerate(lines):
        wording = shorten(text, size, width - size)
        put_text(foot, wording, size // 2, round(size * 1.25) + n * step, size, colour)
    return np.concatenate([image, foot])


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
        head = np.full((round(size * 1.8), panel.shape[1], 3), PAPER, np.uint8)
        wording = shorten(title, size, panel.shape[1] - size)
        put_text(head, wording, size // 2, round(size * 1.25), size, INK)
        if panels:
            panels.append(np.full((height + len(head), gap, 3), PAPER, np.uint8))
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
    sheet = np.full(shape, PAPER, np.uint8)
    for n, image in enumerate(images):
        top = gap + n // columns * (cell_h + gap) + (cell_h - image.shape[0]) // 2
        left = gap + n % columns * (cell_w + gap) + (cell_w - image.shape[1]) // 2
        sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
    return sheet
