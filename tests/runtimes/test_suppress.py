"""Suppression without torch: worked out by hand, and equal to torch's."""

import numpy as np
import pytest
import torch

from visionkit.ops import boxes as reference
from visionkit.runtimes.suppress import Found, best, best_first, enough, suppress, unsuppressed


def found(boxes: list[list[float]], scores: list[float], labels: list[int]) -> Found:
    return Found(np.array(boxes, np.float32), np.array(scores, np.float32), np.array(labels))


A, B = [0.0, 0, 10, 10], [1.0, 0, 11, 10]  # they share 90 of 110 pixels: .818


@pytest.mark.parametrize(("iou", "kept"), [(0.81, [1, 2]), (0.82, [1, 2, 0])])
def test_a_better_box_suppresses_those_of_its_class(iou: float, kept: list[int]) -> None:
    three = found([B, A, B], [0.5, 0.9, 0.7], [0, 0, 1])
    assert unsuppressed(three, iou).tolist() == kept
    result = suppress(three, 0.0, iou, 2)
    assert result.scores.tolist() == pytest.approx([0.9, 0.7])
    assert result.labels.tolist() == [0, 1]
    assert result.boxes.tolist() == [A, B]


def test_an_overlap_of_just_the_limit_stays_and_ties_keep_their_order() -> None:
    halves = found([[0, 0, 2, 2], [0, 0, 2, 1], [5, 5, 6, 6]], [0.5, 0.5, 0.5], [0, 0, 0])
    assert unsuppressed(halves, 0.5).tolist() == [0, 1, 2]
    assert unsuppressed(halves, 0.49).tolist() == [0, 2]
    assert unsuppressed(halves.take(slice(1, None, -1)), 0.49).tolist() == [0]


def test_empty_boxes_overlap_nothing() -> None:
    empty = found([[1, 1, 1, 1]] * 2, [0.5, 0.4], [0, 0])
    assert unsuppressed(empty, 0.5).tolist() == [0, 1]
    none = found([], [], []).take(slice(0))
    assert unsuppressed(Found(np.zeros((0, 4), np.float32), *none[1:]), 0.5).tolist() == []


def test_what_is_low_or_no_number_is_passed_over() -> None:
    nan, inf = float("nan"), float("inf")
    five = found([A, A, A, [0, 0, inf, 1], A], [0.3, nan, -1, 0.9, 0.1], [0, 1, 2, 3, 4])
    assert enough(five, 0.0).labels.tolist() == [0, 4]
    assert enough(five, 0.1).labels.tolist() == [0, 4]
    assert enough(five, 0.2).labels.tolist() == [0]
    assert enough(five, -5).labels.tolist() == [0, 4]  # -1 means that there is no box
    assert best_first(five.take(np.array([4, 0, 3]))).labels.tolist() == [3, 0, 4]


def test_the_best_of_many_are_the_first_of_equals() -> None:
    boxes = np.arange(12, dtype=np.float32).reshape(3, 4)
    scores = np.array([[0.5, 0.9], [np.nan, 0.5], [0.5, 0.1]], np.float32)
    three = best(boxes, scores, 3)
    assert three.scores.tolist() == pytest.approx([0.9, 0.5, 0.5])
    assert three.labels.tolist() == [1, 0, 1]
    assert three.boxes.tolist() == boxes[[0, 0, 1]].tolist()
    rough = np.random.default_rng(0).integers(0, 9, (20, 3)).astype(np.float32)
    for count in (1, 7, 30, 59, 60, 99):
        order = np.argsort(-rough.ravel(), kind="stable")[:count]
        taken = best(np.repeat(np.arange(20, dtype=np.float32)[:, None], 4, 1), rough, count)
        assert taken.labels.tolist() == (order % 3).tolist()
        assert taken.boxes[:, 0].tolist() == (order // 3).tolist()


@pytest.mark.parametrize("seed", range(4))
def test_the_same_as_torch_to_the_last_bit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(-20, 300, (400, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0, 90, (400, 2))], 1).astype(np.float32)
    scores = rng.integers(-10, 40, 400).astype(np.float32) / 40  # with many ties
    labels = rng.integers(0, 3, 400)
    boxes[3], scores[5] = np.nan, np.nan
    for confidence, iou, limit in ((0.0, 0.5, 999), (0.25, 0.7, 40), (0.1, 1.0, 999)):
        tensors = (torch.from_numpy(a)[None] for a in (boxes, scores, labels))
        (wanted,) = reference.suppress(reference.Decoded(*tensors), confidence, iou, limit)
        mine = suppress(Found(boxes, scores, labels), confidence, iou, limit)
        for array, tensor in zip(mine, wanted, strict=True):
            np.testing.assert_array_equal(array, tensor.numpy())
        assert len(mine.scores) > 30
