"""What the figures of a classifier are made of, as pure functions."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Counts:
    """How often each of K classes was said, true, and both: of pictures, or of pixels.

    Attributes:
        right: [K] pictures that show the class and were said to.
        said: [K] pictures that were said to show it.
        support: [K] pictures that show it.
    """

    right: Integers
    said: Integers
    support: Integers

    @property
    def precision(self) -> Array:
        """[K] the share of what was said that is true; -1 where nothing was said."""
        return _ratio(self.right, self.said)

    @property
    def recall(self) -> Array:
        """[K] the share of what is true that was said; -1 where nothing is true."""
        return _ratio(self.right, self.support)

    @property
    def f1(self) -> Array:
        """[K] the harmonic mean of both; -1 for a class that was neither said nor true.

        A class that was said but is never true has 0, as in scikit-learn.
        """
        return _ratio(2 * self.right, self.said + self.support)

    @property
    def iou(self) -> Array:
        """[K] both over either (Jaccard 1912); -1 for a class that was neither said nor true."""
        return _ratio(self.right, self.said + self.support - self.right)

    @property
    def micro_f1(self) -> float:
        """F1 of all decisions together; -1 if there is none."""
        total = Counts(*(x.sum(keepdims=True) for x in (self.right, self.said, self.support)))
        return float(total.f1[0])


def _ratio(part: Integers, whole: Integers) -> Array:
    return np.where(whole > 0, part / np.maximum(whole, 1), -1.0)


def defined_mean(values: Array) -> float:
    """Return the mean of what isn't -1; -1 if nothing is left."""
    defined = values[values > -1]
    return float(defined.mean()) if len(defined) else -1.0


def true_ranks(probabilities: NDArray[np.float32], labels: Integers) -> Integers:
    """Return how many classes stand before the true one in each picture, [n]; 0 is best.

    Of equal probabilities the lower class stands first.

    Args:
        probabilities: [n, K].
        labels: [n], the true classes.
    """
    own = np.take_along_axis(probabilities, labels[:, None], 1)
    lower = np.arange(probabilities.shape[1]) < labels[:, None]
    before = (probabilities > own) | ((probabilities == own) & lower)
    return np.asarray(before.sum(1), np.int64)


@dataclass(frozen=True)
class Calibration:
    """Whether what is said with confidence c comes true in a share c of all cases.

    Bins are of equal width over 0..1 and contain their upper edge (the first also 0).

    Attributes:
        counts: [B] cases in each bin.
        confidence: [B] their mean confidence, 0 where there is none.
        accuracy: [B] the share of them that came true, 0 where there is none.
    """

    counts: Integers
    confidence: Array
    accuracy: Array

    @property
    def error(self) -> float:
        """The expected calibration error: the mean gap, weighted by the cases; -1 without any."""
        total = int(self.counts.sum())
        gaps = np.abs(self.accuracy - self.confidence)
        return float((self.counts * gaps).sum() / total) if total else -1.0

    def overall(self) -> tuple[float, float]:
        """Return accuracy and mean confidence over all bins (0 and 0 without any case)."""
        total = max(1, int(self.counts.sum()))
        return (
            float((self.counts * self.accuracy).sum() / total),
            float((self.counts * self.confidence).sum() / total),
        )


def calibration(
    confidence: NDArray[np.floating], came_true: NDArray[np.bool_], bins: int
) -> Calibration:
    """Sort forecasts into bins of confidence (Guo et al. 2017, "On Calibration of Modern NNs").

    Args:
        confidence: [n] in 0..1.
        came_true: [n].
        bins: B, their number.
    """
    confidence = confidence.astype(np.float64)
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins).astype(np.int64)
    cases = np.maximum(counts, 1)
    return Calibration(
        counts,
        np.bincount(place, weights=confidence, minlength=bins) / cases,
        np.bincount(place, weights=came_true.astype(np.float64), minlength=bins) / cases,
    )


def average_precision(scores: NDArray[np.floating], truth: NDArray[np.bool_]) -> float:
    """Return the area under precision over recall, not interpolated; -1 if nothing is true.

    It is the sum of precisions at each threshold, weighted by the recall gained there. Equal scores
    pass a threshold together, so their order doesn't matter.

    Args:
        scores: [n].
        truth: [n].
    """
    total = int(truth.sum())
    if not total:
        return -1.0
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    ends = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(order) - 1)
    found = np.cumsum(truth[order])[ends]
    gained = np.diff(found, prepend=0) / total
    return float((gained * found / (ends + 1)).sum())
