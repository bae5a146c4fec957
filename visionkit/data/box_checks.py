"""Boxes that nothing can be learned from."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from visionkit.data.defects import note

LARGEST = 1e15
"""Square pixels, and pixels: beyond it a box means nothing, and figures made of it overflow."""

Where = Callable[[int], tuple[str, str]]
"""From an annotation's position to its file and what to call it, such as ``annotation 7``."""

_LEARNED_NOT = {
    "zero-area": ("has a box without area", "give it one or remove it"),
    "outside": ("has a box outside of its picture", "mend or remove it"),
    "duplicate-annotation": ("repeats another (same picture, class and box)", "remove one of them"),
}
_COUNTED = {
    "zero-area": ("with a box without area", "not trained on"),
    "outside": ("with a box outside of the picture by its stated size", "not trained on"),
    "duplicate-annotation": ("repeating another's picture, class and box", "trained on once"),
}


def is_box(x: float, y: float, width: float, height: float) -> bool:
    """Whether numbers make a box: finite, of a size that can be meant, no side below 0."""
    reach = max(abs(x), abs(y), width, height, width * height)
    return math.isfinite(x + y + width + height) and min(width, height) >= 0 and reach <= LARGEST


def check_boxes(
    owner: NDArray[np.int64],
    boxes: NDArray[np.float64],
    labels: NDArray[np.int64],
    crowd: NDArray[np.bool_],
    sizes: NDArray[np.int32],
    where: Where,
) -> tuple[NDArray[np.bool_], list[str]]:
    """Find boxes that don't train, and note each. They stay in the truth that is scored.

    Args:
        owner: [M], the position of each annotation's picture.
        boxes: [M, 4], ``x1 y1 width height``.
        labels: [M].
        crowd: [M]; they are left alone.
        sizes: [N, 2], height and width, 0 0 where unknown.
        where: tells where annotation ``m`` stands.

    Returns:
        Which annotations repeat an earlier one, [M], and how many there are of each kind, in words.
    """
    real = ~crowd
    flat = real & (boxes[:, 2:] <= 0).any(1)
    size = sizes[owner].astype(np.float64)[:, ::-1]
    beyond = (boxes[:, :2] >= size) | (boxes[:, :2] + boxes[:, 2:] <= 0)
    outside = real & ~flat & beyond.any(1) & (size > 0).all(1)
    rest = np.flatnonzero(real & ~flat & ~outside)
    repeats = np.zeros(len(owner), np.bool_)
    repeats[rest] = _repeats(owner[rest], boxes[rest], labels[rest])
    found = {"zero-area": flat, "outside": outside, "duplicate-annotation": repeats}
    lines = []
    for kind, mask in found.items():
        count = int(mask.sum())
        if not count:
            continue
        for m in np.flatnonzero(mask).tolist():
            file, name = where(m)
            cause, mend = _LEARNED_NOT[kind]
            box = ", ".join(f"{v:g}" for v in boxes[m])
            height, width = sizes[owner[m]].tolist()
            stated = f" ({width} x {height})" if kind == "outside" else ""
            note(kind, file, f"{name} {cause}{stated}: {box}", mend, "dropped")
        what, then = _COUNTED[kind]
        lines.append(f"{count} {'annotation' if count == 1 else 'annotations'} {what}: {then}")
    return repeats, lines


def _repeats(
    owner: NDArray[np.int64], boxes: NDArray[np.float64], labels: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which annotations are equal to an earlier one, [M]."""
    code = owner.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + labels.astype(np.uint64)
    for column in (boxes + 0.0).T:  # -0.0 becomes 0.0
        code = code * np.uint64(0xD6E8FEB86659FD93) ^ np.ascontiguousarray(column).view(np.uint64)
        code ^= code >> np.uint64(32)
    order = np.argsort(code, kind="stable")
    same = code[order][1:] == code[order][:-1]
    suspects = np.unique(np.concatenate([order[1:][same], order[:-1][same]]))
    repeats = np.zeros(len(owner), np.bool_)
    seen: set[tuple[float, ...]] = set()
    for m in suspects.tolist():
        key = (int(owner[m]), int(labels[m]), *boxes[m].tolist())
        repeats[m] = key in seen
        seen.add(key)
    return repeats
