"""The kernel distance against sums worked out by hand, and on pictures that get worse."""

import numpy as np
import pytest
from generation_cases import blurred, noisy, scenes

from visionkit.data.mnist import read_mnist
from visionkit.metrics.extractor import Extractor
from visionkit.metrics.kid import kid


def kernel(a, b) -> float:
    return (sum(p * q for p, q in zip(a, b, strict=True)) / len(a) + 1) ** 3


def by_loops(x, y) -> float:
    def within(z) -> float:
        pairs = [kernel(a, b) for i, a in enumerate(z) for j, b in enumerate(z) if i != j]
        return sum(pairs) / len(pairs)

    alike = len(x) == len(y)
    between = [
        kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(y) if i != j or not alike
    ]
    return within(x) + within(y) - 2 * sum(between) / len(between)


def test_by_hand() -> None:
    # k = 8, 8, and 1 four times: a pair at 1, a pair at 0, of one feature
    x, y = np.array([[1.0], [1.0], [1.0]]), np.zeros((3, 1))
    assert kid(x, y) == (8 + 1 - 2 * 1, -1)
    one = np.array([[2.0, 0.0], [0.0, 2.0]])
    # within and between: (0 + 1)^3, as a row never meets that of its own number
    assert kid(one, one) == (1 + 1 - 2 * 1, -1)
    # a third row [0, 0] on one side: between, twice (2 + 1)^3 and four times 1
    more = np.array([[2.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    assert kid(one, more) == (pytest.approx(1 + 1 - 2 * (2 * 27 + 4) / 6), -1)


def test_blocks_by_loops() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 1, (50, 3)), rng.normal(0.3, 1, (43, 3))
    mean, error = kid(x, y)
    blocks = np.array([by_loops(x[b::2].tolist(), y[b::2].tolist()) for b in range(2)])
    assert mean == pytest.approx(blocks.mean(), abs=1e-12)
    assert error == pytest.approx(abs(blocks[0] - blocks[1]) / 2, abs=1e-12)
    assert kid(x, y, blocks=1) == (pytest.approx(by_loops(x.tolist(), y.tolist())), -1)
    even = y[:40], x[:40]
    blocks = np.array([by_loops(*(z[b::2].tolist() for z in even)) for b in range(2)])
    assert kid(*even)[0] == pytest.approx(blocks.mean(), abs=1e-12)


def test_no_bias_whatever_the_number() -> None:
    rng = np.random.default_rng(0)
    for count in (8, 40, 200):
        draws = [kid(*rng.normal(0, 1, (2, count, 4)))[0] for _ in range(400)]
        error = np.std(draws) / 20
        assert abs(np.mean(draws)) < 2.5 * error


def test_no_bias_where_pictures_of_a_number_share_their_class() -> None:
    """What a conditional model makes for a picture is of its class, and nearer to it for that."""
    rng = np.random.default_rng(0)
    found, all_pairs = [], []
    for _ in range(600):
        centres = np.where(rng.random(24) < 0.5, -2.0, 2.0)[:, None]
        x, y = (centres + rng.normal(0, 0.3, (24, 3)) for _ in range(2))
        found.append(kid(x, y, blocks=1)[0])
        own = (np.sum(x * y, 1) / 3 + 1) ** 3
        every = (x @ y.T / 3 + 1) ** 3
        apart = (every.sum() - own.sum()) / (24 * 23)
        all_pairs.append(found[-1] + 2 * apart - 2 * every.mean())
    error = np.std(found) / np.sqrt(600)
    assert abs(np.mean(found)) < 2.5 * error
    # with every pair, those of a number included: it fell below zero
    assert np.mean(all_pairs) < -10 * np.std(all_pairs) / np.sqrt(600)


def test_the_error_says_how_far_draws_lie_apart() -> None:
    rng = np.random.default_rng(1)
    found = np.array([kid(*rng.normal(0, 1, (2, 400, 4))) for _ in range(100)])
    assert found[:, 1].mean() == pytest.approx(found[:, 0].std(), rel=0.25)


def test_too_few_and_unlike_features() -> None:
    assert kid(np.zeros((1, 2)), np.zeros((9, 2))) == (-1, -1)
    with pytest.raises(ValueError, match="can't be compared"):
        kid(np.zeros((4, 2)), np.zeros((4, 3)))


@pytest.fixture(scope="module")
def look():
    return Extractor()


@pytest.fixture(scope="module")
def real(look):
    return look(scenes(400, 0))


def test_real_pictures_against_real_ones(look, real) -> None:
    distance, error = kid(real, look(scenes(400, 1)))
    assert abs(distance) < 2 * error


@pytest.mark.parametrize(
    ("spoil", "strengths"), [(noisy, (6, 12, 24, 48, 96)), (blurred, (0.5, 0.8, 1.2, 2, 4))]
)
def test_rises_under_noise_and_blur(look, real, spoil, strengths) -> None:
    other = scenes(400, 1)
    distance, error = kid(real, look(other))
    for strength in strengths:
        worse, its_error = kid(real, look(spoil(other, strength)))
        assert worse > distance + 2 * max(error, its_error)
        distance, error = worse, its_error


def test_tells_a_few_pictures_again_and_again(look, real) -> None:
    which = np.random.default_rng(0).integers(0, 20, 400)
    distance, error = kid(real, look(scenes(20, 1)[which]))
    assert distance > 3 * error


@pytest.mark.real
def test_garments(look, shared_data) -> None:
    index = read_mnist(shared_data / "fashion_mnist", "test")
    assert index is not None
    pixels = np.repeat(index.pixels[:2000, :, :, None], 3, 3)
    features, other = look(pixels[:1000]), pixels[1000:]
    first, error = kid(features, look(other))
    assert abs(first) < 2 * error
    for spoil, strengths in ((noisy, (4, 8, 16, 32, 64)), (blurred, (0.4, 0.6, 0.8, 1.2, 2, 4))):
        found = [kid(features, look(spoil(other, s)))[0] for s in strengths]
        assert [first, *found] == sorted([first, *found])
