"""What is wrong with the boxes of a split."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visionkit.data.defects import Defect, Effect
from visionkit.data.index import DetectionIndex

REACH = 1.0
"""Pixels by which a box may leave its picture: tools round differently."""
WHOLE = 0.99
"""Part of the picture, from which a box covers it."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class _Boxes:
    """The boxes of a split in columns; ``height`` and ``width`` of their pictures are 0 if unknown.

    ``left``, ``top``, ``right`` and ``bottom`` are clipped to the picture where that is known.
    """

    owner: NDArray[np.int64]
    height: NDArray[np.float64]
    width: NDArray[np.float64]
    left: NDArray[np.float64]
    top: NDArray[np.float64]
    right: NDArray[np.float64]
    bottom: NDArray[np.float64]
    flat: Mask
    outside: Mask

    @property
    def good(self) -> Mask:
        """Those that training can use."""
        return ~self.flat & ~self.outside


def box_defects(
    split: str,
    index: DetectionIndex,
    sizes: NDArray[np.int64],
    canvas: tuple[int, int],
    tiny: float = 2.0,
    many: int = 100,
    known: Collection[str] = (),
) -> list[Defect]:
    """Find boxes that training leaves out, changes, or can hardly learn from.

    Args:
        split: the split's name.
        index: the split.
        sizes: [N, 2], height and width of the pictures as training sees them, 0 0 where unknown.
        canvas: height and width.
        tiny: pixels on the canvas, below which a box's shorter side is too small.
        many: how many boxes a picture may have before it is told.
        known: kinds that the reader of the set has told already.
    """
    boxes = _columns(index, sizes)
    resized = (sizes != index.sizes).any(1)[boxes.owner]
    found: list[Defect] = []
    for kind, at, cause, mend, effect in _each(index, boxes, canvas, tiny):
        if kind in known:  # the reader went by the stated size
            at = at & resized if kind == "outside" else np.zeros_like(at)
        for k in np.flatnonzero(at).tolist():
            file = str(index.path(int(boxes.owner[k])))
            words = f"{_name(index, k)} {cause(k)}"
            found.append(Defect(kind, file, words, mend, effect, split))
    for kind, k, what, mend, effect in _repeats(index, boxes):
        if kind not in known:
            file = str(index.path(int(boxes.owner[k])))
            found.append(Defect(kind, file, f"{_name(index, k)} {what}", mend, effect, split))
    counts = np.diff(index.first)
    for i in np.flatnonzero(counts > many).tolist():
        words = f"has {counts[i]} boxes, more than {many}"
        mend = "raise evaluator.max_detections and predict.max_detections, or cut it into parts"
        found.append(Defect("crowded", str(index.path(i)), words, mend, "noted", split))
    return found


class _Cause:
    """Says for annotation ``k`` what is wrong, from a pattern and columns of figures."""

    def __init__(self, pattern: str, *columns: NDArray[np.float64]) -> None:
        self.pattern, self.columns = pattern, columns

    def __call__(self, k: int) -> str:
        return self.pattern.format(*(f"{column[k]:.6g}" for column in self.columns))


def _each(
    index: DetectionIndex, b: _Boxes, canvas: tuple[int, int], tiny: float
) -> Iterator[tuple[str, Mask, _Cause, str, Effect]]:
    """Kind, which annotations, cause, mend and effect."""
    has_size = b.height > 0
    real = ~index.crowd
    mend = "give it one or remove it"
    yield "zero-area", b.flat & real, _Cause("has no area"), mend, "dropped"
    cause = _Cause("lies outside of the picture ({} x {})", b.width, b.height)
    yield "outside", b.outside & real, cause, "mend or remove it", "dropped"

    x, y, w, h = index.boxes.T
    beyond = np.max([-x, -y, x + w - b.width, y + h - b.height], 0, initial=0.0)
    leaves = has_size & b.good & (beyond > REACH)
    cause = _Cause("leaves the picture ({} x {}) by {} pixels", b.width, b.height, beyond)
    yield "partly-outside", leaves, cause, "redraw it; the part inside is taken", "mended"

    scale = np.minimum(canvas[0] / np.maximum(b.height, 1), canvas[1] / np.maximum(b.width, 1))
    side = np.where(has_size, np.minimum(b.right - b.left, b.bottom - b.top) * scale, np.inf)
    cause = _Cause(f"is {{}} pixels thin on the canvas of {canvas[1]} x {canvas[0]}", side)
    mend = "raise data.image_size, or remove boxes that nobody could see"
    yield "tiny-box", b.good & real & (side < tiny), cause, mend, "noted"

    share = (b.right - b.left) * (b.bottom - b.top) / np.maximum(b.height * b.width, 1)
    whole = has_size & b.good & real & (share >= WHOLE)
    mend = "see whether it is meant for an object or for the picture as a whole"
    yield "whole-picture", whole, _Cause("covers the whole picture"), mend, "noted"

    box_area = w * h
    wrong = b.good & real & ((index.areas <= 0) | (index.areas > 1.01 * box_area + 1))
    cause = _Cause("has area {}, its box {}", index.areas, box_area)
    mend = "mend its area: the scores of small, medium and large objects go by it"
    yield "wrong-area", wrong, cause, mend, "noted"


def _repeats(index: DetectionIndex, b: _Boxes) -> Iterator[tuple[str, int, str, str, Effect]]:
    """Boxes that stand twice in a picture, with the same class or with different ones."""
    kept = np.flatnonzero(b.good & ~index.crowd)
    keys = [*index.boxes[kept].T, b.owner[kept]]
    order = np.lexsort([kept, *keys])
    sorted_keys = np.stack([key[order] for key in keys], 1)
    same = np.zeros(len(order), np.bool_)
    same[1:] = (sorted_keys[1:] == sorted_keys[:-1]).all(1)
    group = np.cumsum(~same)
    labels_of: dict[int, list[int]] = {}
    for position in np.flatnonzero(same | np.append(same[1:], False)).tolist():
        k = int(kept[order[position]])
        seen = labels_of.setdefault(int(group[position]), [])
        label = int(index.labels[k])
        if label in seen:
            yield "duplicate-annotation", k, "is there twice", "remove one of them", "dropped"
        elif seen:
            cause = f"has the very box of a {index.classes[seen[0]]}"
            yield "conflicting-label", k, cause, "keep the one that is right", "noted"
        seen.append(label)


def _columns(index: DetectionIndex, sizes: NDArray[np.int64]) -> _Boxes:
    owner = np.repeat(np.arange(len(index)), np.diff(index.first))
    height, width = sizes[owner].astype(np.float64).reshape(-1, 2).T
    x, y, w, h = index.boxes.T
    across = np.where(width > 0, width, np.inf)
    down = np.where(height > 0, height, np.inf)
    low = np.where(height > 0, 0.0, -np.inf)
    left, right = np.clip(x, low, across), np.clip(x + w, low, across)
    top, bottom = np.clip(y, low, down), np.clip(y + h, low, down)
    flat = ~((w > 0) & (h > 0))
    outside = ~flat & ~((right > left) & (bottom > top))
    return _Boxes(owner, height, width, left, top, right, bottom, flat, outside)


def _name(index: DetectionIndex, k: int) -> str:
    """Which box is meant: its class and ``x y width height``, as the file has them."""
    numbers = ", ".join(f"{value:.6g}" for value in index.boxes[k].tolist())
    return f"{index.classes[int(index.labels[k])]} [{numbers}]"
