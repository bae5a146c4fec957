"""Results that lie apart by known amounts, and near ties that are no difference."""

import numpy as np
import pytest

from visionkit.export.compare import difference, merged
from visionkit.options import PredictOptions
from visionkit.results import Classification, Detections, Generated, SemanticMask

LIMITS = PredictOptions(confidence=0.1, iou=0.5, max_detections=3)
EQUAL = {"boxes": 0.0, "scores": 0.0, "labels": 0, "unmatched": 0, "excused": 0}


def found(*rows: tuple[list[float], float, int]) -> Detections:
    """Boxes, scores and labels, row by row."""
    return Detections(
        np.array([box for box, _, _ in rows], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in rows], np.float32),
        np.array([label for _, _, label in rows], np.int64),
    )


A = ([0, 0, 10, 10], 0.9, 0)
B = ([50, 0, 70, 10], 0.8, 1)
C = ([0, 50, 10, 90], 0.7, 0)


def compare(one: Detections, other: Detections, **changes) -> dict[str, float]:
    """What differs, where anything does."""
    gaps = difference(one, other, PredictOptions(**vars(LIMITS) | changes))
    assert list(gaps) == list(EQUAL)
    assert gaps == difference(other, one, PredictOptions(**vars(LIMITS) | changes))
    return {name: value for name, value in gaps.items() if value}


def test_equal_boxes_and_none():
    assert difference(found(A, B), found(A, B), LIMITS) == EQUAL
    assert difference(found(), found(), LIMITS) == EQUAL


def test_the_largest_distances_of_partners():
    moved = found(([0.5, 0, 10, 10], 0.9, 0), ([50, 0, 70, 10.25], 0.75, 1))
    assert compare(found(A, B), moved) == {"boxes": 0.5, "scores": pytest.approx(0.05)}


def test_order_of_about_equal_scores_is_no_difference():
    assert compare(found(A, B, C), found(B, C, A)) == {}


def test_boxes_of_no_area_find_each_other():
    flat = found(([5, 0, 5, 10], 0.9, 0))
    assert compare(flat, flat) == {}


def test_a_twin_with_another_score_is_not_the_partner():
    """Branches without suppression may say two boxes of one object."""
    near = ([0.002, 0, 10, 10], 0.5, 0)
    one, other = found(A, near), found(([0.001, 0, 10, 10], 0.9, 0), near)
    assert compare(one, other, iou=1.0) == {"boxes": pytest.approx(0.001)}


def test_another_class_is_told_apart_from_a_missing_box():
    other = found(A, (B[0], 0.8, 0))
    assert compare(found(A, B), other) == {"labels": 1}
    assert compare(found(A, B), found(A)) == {"unmatched": 1}
    assert compare(found(A, B), found(A, ([200, 0, 220, 10], 0.8, 1))) == {"unmatched": 2}


def test_numbers_that_are_none():
    broken = found(([np.nan, 0, 10, 10], 0.9, 0))
    assert compare(found(A), broken) == {"unmatched": 2}
    gaps = difference(found(A), found((A[0], np.nan, 0)), LIMITS)
    assert gaps["unmatched"] == 2


def test_hardly_good_enough():
    assert compare(found(A), found(A, (B[0], 0.1005, 1))) == {"excused": 1}
    assert compare(found(A), found(A, (B[0], 0.12, 1))) == {"unmatched": 1}


def test_hardly_among_the_best():
    last = ([80, 80, 90, 90], 0.7004, 1)
    assert compare(found(A, B, last), found(A, B, C)) == {"excused": 2}
    better = ([80, 80, 90, 90], 0.75, 1)  # C is gone because of it, but it needs an explanation
    assert compare(found(A, B, better), found(A, B, C)) == {"unmatched": 1, "excused": 1}


def test_hardly_suppressed():
    # overlaps A by 6.666 of 13.334: 0.49996
    tied = ([0, 3.334, 10, 13.334], 0.6, 0)
    assert compare(found(A, tied), found(A)) == {"excused": 1}
    assert compare(found(A, (tied[0], 0.6, 1)), found(A)) == {"unmatched": 1}
    clear = ([0, 5, 10, 15], 0.6, 0)  # 0.33
    assert compare(found(A, clear), found(A)) == {"unmatched": 1}
    doubled = ([0, 1, 10, 11], 0.6, 0)  # 0.82: it should have been suppressed, and it wasn't
    assert compare(found(A, doubled), found(A)) == {"unmatched": 1}


def test_what_a_tied_box_suppresses_is_explained_by_it():
    tied = ([0, 3.334, 10, 13.334], 0.6, 0)
    below = ([0, 6, 10, 16], 0.4, 0)  # overlaps it by 0.58, and A by 0.25
    assert compare(found(A, tied), found(A, below)) == {"excused": 2}
    assert compare(found(A), found(A, below)) == {"unmatched": 1}
    other_class = (below[0], 0.4, 1)
    assert compare(found(A, tied), found(A, other_class)) == {"unmatched": 1, "excused": 1}
    free = ([0, 9, 10, 19], 0.4, 0)  # 0.28
    assert compare(found(A, tied), found(A, free)) == {"unmatched": 1, "excused": 1}


def test_partners_that_differ_stay_partners_without_an_explanation():
    one, other = found(A, C), found(A, ([0, 53, 10, 90], 0.6, 0))
    assert compare(one, other) == {"boxes": 3.0, "scores": pytest.approx(0.1)}


def classes(*values: float) -> Classification:
    return Classification(np.array(values, np.float32))


def test_classes():
    gaps = difference(classes(0.7, 0.3), classes(0.6, 0.4), LIMITS)
    assert gaps == {"probabilities": pytest.approx(0.1), "labels": 0}
    tied = difference(classes(0.5004, 0.4996), classes(0.4998, 0.5002), LIMITS)
    assert tied["labels"] == 0
    assert difference(classes(0.6, 0.4), classes(0.4, 0.6), LIMITS)["labels"] == 1
    broken = difference(classes(0.6, 0.4), classes(np.nan, 0.4), LIMITS)
    assert broken["probabilities"] == np.inf
    assert difference(classes(1), classes(0.5, 0.5), LIMITS)["labels"] == 1


def test_masks():
    one = SemanticMask(np.zeros((4, 5), np.uint8))
    other = SemanticMask(np.zeros((4, 5), np.uint8))
    other.labels[1, 2] = 255
    assert difference(one, other, LIMITS) == {"masks": 0.05}
    assert difference(one, SemanticMask(other.labels.T), LIMITS) == {"masks": 1}


def test_pictures():
    one, other = (Generated(np.full((2, 5, 3), 250, np.uint8)) for _ in range(2))
    other.image[0, 0] = (0, 249, 250)
    gaps = difference(one, other, LIMITS)
    assert gaps == {"pictures": 250, "moved": pytest.approx(2 / 30)}
    assert difference(one, Generated(other.image[:1]), LIMITS)["pictures"] == 255


def test_kinds_are_not_mixed():
    with pytest.raises(TypeError, match="a Detections and a Classification"):
        difference(found(A), classes(1.0), LIMITS)


def test_several_pictures_together():
    parts = [{"boxes": 0.1, "unmatched": 2}, {"boxes": 0.3, "unmatched": 1}]
    assert merged(parts) == {"boxes": 0.3, "unmatched": 3}
    assert merged([]) == {}
