"""The Fréchet distance against the formula in other ways."""

import numpy as np
import pytest
from torch import from_numpy
from torchmetrics.image.fid import _compute_fid

from visionkit.metrics.frechet import frechet


def by_eigenvalues(x, y) -> float:
    """The formula with the eigenvalues of C1 C2, whose roots sum to the trace."""
    one, two = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    roots = np.sqrt(np.linalg.eigvals(one @ two).real.clip(0)).sum()
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(one) + np.trace(two) - 2 * roots)


def test_by_hand_in_one_dimension() -> None:
    # means 1 and 4, deviations 1 and 3 (of the sample)
    x = 1 + np.array([[-1.0], [1.0], [-1.0], [1.0]]) * np.sqrt(3 / 4)
    y = 4 + 3 * np.array([[-1.0], [1.0], [-1.0], [1.0]]) * np.sqrt(3 / 4)
    assert frechet(x, y) == pytest.approx(3**2 + 2**2, abs=1e-12)


def test_axes_that_are_independent_add_up() -> None:
    corners = np.array([[p, q] for p in (-1, 1) for q in (-1, 1)]) * np.sqrt(3 / 4)
    x, y = corners * [1, 2], corners * [3, 2.5] + [0, 1]
    assert frechet(x, y) == pytest.approx((3 - 1) ** 2 + (2.5 - 2) ** 2 + 1, abs=1e-12)


@pytest.mark.parametrize("counts", [(200, 150), (200, 9), (9, 200), (9, 7)])
def test_equal_to_the_formula(counts) -> None:
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(12, 12))
    x = rng.normal(size=(counts[0], 12)) @ mix
    y = rng.normal(size=(counts[1], 12)) * np.linspace(0.5, 2, 12) + 0.3
    # roots of eigenvalues that are 0 but for rounding cost the formula half its digits
    exact = 1e-9 if min(counts) > 12 else 1e-5
    assert frechet(x, y) == pytest.approx(by_eigenvalues(x, y), rel=exact)
    assert frechet(y, x) == pytest.approx(frechet(x, y), rel=1e-10)


def test_equal_to_torchmetrics() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(300, 20)), rng.normal(0.2, 1.5, size=(250, 20))
    moments = [from_numpy(m) for s in (x, y) for m in (s.mean(0), np.cov(s, rowvar=False))]
    assert frechet(x, y) == pytest.approx(float(_compute_fid(*moments)), rel=1e-9)


def test_nothing_between_a_set_and_itself() -> None:
    rng = np.random.default_rng(2)
    for count in (5, 400):
        x = (100 * rng.normal(size=(count, 30))).astype(np.float32)
        assert frechet(x, x) < 1e-6
        turned = x[::-1]
        assert frechet(x, turned) < 1e-6


def test_falls_with_the_number_of_pictures() -> None:
    rng = np.random.default_rng(3)
    floors = [frechet(*rng.normal(size=(2, n, 16))) for n in (50, 200, 800)]
    assert floors[0] > 2 * floors[1] > 4 * floors[2] > 0


def test_too_few_and_unlike_features() -> None:
    assert frechet(np.zeros((1, 2)), np.zeros((9, 2))) == -1
    with pytest.raises(ValueError, match="can't be compared"):
        frechet(np.zeros((4, 2)), np.zeros((4, 3)))
