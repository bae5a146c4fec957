"""Boundaries of classes against a slow count, and against cases worked out by hand."""

import numpy as np
import pytest
from mask_cases import Labels, draw, make_index, masks

from visionkit.metrics.boundary import boundary_counts, boundary_means, boundary_scores
from visionkit.metrics.segmentation import SegmentationEvaluator
from visionkit.results import VOID


def stripe(at: int, width: int = 20) -> Labels:
    """Class 0 left of a column, class 1 from there on."""
    return np.repeat((np.arange(width) >= at).astype(np.uint8)[None], 15, 0)


@pytest.mark.parametrize(("shift", "score"), [(0, 1.0), (2, 1.0), (3, 0.0)])
def test_boundaries_within_the_tolerance(shift: int, score: float) -> None:
    # the diagonal is 25 pixels
    counts = boundary_counts(stripe(8), stripe(8 + shift), 2, 0.1)
    met = 15 if score else 0
    assert counts.tolist() == [[met, met], [15, 15], [met, met], [15, 15]]
    assert boundary_scores(counts[None]).tolist() == [[score, score]]


def test_a_pixel_is_near_in_any_case() -> None:
    assert boundary_counts(stripe(8), stripe(9), 2, 0.001)[0].tolist() == [15, 15]
    assert boundary_counts(stripe(8), stripe(10), 2, 0.001)[0].tolist() == [0, 0]


def test_boundaries_along_void_and_borders() -> None:
    truth, said = stripe(8), stripe(8)
    truth[:, 7] = VOID  # class 0 ends before void, which is no class, whatever is said there
    counts = boundary_counts(truth, said, 3, 0.001)
    assert counts.tolist() == [[15, 15, 0]] * 4
    assert not boundary_counts(*[np.zeros((9, 9), np.uint8)] * 2, 3, 0.1).any()
    gone = boundary_scores(boundary_counts(stripe(8), np.zeros((15, 20), np.uint8), 3, 0.1)[None])
    assert gone.tolist() == [[0, 0, -1]]
    invented = boundary_counts(np.zeros((15, 20), np.uint8), stripe(8), 3, 0.1)
    assert invented.tolist() == [[0] * 3, [0] * 3, [0] * 3, [15, 15, 0]]
    assert boundary_scores(invented[None]).tolist() == [[-1, -1, -1]]


def slow_counts(truth: Labels, said: Labels, classes: int, tolerance: float) -> np.ndarray:
    height, width = truth.shape
    limit = max(1.0, tolerance * np.hypot(height, width))

    def boundary(labels: Labels, k: int) -> list[tuple[int, int]]:
        mine = {
            (y, x)
            for y in range(height)
            for x in range(width)
            if labels[y, x] == k and truth[y, x] != VOID
        }
        inside = {(y, x) for y in range(height) for x in range(width)}
        around = ((0, 1), (1, 0), (0, -1), (-1, 0))
        return [
            (y, x)
            for y, x in mine
            if any((y + a, x + b) in inside and (y + a, x + b) not in mine for a, b in around)
        ]

    def met(these: list, others: list) -> int:
        return sum(
            any((y - v) ** 2 + (x - u) ** 2 <= limit**2 + 1e-9 for v, u in others) for y, x in these
        )

    columns = []
    for k in range(classes):
        a, b = boundary(truth, k), boundary(said, k)
        columns.append([met(a, b), len(a), met(b, a), len(b)])
    return np.array(columns).T


@pytest.mark.parametrize("tolerance", [0.0, 0.08, 0.3])
def test_boundaries_equal_a_slow_count(tolerance: float) -> None:
    truths, said = draw(4, count=8)
    rng = np.random.default_rng(0)
    for whole, claimed in zip(truths, said, strict=True):
        truth, claim = whole[:12, :12], claimed[:12, :12]
        near = np.roll(truth, int(rng.integers(0, 3)), 1)  # mostly right, unlike the others
        for guess in (claim, np.where(rng.random(truth.shape) < 0.9, near, claim)):
            guess = guess.astype(np.uint8)
            expected = slow_counts(truth, guess, 7, tolerance)
            assert boundary_counts(truth, guess, 7, tolerance).tolist() == expected.tolist()


@pytest.mark.parametrize(("size", "tolerance"), [((1, 9), 2.0), ((9, 1), 0.2), ((14, 15), 0.1)])
def test_boundaries_in_thin_pictures_and_of_many_classes(
    size: tuple[int, int], tolerance: float
) -> None:
    rng = np.random.default_rng(sum(size))
    for classes in (2, 9, 200):
        truth = rng.integers(0, classes, size).astype(np.uint8)
        said = np.where(rng.random(size) < 0.7, np.roll(truth, 1, int(size[0] == 1)), truth)
        counts = boundary_counts(truth, said, classes, tolerance)
        assert counts.tolist() == slow_counts(truth, said, classes, tolerance).tolist()
        assert counts[0].sum() > 0


def test_boundary_means_are_over_pictures_and_classes() -> None:
    truths = [stripe(8), stripe(8), np.zeros((15, 20), np.uint8)]
    evaluator = SegmentationEvaluator(make_index(truths, 3), boundary=0.1)
    evaluator.detailed = True
    said = [stripe(8), stripe(12), stripe(3)]  # right, wrong, and nothing to be right about
    evaluator.update(evaluator.index.image_ids.tolist(), masks(said))
    assert evaluator.details() == {
        "boundary_f1": 0.5,
        "boundary_f1/c0": 0.5,
        "boundary_f1/c1": 0.5,
        "boundary_f1/c2": -1.0,
    }
    assert boundary_means(np.zeros((0, 2))).tolist() == [-1, -1]
