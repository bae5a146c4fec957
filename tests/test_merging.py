"""Boxes of several looks, put together: by hand."""

from collections.abc import Sequence

import numpy as np
import pytest

from visionkit.merging import fuse, join, overlaps
from visionkit.runtimes.suppress import Found

Rows = Sequence[tuple[Sequence[float], float, int]]

LEFT, RIGHT = (0, 0, 60, 100), (40, 0, 100, 100)
SIZE = (100, 100)


def found(rows: Rows) -> Found:
    """Boxes, each with its score and its class."""
    return Found(
        np.array([r[0] for r in rows], np.float32).reshape(-1, 4),
        np.array([r[1] for r in rows], np.float32),
        np.array([r[2] for r in rows], np.int64),
    )


def joined(*parts: tuple[Sequence[float], Rows], iou: float = 0.7, size=SIZE):
    windows = np.array([window for window, _ in parts], np.float64)
    result = join([found(rows) for _, rows in parts], windows, size, iou)
    boxes, scores, labels = (values.tolist() for values in result)
    return [
        (box, round(score, 4), label)
        for box, score, label in zip(boxes, scores, labels, strict=True)
    ]


def test_overlaps_by_hand():
    a = np.array([[0, 0, 10, 10], [5, 5, 5, 9]])
    b = np.array([[5, 0, 15, 10], [0, 0, 10, 10], [5, 5, 5, 9]])
    np.testing.assert_allclose(overlaps(a, b), [[1 / 3, 1, 0], [0, 0, 0]])


def test_fused_boxes_are_means_weighted_by_scores():
    views = [found([([0, 0, 10, 10], 0.9, 0)]), found([([2, 0, 10, 10], 0.3, 0)])]
    fused = fuse(views)
    np.testing.assert_allclose(fused.boxes, [[0.5, 0, 10, 10]])  # (0.9 x 0 + 0.3 x 2) / 1.2
    np.testing.assert_allclose(fused.scores, [0.6])


def test_what_one_view_alone_says_counts_less():
    views = [found([([0, 0, 10, 10], 0.8, 0)]), found([]), found([([50, 50, 60, 60], 0.9, 1)])]
    fused = fuse(views)
    assert fused.labels.tolist() == [1, 0]
    np.testing.assert_allclose(fused.scores, [0.3, 0.8 / 3], rtol=1e-6)


def test_classes_and_objects_that_a_view_tells_apart_stay_apart():
    near, twin = [0, 0, 10, 10], [0, 0, 10, 12]
    views = [found([(near, 0.9, 0), (twin, 0.8, 0)]), found([(near, 0.7, 0), (twin, 0.6, 1)])]
    fused = fuse(views)
    assert sorted(zip(fused.labels.tolist(), np.round(fused.scores, 3).tolist(), strict=True)) == [
        (0, pytest.approx(0.4)),
        (0, pytest.approx(0.8)),
        (1, pytest.approx(0.3)),
    ]
    assert fused.boxes[fused.scores.argmax()].tolist() == near


def test_a_single_view_stays_as_it_is():
    only = found([([0, 0, 10, 10], 0.2, 0), ([0, 0, 10, 11], 0.9, 0)])
    assert fuse([only]) is only
    assert len(fuse([found([]), found([])]).scores) == 0


def test_a_piece_of_what_another_window_shows_whole_goes():
    whole, piece = [30, 20, 55, 40], [40, 20, 55, 40]
    assert joined((LEFT, [(whole, 0.6, 0)]), (RIGHT, [(piece, 0.9, 0)])) == [(whole, 0.6, 0)]
    # ending two pixels from both borders, neither need be whole: together they are
    edge = [30, 20, 58, 40]
    assert joined((LEFT, [(edge, 0.6, 0)]), (RIGHT, [([40, 20, 58, 40], 0.9, 0)])) == [
        (edge, 0.9, 0)
    ]
    # of another class, or elsewhere, it explains nothing; but nobody sees the rest of the piece
    assert joined((LEFT, [(whole, 0.6, 0)]), (RIGHT, [(piece, 0.9, 1)])) == [(whole, 0.6, 0)]
    apart = [40, 60, 55, 80]
    assert joined((LEFT, []), (RIGHT, [(apart, 0.9, 0)])) == []


