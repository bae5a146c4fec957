"""How well made pictures lie among real ones, and cover them. NumPy only."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from visionkit.metrics.kid import Features

_CHUNK = 1024


class Manifold(NamedTuple):
    """Figures of two sets of features, see :func:`manifold`."""

    precision: float
    recall: float
    density: float
    coverage: float


def manifold(real: Features, fake: Features, neighbours: int = 3, near: int = 5) -> Manifold:
    """Compare two sets by balls around their features, as large as to the k-th neighbour.

    - ``precision``: the part of the made pictures that lie in a ball of any real one: whether they
      look real (Kynkäänniemi et al. 2019).
    - ``recall``: the part of the real ones that lie in a ball of any made one: whether everything
      is made. It falls when a generator makes the same pictures again and again.
    - ``density``: in how many real balls a made picture lies, over k: 1 for a perfect generator,
      and above where it keeps to what is common (Naeem et al. 2020).
    - ``coverage``: the part of the real pictures that have a made one in their ball.

    Args:
        real: [N, D].
        fake: [M, D].
        neighbours: k of precision and recall.
        near: k of density and coverage.

    Returns:
        The figures, each -1 with fewer than 2 pictures on one side. Sets of k pictures or fewer
        take the farthest neighbour that they have.
    """
    if min(len(real), len(fake)) < 2:
        return Manifold(-1.0, -1.0, -1.0, -1.0)
    x, y = _centred(real, real), _centred(fake, real)
    small_x, large_x = _radii(x, (neighbours, near))
    (small_y,) = _radii(y, (neighbours,))
    precise, recalled = np.zeros(len(y), np.bool_), np.zeros(len(x), np.bool_)
    covered, inside = np.zeros(len(x), np.bool_), 0
    for start in range(0, len(x), _CHUNK):
        rows = slice(start, start + _CHUNK)
        between = _distances(x[rows], y)
        precise |= (between <= small_x[rows, None]).any(0)
        recalled[rows] = (between <= small_y).any(1)
        held = between <= large_x[rows, None]
        covered[rows] = held.any(1)
        inside += int(held.sum())
    k = min(near, len(x) - 1)
    density = inside / (k * len(y))
    return Manifold(float(precise.mean()), float(recalled.mean()), density, float(covered.mean()))


def _centred(x: Features, around: Features) -> NDArray[np.float32]:
    """Features less the mean of some: squared distances of what is far from 0 lose digits."""
    centre: NDArray[np.float64] = around.astype(np.float64).mean(0)
    return np.asarray(x - centre, np.float32)


def _distances(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squared distances [N, M] of features [N, D] and [M, D]."""
    found: NDArray[np.float32] = x @ y.T
    found *= -2
    found += np.square(x).sum(1)[:, None]
    found += np.square(y).sum(1)
    return np.maximum(found, 0, out=found)


def nearest(
    queries: Features, among: Features, count: int = 1
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return which rows of ``among`` are nearest, [N, count], and how far they are, nearest first.

    Args:
        queries: [N, D].
        among: [M, D], M at least 1.
        count: of neighbours, M at most.
    """
    x, y = _centred(queries, among), _centred(among, among)
    count = min(count, len(y))
    places, far = np.zeros((len(x), count), np.int64), np.zeros((len(x), count))
    for start in range(0, len(x), _CHUNK):
        rows = slice(start, start + _CHUNK)
        between = _distances(x[rows], y)
        found = np.argpartition(between, count - 1, axis=1)[:, :count]
        values = np.take_along_axis(between, found, 1)
        order = np.argsort(values, axis=1, kind="stable")
        places[rows] = np.take_along_axis(found, order, 1)
        far[rows] = np.sqrt(np.take_along_axis(values, order, 1))
    return places, far


def _radii(x: NDArray[np.float32], neighbours: tuple[int, ...]) -> NDArray[np.float32]:
    """Squared distance of each row to its k-th neighbour among the others, for each k."""
    places = [min(k, len(x) - 1) - 1 for k in neighbours]
    radii = np.zeros((len(neighbours), len(x)), np.float32)
    for start in range(0, len(x), _CHUNK):
        between = _distances(x[start : start + _CHUNK], x)
        own = np.arange(len(between))
        between[own, start + own] = np.inf
        between.partition(sorted(set(places)), axis=1)
        radii[:, start : start + _CHUNK] = between[:, places].T
    return radii
