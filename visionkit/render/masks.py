"""Masks over their picture, with a legend."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from visionkit.colours import VOID_COLOUR, Colour, class_colour, palette
from visionkit.geometry import Image
from visionkit.lettering import put_text, shorten, text_width
from visionkit.render.panels import INK, PAPER, enlarged, enlargement, on_paper, side_by_side
from visionkit.results import VOID, SemanticMask

_OPACITY = 0.55
_ENTRIES = 40  # in a legend


class Entry(NamedTuple):
    """What a colour stands for; ``tail`` is never cut."""

    colour: Colour
    name: str
    tail: str = ""


def draw_mask(image: Image, result: SemanticMask, scores: bool, line: int | None) -> Image:
    """See :func:`visionkit.render.draw`. What has no class is greyed.

    Raises:
        ValueError: the mask isn't of the picture's size.
    """
    same_size(image, result)
    factor = enlargement(image)
    body = on_paper(overlay(enlarged(image, factor), enlarged(result.labels, factor), line))
    return explained(body, result, scores)


def explained(body: Image, result: SemanticMask, scores: bool) -> Image:
    """Put the legend of a mask below what shows it, with parts of the picture where ``scores``."""
    shares = result.shares()
    if scores:
        tails = {k: _percent(share) for k, share in shares.items()}
        tails[VOID] = _percent(1 - sum(shares.values()))
    else:
        tails = {}
    return with_legend(body, result, list(shares), bool((result.labels == VOID).any()), tails)


def compare_masks(image: Image, truth: SemanticMask, result: SemanticMask) -> Image:
    """See :func:`visionkit.render.compare`.

    What has no class in the truth is greyed in both, and doesn't count for the part that is right,
    which stands above the prediction.

    Raises:
        ValueError: a mask isn't of the picture's size.
    """
    same_size(image, truth)
    same_size(image, result)
    said = where_scored(truth, result)
    factor = enlargement(image)
    picture = enlarged(image, factor)
    panels = [
        on_paper(overlay(picture, enlarged(mask.labels, factor), None)) for mask in (truth, said)
    ]
    body = side_by_side(panels, ["truth", f"prediction{percent_right(truth, said)}"])
    return explained_both(body, truth, said)


def where_scored(truth: SemanticMask, result: SemanticMask) -> SemanticMask:
    """Return a mask that is void where the truth is."""
    labels = np.where(truth.labels != VOID, result.labels, np.uint8(VOID))
    return SemanticMask(labels, result.classes or truth.classes)


def percent_right(truth: SemanticMask, result: SemanticMask) -> str:
    """Say which part of what is known a mask has right; nothing where nothing is known."""
    known = truth.labels != VOID
    right, count = int((result.labels == truth.labels)[known].sum()), int(known.sum())
    return f", {100 * right // count} % right" if count else ""


def explained_both(body: Image, truth: SemanticMask, said: SemanticMask) -> Image:
    """Put the legend of two masks below what shows them, the largest classes first."""
    counts = np.bincount(truth.labels.ravel(), minlength=VOID + 1)
    counts += np.bincount(said.labels.ravel(), minlength=VOID + 1)
    order = np.argsort(-counts[:VOID], kind="stable").tolist()
    return with_legend(body, said, [k for k in order if counts[k]], bool(counts[VOID]), {})


def same_size(image: Image, mask: SemanticMask) -> None:
    """Refuse a mask of another size than its picture's.

    Raises:
        ValueError: as it says.
    """
    if mask.labels.shape != image.shape[:2]:
        sizes = f"{mask.labels.shape} for a picture of {image.shape[:2]}"
        raise ValueError(f"a mask of {sizes}; scale one of them first")


def overlay(image: Image, labels: NDArray[np.uint8], line: int | None) -> Image:
    """Blend the colours of the classes into a picture; along borders they are pure.

    The picture is made grey: its own colours would change theirs.
    """
    colours = palette()[labels]
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    out = cv2.addWeighted(grey, 1 - _OPACITY, colours, _OPACITY, 0)
    edges = np.zeros(labels.shape, np.uint8)
    edges[:, :-1] = labels[:, 1:] != labels[:, :-1]
    edges[:-1] |= labels[1:] != labels[:-1]
    line = line or max(1, round(sum(labels.shape) / 1400))
    if line > 1:
        edges = np.asarray(cv2.dilate(edges, np.ones((line, line), np.uint8)), np.uint8)
    border = edges.astype(bool)
    out[border] = colours[border]
    return np.asarray(out, np.uint8)


def with_legend(
    body: Image, mask: SemanticMask, labels: Sequence[int], void: bool, tails: dict[int, str]
) -> Image:
    """Put a legend of some classes below a picture, with what follows the names of some."""
    shown = [Entry(class_colour(k), mask.name(k), tails.get(k, "")) for k in labels[:_ENTRIES]]
    if len(labels) > _ENTRIES:
        shown.append(Entry(PAPER, f"and {len(labels) - _ENTRIES} more classes"))
    if void:
        shown.append(Entry(VOID_COLOUR, "void", tails.get(VOID, "")))
    height, width = body.shape[:2]
    size = round(max(11, min((height + width) / 75, width / 14, 24)))
    return np.concatenate([body, legend(shown, width, size)])


def legend(entries: Sequence[Entry], width: int, size: int) -> Image:
    """Say what colours stand for, in as many rows as it takes.

    Args:
        entries: in order; a name wider than a row is shortened.
        width: in pixels.
        size: of letters, in pixels.

    Returns:
        [H, width, 3] uint8 RGB.
    """
    edge, gap, step = size // 2, size // 2, round(size * 1.6)
    places: list[tuple[int, int, str, Colour]] = []
    left, row = edge, 0
    for entry in entries:
        tail = f" {entry.tail}" if entry.tail else ""
        room = width - 2 * edge - size - gap
        name = shorten(entry.name, size, room - (text_width(tail, size) if tail else 0))
        across = size + gap + text_width(name + tail, size)
        if left > edge and left + across > width - edge:
            left, row = edge, row + 1
        places.append((left, row, name + tail, entry.colour))
        left += across + 2 * gap
    out = np.full((step * (row + 1) + size // 2, width, 3), PAPER, np.uint8)
    for left, row, text, colour in places:
        top = size // 2 + row * step
        out[top : top + size, left : left + size] = colour
        put_text(out, text, left + size + gap, top + round(size * 0.85), size, INK)
    return out


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.005 else "<1 %"
