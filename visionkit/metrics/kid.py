"""The kernel distance between two sets of features. NumPy only."""

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32] | NDArray[np.float64]
"""A row for each picture."""

_LEAST = 20


def kid(real: Features, fake: Features, blocks: int = 10) -> tuple[float, float]:
    """Return the kernel inception distance and its standard error (Binkowski et al. 2018).

    That is the unbiased estimate of the squared maximum mean discrepancy of the kernel
    (x . y / D + 1)^3: 0 on average for sets of one distribution, and so a little below it at times.
    It is taken of disjoint blocks, and averaged. Unlike the Fréchet distance it doesn't depend on
    how many pictures there are.

    Of sets of one size, row i of one is never compared with row i of the other (the U-statistic of
    Gretton et al. 2012): the two may have something in common that others don't, such as the class
    that picture i was made of, and would make the distance too small.

    Args:
        real: [N, D].
        fake: [M, D].
        blocks: at most so many; sets of less than 20 pictures for each have fewer, and 2 at least.

    Returns:
        The mean over the blocks, and their deviation over the root of their number (of 10 blocks,
        twice that is passed by one draw in 13, as Student's t has it). Both are -1 with fewer than
        2 pictures on one side; the second is with fewer than 4.

    Raises:
        ValueError: the rows aren't of the same length.
    """
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise ValueError(f"features of shapes {real.shape} and {fake.shape} can't be compared")
    least = min(len(real), len(fake))
    if least < 2:
        return -1.0, -1.0
    count = max(2, min(blocks, least // _LEAST)) if least >= 4 and blocks > 1 else 1
    found = np.array([_mmd(real[b::count], fake[b::count]) for b in range(count)])
    error = float(found.std(ddof=1) / np.sqrt(count)) if count > 1 else -1.0
    return float(found.mean()), error


def _mmd(x: Features, y: Features) -> float:
    """The unbiased estimate of the squared discrepancy of two sets."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    between = _apart(x, y) if len(x) == len(y) else float(_kernel(x, y).mean())
    return _apart(x, x) + _apart(y, y) - 2 * between


def _apart(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """The mean of the kernel over pairs of rows of different numbers."""
    values, count = _kernel(x, y), len(x)
    return float((values.sum() - np.trace(values)) / (count * (count - 1)))


def _kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    values: NDArray[np.float64] = x @ y.T
    values /= x.shape[1]
    values += 1
    return values * values * values
