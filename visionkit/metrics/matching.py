"""Which detection finds which truth at one IoU, by COCO's rules, all pictures at once.

COCO's curves say what was reached at each recall, not which detection was right; counts of errors
and the confidence of the best F1 need that.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visionkit.data.index import DetectionIndex
from visionkit.metrics.coco_curves import Array, Flat, Rules, Seen, flatten

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

_PAIRS = 1_000_000
_RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Pairs:
    """P detections and truths of the same picture that overlap.

    Attributes:
        detection: [P] int64, ascending.
        truth: [P] int64.
        iou: [P] float64; with a crowd, over the area of the detection alone.
    """

    detection: Integers
    truth: Integers
    iou: Array

    def take(self, which: Flags | Integers) -> "Pairs":
        """Some of the pairs."""
        return Pairs(self.detection[which], self.truth[which], self.iou[which])


@dataclass(frozen=True)
class Matches:
    """D detections in the order of falling scores beside G truths of K classes.

    Attributes:
        iou: the overlap that makes a match.
        scores: [D] float64, descending.
        labels: [D] int64.
        truth: [D] int64, the truth that a detection matched, or -1.
        ignored: [D] bool, detections that count neither as right nor as wrong: in a crowd, or of
            an area that isn't asked for.
        truth_labels: [G] int64.
        truth_ignored: [G] bool.
        counts: [K] int64, truths that should be found.
        pairs: what overlaps, of the same class or of another.
    """

    iou: float
    scores: Array
    labels: Integers
    truth: Integers
    ignored: Flags
    truth_labels: Integers
    truth_ignored: Flags
    counts: Integers
    pairs: Pairs

    @property
    def right(self) -> Flags:
        """[D] bool, true positives."""
        return np.asarray((self.truth >= 0) & ~self.ignored)

    @property
    def wrong(self) -> Flags:
        """[D] bool, false positives."""
        return np.asarray((self.truth < 0) & ~self.ignored)


def match(
    index: DetectionIndex, seen: Seen, rules: Rules, iou: float = 0.5, least: float = 0.1
) -> Matches:
    """Match as COCO does, for the first of the areas and the largest of the limits.

    Args:
        index: the truth.
        seen: the detections.
        rules: its IoU thresholds aren't used.
        iou: the overlap that makes a match.
        least: the overlap from which on pairs are listed, at most ``iou``.
    """
    flat = flatten(index, seen)
    order = _best_of_each(flat, rules.max_detections[-1])
    low, high = rules.areas[0]
    outside = (flat.areas < low) | (flat.areas > high)
    truth_ignored = (flat.crowd > 0) | outside
    boxes, labels = flat.found_boxes[order], flat.found_classes[order]
    parts = list(_overlapping(flat, flat.found_images[order], boxes, least))
    empty = np.zeros(0, np.int64)
    pairs = Pairs(
        np.concatenate([empty, *(p.detection for p in parts)]),
        np.concatenate([empty, *(p.truth for p in parts)]),
        np.concatenate([np.zeros(0), *(p.iou for p in parts)]),
    )
    same = labels[pairs.detection] == flat.truth_classes[pairs.truth]
    close = pairs.take(same & (pairs.iou >= min(iou, 1 - 1e-10)))
    truth = _choose(close, len(order), flat.crowd > 0, truth_ignored)
    area = boxes[:, 2] * boxes[:, 3]
    label_of = np.argsort(index.category_ids)
    truth_labels = label_of[flat.truth_classes - 1].astype(np.int64)
    return Matches(
        iou=iou,
        scores=flat.scores[order],
        labels=label_of[labels - 1].astype(np.int64),
        truth=truth,
        ignored=np.where(
            truth >= 0,
            np.append(truth_ignored, False)[truth],
            (area < low) | (area > high),
        ),
        truth_labels=truth_labels,
        truth_ignored=truth_ignored,
        counts=np.bincount(truth_labels[~truth_ignored], minlength=flat.classes).astype(np.int64),
        pairs=pairs,
    )


def _best_of_each(flat: Flat, limit: int) -> Integers:
    """Detections by falling score, equal ones as they came: the first few of picture and class."""
    order = np.argsort(-flat.scores, kind="stable")
    group = (flat.found_images * (flat.classes + 1) + flat.found_classes)[order]
    together = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[together], prepend=-1))
    sizes = np.diff(starts, append=len(group))
    place = np.arange(len(group)) - np.repeat(starts, sizes)
    kept = np.empty(len(group), bool)
    kept[together] = place < limit
    return np.asarray(order[kept], np.int64)


def _overlapping(flat: Flat, images: Integers, boxes: Array, least: float) -> Iterator[Pairs]:
    """Pairs in one picture whose overlap is ``least`` or more, some detections at a time."""
    first = np.searchsorted(flat.truth_images, np.arange(1, flat.images + 2))
    start, count = first[images - 1], np.diff(first)[images - 1]
    ends = np.cumsum(count)
    total = int(ends[-1]) if len(ends) else 0
    cuts = np.searchsorted(ends, np.arange(_PAIRS, total, _PAIRS)) + 1
    x, y, width, height = (np.ascontiguousarray(column) for column in boxes.T)
    gx, gy, gwidth, gheight = (np.ascontiguousarray(column) for column in flat.truth_boxes.T)
    right, bottom, gright, gbottom = x + width, y + height, gx + gwidth, gy + gheight
    area, garea = width * height, gwidth * gheight
    for low, high in zip([0, *cuts.tolist()], [*cuts.tolist(), len(boxes)], strict=True):
        here = count[low:high]
        d = np.repeat(np.arange(low, high), here)
        before = np.cumsum(here) - here
        g = np.arange(len(d)) + np.repeat(start[low:high] - before, here)
        wide = np.minimum(right[d], gright[g]) - np.maximum(x[d], gx[g])
        keep = np.flatnonzero(wide > 0)
        d, g, wide = d[keep], g[keep], wide[keep]
        tall = np.minimum(bottom[d], gbottom[g]) - np.maximum(y[d], gy[g])
        keep = np.flatnonzero(tall > 0)
        d, g = d[keep], g[keep]
        shared = wide[keep] * tall[keep]
        # in this order of operations, so that it is pycocotools' number to the last bit
        whole = np.where(flat.crowd[g] > 0, area[d], area[d] + garea[g] - shared)
        iou = shared / whole
        yield Pairs(d, g, iou).take(iou >= least)


def _choose(close: Pairs, detections: int, crowd: Flags, ignored: Flags) -> Integers:
    """The truth that each detection takes, [D], -1 for none; the best scores choose first.

    Each takes the free truth that it overlaps most, the last of equal ones, and one that is ignored
    only where no other is left. Crowds are never used up.
    """
    order = np.lexsort((-close.truth, -close.iou, ignored[close.truth], close.detection))
    taken, free, many = [-1] * detections, [True] * len(crowd), crowd.tolist()
    for d, g in zip(close.detection[order].tolist(), close.truth[order].tolist(), strict=True):
        if taken[d] < 0 and (free[g] or many[g]):
            taken[d], free[g] = g, False
    return np.array(taken, np.int64)


def average_precision(labels: Integers, right: Flags, counts: Integers) -> Array:
    """COCO's average precision (101 recalls) of each class.

    Args:
        labels: [D] of detections, best score first, without those that are ignored.
        right: [D] whether they are true positives.
        counts: [K] truths that should be found.

    Returns:
        [K] float64, -1 for a class without truth.
    """
    values = np.full(len(counts), -1.0)
    together = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[together], np.arange(len(counts) + 1))
    hits = right[together]
    for k in np.flatnonzero(counts > 0).tolist():
        found = np.cumsum(hits[bounds[k] : bounds[k + 1]])
        precision = found / (np.arange(1, len(found) + 1) + np.spacing(1))
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        at = np.searchsorted(found / counts[k], _RECALLS)
        values[k] = envelope[at[at < len(found)]].sum() / len(_RECALLS)
    return values


def mean_defined(values: Array) -> float:
    """The mean over what is defined, as pycocotools takes it; -1 where nothing is."""
    defined = values[values > -1]
    return float(np.mean(defined)) if len(defined) else -1.0
