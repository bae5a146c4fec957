"""Pictures that networks made, beside what they were made from or many of them together."""

import math
from collections.abc import Sequence

import numpy as np

from visionkit.geometry import Image
from visionkit.lettering import put_text, text_width
from visionkit.render.panels import (
    INK,
    PAPER,
    contact_sheet,
    enlarged,
    enlargement,
    on_paper,
    side_by_side,
)
from visionkit.results import Generated

SIDE = 96
"""Pixels that a picture of a grid takes, about, if it is smaller."""


def draw_generated(image: Image, result: Generated, scores: bool, line: int | None) -> Image:
    """See :func:`visionkit.render.draw`. One that was made from noise stands alone."""
    if result.seed is not None:
        return result.image
    return _row([image, result.image], ["source", "made"])


def compare_generated(image: Image, truth: Generated, result: Generated) -> Image:
    """See :func:`visionkit.render.compare`."""
    return _row([image, result.image, truth.image], ["source", "made", "target"])


def _row(images: Sequence[Image], titles: Sequence[str]) -> Image:
    factor = enlargement(images[0])
    return side_by_side([on_paper(enlarged(image, factor)) for image in images], titles)


def grid(pictures: Sequence[Generated], columns: int | None = None) -> Image:
    """Lay pictures out in rows; small ones are enlarged by a whole factor.

    Args:
        pictures: at least one.
        columns: of the grid; about a square unless given, where a column is of one class if classes
            come in turn.

    Returns:
        [H, W, 3] uint8 RGB.
    """
    factor = max(1, round(SIDE / max(pictures[0].image.shape[:2])))
    images = [enlarged(p.image, factor) for p in pictures]
    period = turns([p.label for p in pictures])
    if columns is None and period is not None:
        columns = period * max(1, round(math.sqrt(len(images)) / period))
    return contact_sheet(images, columns)


def turns(labels: Sequence[int | None], most: int = 16) -> int | None:
    """How many classes come in turn, over and over; None if there are none, or too many."""
    first = labels[0]
    if first is None or first not in labels[1 : most + 1]:
        return None
    period = labels.index(first, 1)
    regular = all(label == labels[i % period] for i, label in enumerate(labels))
    return period if regular and period > 1 else None


def titled_rows(rows: Sequence[Sequence[Generated]], titles: Sequence[str]) -> Image:
    """Lay rows of pictures out below one another, each behind its title.

    Args:
        rows: as many pictures in each, of one size.
        titles: of the rows, a few letters.

    Returns:
        [H, W, 3] uint8 RGB.
    """
    body = grid([picture for row in rows for picture in row], len(rows[0]))
    step = body.shape[0] / len(rows)
    size = round(min(max(11, step / 6), 24))
    margin = np.full((body.shape[0], 0, 3), PAPER, np.uint8)
    if any(titles):
        across = max(text_width(title, size) for title in titles) + size
        margin = np.full((body.shape[0], across, 3), PAPER, np.uint8)
        for n, title in enumerate(titles):
            put_text(margin, title, size // 2, round((n + 0.5) * step + size / 3), size, INK)
    return np.concatenate([margin, body], 1)
