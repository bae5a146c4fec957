"""The confidence at which a detector's F1 is best, for each class."""

from dataclasses import dataclass

import numpy as np

from visionkit.metrics.coco_curves import Array
from visionkit.metrics.matching import Matches


@dataclass(frozen=True)
class BestF1:
    """What K classes reach at their best confidence.

    Attributes:
        f1: [K] float64; -1 for a class without truth.
        confidence: [K] float64: keep the detections whose score is this or more. -1 where no
            confidence is best: nothing right was found, or there is no truth.
    """

    f1: Array
    confidence: Array


def best_f1(matches: Matches) -> BestF1:
    """Find the best F1, 2 TP / (TP + FP + truths), of each class.

    Only scores that occur are tried, and detections of equal score are kept or dropped together. Of
    confidences with equal F1 the highest is taken.
    """
    classes = len(matches.counts)
    best = BestF1(np.full(classes, -1.0), np.full(classes, -1.0))
    for k in np.flatnonzero(matches.counts > 0).tolist():
        scores, found = _of_class(matches, k)
        f1 = _f1(found, np.arange(1, len(found) + 1), matches.counts[k])
        ends = np.flatnonzero(np.append(scores[1:] != scores[:-1], True)[: len(scores)])
        best.f1[k] = 0
        if len(ends):
            at = ends[np.argmax(f1[ends])]
            best.f1[k] = f1[at]
            best.confidence[k] = scores[at] if f1[at] > 0 else -1
    return best


def f1_curves(matches: Matches, confidences: Array) -> Array:
    """F1 of each class at given confidences.

    Args:
        matches: what was right and what wrong.
        confidences: [P].

    Returns:
        [P, K] float64; -1 for a class without truth.
    """
    curves = np.full((len(confidences), len(matches.counts)), -1.0)
    for k in np.flatnonzero(matches.counts > 0).tolist():
        scores, found = _of_class(matches, k)
        kept = np.searchsorted(-scores, -confidences, side="right")
        curves[:, k] = _f1(np.append(0, found)[kept], kept, matches.counts[k])
    return curves


def _of_class(matches: Matches, k: int) -> tuple[Array, Array]:
    """The scores of a class, descending, and how many are right down to each."""
    mine = np.flatnonzero((matches.labels == k) & ~matches.ignored)
    return matches.scores[mine], np.cumsum(matches.right[mine]).astype(np.float64)


def _f1(right: Array, said: "np.ndarray[tuple[int], np.dtype[np.int64]]", truths: int) -> Array:
    return np.asarray(2 * right / (said + truths), np.float64)
