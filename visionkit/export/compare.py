"""How far two results of one picture lie apart. NumPy only."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from visionkit.about import BETWEEN
from visionkit.merging import overlaps
from visionkit.results import Classification, Detections, Generated, Joint, SemanticMask

Difference = dict[str, float]
"""What differs, by name, and by how much; the smaller, the better, 0 for equal results.

``boxes``: pixels between the sides of two boxes that belong together. ``scores``: of these.
``labels``: boxes that have another class. ``unmatched``: boxes without a partner, and ``excused``
those of them that a rounding explains. ``probabilities``: of classes. ``masks``: the part of the
pixels with another class. ``pictures``: levels, 0..255, and ``moved`` the part of the values that
aren't equal. ``labels`` counts pictures where whole pictures are of a class. What differs in a part
of a joint result has the part's name before it, such as ``detection/boxes``.
"""
COUNTS = ("labels", "unmatched", "excused")
"""Those that are added up over pictures; of the others the largest counts."""
SLACK = 1e-3
_RIM = 0.5
_PARTNERS = 0.5
_ROUNDED = 0.05
"""Pixels that the sides of one box, worked out twice, lie apart at most."""


class Limits(Protocol):
    """What results were cut off by, see :class:`visionkit.options.PredictOptions`."""

    @property
    def confidence(self) -> float: ...  # noqa: D102

    @property
    def iou(self) -> float: ...  # noqa: D102

    @property
    def max_detections(self) -> int: ...  # noqa: D102


def difference(one: Any, other: Any, limits: Limits, slack: float = SLACK) -> Difference:
    """Compare two results of one kind, of the same picture.

    What isn't a number differs by infinity.

    Args:
        one: a result, one of those in :mod:`visionkit.results`.
        other: of the same kind.
        limits: both were made with them.
        slack: what is decided by less than this, of scores and overlaps, may be decided otherwise:
            boxes that are hardly good enough, hardly among the best ``max_detections`` or hardly
            suppressed, and the first of two classes that are about equally probable.

    Raises:
        TypeError: the results are of two kinds.
    """
    if type(one) is not type(other):
        raise TypeError(f"a {type(one).__name__} and a {type(other).__name__} can't be compared")
    found: Difference = _KINDS[type(one)](one, other, limits, slack)
    return found


def merged(parts: list[Difference]) -> Difference:
    """Return the difference of several pictures: sums of :data:`COUNTS`, else the largest."""
    names = dict.fromkeys(name for part in parts for name in part)
    return {
        name: (sum if kind(name) in COUNTS else max)(part[name] for part in parts if name in part)
        for name in names
    }


def kind(name: str) -> str:
    """Return what differs by its name, without the part of a joint result that it differs in."""
    return name.rpartition(BETWEEN)[2]


def _largest(gaps: NDArray[Any]) -> float:
    if not gaps.size:
        return 0.0
    if not np.isfinite(gaps).all():
        return float("inf")
    return float(np.abs(gaps).max())


def _of_classes(
    one: Classification, other: Classification, limits: Limits, slack: float
) -> Difference:
    p, q = one.probabilities.astype(np.float64), other.probabilities.astype(np.float64)
    if p.shape != q.shape:
        return {"probabilities": float("inf"), "labels": 1}
    apart = not p[one.label] - p[other.label] <= slack
    return {"probabilities": _largest(p - q), "labels": int(apart)}


def _of_masks(one: SemanticMask, other: SemanticMask, limits: Limits, slack: float) -> Difference:
    if one.labels.shape != other.labels.shape:
        return {"masks": 1.0}
    return {"masks": float((one.labels != other.labels).mean())}


def _of_pictures(one: Generated, other: Generated, limits: Limits, slack: float) -> Difference:
    if one.image.shape != other.image.shape:
        return {"pictures": 255.0, "moved": 1.0}
    levels = np.abs(one.image.astype(np.int64) - other.image)
    return {"pictures": _largest(levels), "moved": float((levels > 0).mean())}


def _of_parts(one: Joint, other: Joint, limits: Limits, slack: float) -> Difference:
    return {
        f"{name}{BETWEEN}{what}": value
        for name, part in one.parts.items()
        for what, value in difference(part, other.parts[name], limits, slack).items()
    }


def _of_boxes(one: Detections, other: Detections, limits: Limits, slack: float) -> Difference:
    """Find the partners: first within each class, then among those left over whatever their class.

    Those that are most alike find each other first. Partners that differ are parted again if a
    rounding explains each of them: where one box is suppressed by a hair, the next of its object
    takes its place.
    """
    alike = overlaps(_grown(one.boxes), _grown(other.boxes))
    close = alike >= _PARTNERS
    alike = alike - np.abs(one.scores[:, None].astype(np.float64) - other.scores)
    same = one.labels[:, None] == other.labels
    rows, columns = _partners(np.where(close & same, alike, -np.inf))
    sides = one.boxes[rows].astype(np.float64) - other.boxes[columns]
    scores = one.scores[rows].astype(np.float64) - other.scores[columns]
    firm = (np.abs(sides).max(1, initial=0) <= _ROUNDED) & (np.abs(scores) <= slack)
    lone = _without(one, rows[firm]), _without(other, columns[firm])
    excused = _excused((one, other), lone, limits, slack)
    kept = firm | ~(np.isin(rows, excused[0]) & np.isin(columns, excused[1]))
    left = [
        np.setdiff1d(_without(mine, paired[kept]), excuses)
        for mine, paired, excuses in zip((one, other), (rows, columns), excused, strict=True)
    ]
    turned, _ = _partners(np.where(close, alike, -np.inf)[np.ix_(*left)])
    lacking = len(one) + len(other) - 2 * int(kept.sum())
    return {
        "boxes": _largest(sides[kept]),
        "scores": _largest(scores[kept]),
        "labels": len(turned),
        "unmatched": len(left[0]) + len(left[1]) - 2 * len(turned),
        "excused": lacking - len(left[0]) - len(left[1]),
    }


def _without(found: Detections, places: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.setdiff1d(np.arange(len(found)), places)


def _grown(boxes: NDArray[np.float32]) -> NDArray[np.float64]:
    """Boxes with a rim, so that those without an area can be found, too."""
    rim = np.array([-_RIM, -_RIM, _RIM, _RIM], np.float64)
    return rim + boxes


def _partners(alike: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pair rows with columns, the largest value first, as long as there are finite ones."""
    rows, columns = np.nonzero(np.isfinite(alike))
    order = np.argsort(-alike[rows, columns], kind="stable")
    taken: tuple[set[int], set[int]] = (set(), set())
    pairs = []
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if row not in taken[0] and column not in taken[1]:
            taken[0].add(row)
            taken[1].add(column)
            pairs.append((row, column))
    found = np.array(pairs, np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def _excused(
    sides: tuple[Detections, Detections],
    lone: tuple[NDArray[np.int64], NDArray[np.int64]],
    limits: Limits,
    slack: float,
) -> tuple[list[int], list[int]]:
    """Return which boxes without a partner a rounding explains, of each side.

    The best first: what a box suppresses on one side is there on the other, if the box isn't.
    """
    excused: tuple[list[int], list[int]] = ([], [])
    waiting = [(float(sides[k].scores[i]), k, i) for k in (0, 1) for i in lone[k].tolist()]
    for score, k, i in sorted(waiting, key=lambda entry: -entry[0]):
        theirs = sides[1 - k]
        cut = limits.confidence
        if len(theirs) >= limits.max_detections:
            cut = max(cut, float(theirs.scores.min()))
        overlap = overlaps(sides[k].boxes[i : i + 1], theirs.boxes)[0]
        rivals = (theirs.labels == sides[k].labels[i]) & (theirs.scores >= score - slack)
        nearly = np.abs(overlap - limits.iou) <= slack
        beaten = np.isin(np.arange(len(theirs)), excused[1 - k]) & (overlap > limits.iou)
        if score < cut + slack or (rivals & (nearly | beaten)).any():
            excused[k].append(i)
    return excused


_KINDS: dict[type, Callable[..., Difference]] = {
    Classification: _of_classes,
    Detections: _of_boxes,
    Generated: _of_pictures,
    Joint: _of_parts,
    SemanticMask: _of_masks,
}