def test_pieces_that_agree_are_joined():
    left, right = ([10, 20, 60, 40], 0.6, 0), ([40, 21, 90, 40], 0.8, 0)
    assert joined((LEFT, [left]), (RIGHT, [right])) == [([10, 20, 90, 40], 0.8, 0)]
    # of other heights they are of two objects, of each of which the other window saw nothing
    low = ([40, 45, 90, 65], 0.8, 0)
    assert joined((LEFT, [left]), (RIGHT, [low])) == []


def test_pieces_are_joined_across_windows_that_only_touch():
    left, right = ([10, 20, 50, 40], 0.6, 0), ([50, 20, 90, 41], 0.8, 0)
    parts = ((0, 0, 50, 100), [left]), ((50, 0, 100, 100), [right])
    assert joined(*parts) == [([10, 20, 90, 41], 0.8, 0)]


def test_a_chain_of_pieces_is_one_object():
    windows = [(0, 0, 60, 60), (40, 0, 100, 60), (80, 0, 140, 60)]
    rows = [([20, 10, 60, 30], 0.5, 0), ([40, 10, 100, 30], 0.7, 0), ([80, 10, 120, 30], 0.6, 0)]
    parts = [(w, [row]) for w, row in zip(windows, rows, strict=True)]
    assert joined(*parts, size=(60, 140)) == [([20, 10, 120, 30], 0.7, 0)]
    # without its end the object goes on where a window saw nothing
    assert joined(*parts[:2], (windows[2], []), size=(60, 140)) == []


def test_four_windows_join_in_both_directions():
    windows = [(0, 0, 60, 60), (40, 0, 100, 60), (0, 40, 60, 100), (40, 40, 100, 100)]
    boxes = [[20, 20, 60, 60], [40, 20, 80, 60], [20, 40, 60, 80], [40, 40, 80, 80]]
    parts = [
        (w, [(box, 0.5 + n / 10, 0)]) for n, (w, box) in enumerate(zip(windows, boxes, strict=True))
    ]
    assert joined(*parts) == [([20, 20, 80, 80], 0.8, 0)]


def test_borders_of_the_picture_cut_nothing():
    rows = [([0, 0, 30, 100], 0.9, 0)]
    assert joined((LEFT, rows), (RIGHT, [])) == [([0, 0, 30, 100], 0.9, 0)]


def test_windows_suppress_one_another_and_not_themselves():
    # p and q overlap by 0.6: two objects of the left window, which the right one sees, too
    p, q = [44, 10, 54, 20], [44, 12.5, 54, 22.5]
    left = [(p, 0.9, 0), (q, 0.8, 0)]
    right = [([44.5, 10, 54.5, 20], 0.7, 0), ([44.5, 12.5, 54.5, 22.5], 0.6, 0)]
    assert [row[0] for row in joined((LEFT, left), (RIGHT, right))] == [p, q]
    # by less than the option, but more than a half: one object, seen less exactly
    rough = [([44, 12.5, 54, 22.5], 0.95, 0)]
    assert len(joined((LEFT, left[:1]), (RIGHT, rough))) == 1
    assert len(joined((LEFT, left[:1]), (RIGHT, [(rough[0][0], 0.95, 1)]))) == 2
    # a stricter option holds for all
    third = [([44, 15, 54, 25], 0.5, 0)]  # overlaps p by a third
    assert len(joined((LEFT, left[:1]), (RIGHT, third))) == 2
    assert len(joined((LEFT, left[:1]), (RIGHT, third), iou=0.3)) == 1


def test_nothing_found_is_nothing():
    assert joined((LEFT, []), (RIGHT, [])) == []
