"""Precision, recall, density and coverage against loops, and points laid out by hand."""

import numpy as np
import pytest

from visionkit.metrics import manifold as module
from visionkit.metrics.manifold import manifold, nearest


def by_loops(real, fake, k, near):
    def radius(points, i, k):
        far = sorted(np.linalg.norm(points[i] - p) for j, p in enumerate(points) if j != i)
        return far[min(k, len(far)) - 1]

    small_real = [radius(real, i, k) for i in range(len(real))]
    small_fake = [radius(fake, i, k) for i in range(len(fake))]
    large = [radius(real, i, near) for i in range(len(real))]
    far = np.array([[np.linalg.norm(r - f) for f in fake] for r in real])
    return (
        np.mean([(far[:, j] <= small_real).any() for j in range(len(fake))]),
        np.mean([(far[i] <= small_fake).any() for i in range(len(real))]),
        (far <= np.array(large)[:, None]).sum() / (min(near, len(real) - 1) * len(fake)),
        np.mean([far[i].min() <= large[i] for i in range(len(real))]),
    )


def found_in(real, fake):
    return manifold(real, fake, neighbours=3, near=5)


def test_on_a_line_by_hand() -> None:
    real = np.array([[0.0], [1.0], [3.0], [10.0]])  # 1-neighbour balls: 1, 1, 2, 7
    fake = np.array([[0.5], [5.5], [18.0]])  # 5, 5, 12.5
    found = manifold(real, fake, neighbours=1, near=1)
    # 0.5 is in the balls of 0, 1 ; 5.5 in that of 10; 18 in none
    assert found.precision == 2 / 3
    # 0, 1 and 3 are in the ball of 0.5 (to 5.5), 10 in that of 5.5
    assert found.recall == 1
    assert found.density == (2 + 1 + 0) / (1 * 3)
    assert found.coverage == 3 / 4  # no made one within 2 of 3


@pytest.mark.parametrize("chunk", [7, 1024])
@pytest.mark.parametrize("counts", [(40, 33), (33, 40), (4, 3), (2, 2)])
def test_equal_to_loops(monkeypatch, counts, chunk) -> None:
    monkeypatch.setattr(module, "_CHUNK", chunk)
    rng = np.random.default_rng(counts[0])
    real, fake = rng.normal(size=(counts[0], 3)), rng.normal(0.5, 0.7, size=(counts[1], 3))
    real, fake = 1000 + real, 1000 + fake
    assert found_in(real, fake) == pytest.approx(by_loops(real, fake, 3, 5), abs=1e-12)
    single = found_in(real.astype(np.float32), fake.astype(np.float32))
    assert single == by_loops(real.astype(np.float32), fake.astype(np.float32), 3, 5)


def test_a_set_against_itself() -> None:
    points = np.random.default_rng(0).normal(size=(60, 5))
    found = manifold(points, points)
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)
    assert found.density == pytest.approx(6 / 5)  # itself and its 5 neighbours' balls, on average


def test_repeated_pictures_lower_recall_not_precision() -> None:
    rng = np.random.default_rng(0)
    real, other = rng.normal(size=(2, 400, 3))
    collapsed = other[rng.integers(0, 10, 400)]
    fine, poor = manifold(real, other), manifold(real, collapsed)
    assert fine.recall > 0.85
    assert fine.coverage > 0.9
    assert poor.precision > 0.6
    assert poor.recall < 0.1
    assert poor.coverage < 0.3


def test_far_pictures_lower_precision_not_recall() -> None:
    rng = np.random.default_rng(0)
    real, other = rng.normal(size=(2, 300, 3))
    wide = manifold(real, 4 * other)
    assert wide.precision < 0.3
    assert wide.recall > 0.7


def test_one_picture() -> None:
    assert manifold(np.zeros((1, 2)), np.zeros((5, 2))) == (-1, -1, -1, -1)


def test_the_nearest(monkeypatch) -> None:
    monkeypatch.setattr(module, "_CHUNK", 4)
    rng = np.random.default_rng(0)
    queries, among = rng.normal(size=(9, 3)), rng.normal(size=(20, 3))
    places, far = nearest(queries, among, 4)
    exact = np.linalg.norm(queries[:, None] - among, axis=2)
    assert (places == np.argsort(exact, 1)[:, :4]).all()
    assert far == pytest.approx(np.sort(exact, 1)[:, :4])
    assert nearest(queries, among[:2], 4)[0].shape == (9, 2)
