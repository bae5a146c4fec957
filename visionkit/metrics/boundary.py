"""How well the outlines of classes are met, as pure functions."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visionkit.metrics.class_scores import defined_mean
from visionkit.results import VOID

Labels = NDArray[np.uint8]
_BITS = 64


def boundary_counts(
    truth: Labels, said: Labels, classes: int, tolerance: float
) -> NDArray[np.int32]:
    """Count the boundary pixels of one picture that have a boundary of their class close by.

    A pixel is on the boundary of its class where one of its four neighbours in the picture isn't of
    that class. Void of the truth is of no class, whatever is said there. Close by is within
    ``tolerance`` times the picture's diagonal (Csurka et al. 2013), and within 1 pixel in any case:
    from centre to centre. All of it is counted in whole numbers.

    Args:
        truth: [H, W] labels, or :data:`visionkit.results.VOID`.
        said: [H, W], likewise.
        classes: K.
        tolerance: as a part of the diagonal.

    Returns:
        [4, K] int32: of the truth's boundary pixels those met, and all; of those said the same.
    """
    height, width = truth.shape
    square = int(max(1.0, tolerance**2 * (height**2 + width**2) + 1e-9))
    true = _boundary(truth)
    claimed = _boundary(np.where(truth == VOID, np.uint8(VOID), said))
    met, right = (np.zeros(VOID + 1, np.int64) for _ in range(2))
    every = [np.bincount(kind.ravel(), minlength=VOID + 1) for kind in (true, claimed)]
    present = np.flatnonzero((every[0] + every[1])[:VOID])
    for start in range(0, len(present), _BITS):
        bits = _bits(present[start : start + _BITS])
        a, b = bits[true], bits[claimed]
        met += np.bincount(true[(a & _spread(b, square)) != 0], minlength=VOID + 1)
        right += np.bincount(claimed[(b & _spread(a, square)) != 0], minlength=VOID + 1)
    return np.stack([met, every[0], right, every[1]])[:, :classes].astype(np.int32)


def boundary_scores(counts: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return the F1 of each class's boundary in each picture (Perazzi et al. 2016).

    It is the harmonic mean of the part of the truth's boundary that is met and the part of the
    boundary said that is right: 0 where nothing is.

    Args:
        counts: [N, 4, K], of :func:`boundary_counts`.

    Returns:
        [N, K]; -1 where the truth has no boundary of the class.
    """
    met, true, right, said = counts.astype(np.float64).transpose(1, 0, 2)
    recall, precision = met / np.maximum(true, 1), right / np.maximum(said, 1)
    total = recall + precision
    score = 2 * recall * precision / np.where(total > 0, total, 1.0)
    return np.where(true > 0, score, -1.0)


def boundary_means(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of each class, [K], over the pictures [N, K] in which it is defined."""
    return np.array([defined_mean(column) for column in scores.T], np.float64)


def _boundary(labels: Labels) -> Labels:
    """The labels of boundary pixels, void elsewhere."""
    border = np.zeros(labels.shape, np.bool_)
    for a, b in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        differs = labels[a] != labels[b]
        border[a] |= differs
        border[b] |= differs
    return np.where(border, labels, np.uint8(VOID))


def _bits(labels: NDArray[np.int64]) -> NDArray[Any]:
    """A bit of its own for each of up to 64 labels, none for the others: [256]."""
    width = next(w for w in (8, 16, 32, 64) if len(labels) <= w)
    table = np.zeros(VOID + 1, f"u{width // 8}")
    one = np.ones(len(labels), table.dtype)
    table[labels] = one << np.arange(len(labels), dtype=table.dtype)
    return table


def _spread(bits: NDArray[Any], square: int) -> NDArray[Any]:
    """Give each pixel [H, W] the bits of all whose squared distance is at most ``square``.

    A disc is a stack of rows, and those away from its middle are the shorter ones: as they grow,
    each comes from the one before.
    """
    out, row, reach = np.zeros_like(bits), bits.copy(), 0
    for down in range(math.isqrt(square), 0, -1):
        reach = _grow(row, bits, reach, math.isqrt(square - down**2))
        out[down:] |= row[:-down]
        out[:-down] |= row[down:]
    _grow(row, bits, reach, math.isqrt(square))
    out |= row
    return out


def _grow(row: NDArray[Any], bits: NDArray[Any], reach: int, wanted: int) -> int:
    for across in range(reach + 1, wanted + 1):
        row[:, across:] |= bits[:, :-across]
        row[:, :-across] |= bits[:, across:]
    return wanted
