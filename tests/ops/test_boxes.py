"""Overlaps and suppression against figures worked out by hand."""

import math

import pytest
import torch

from visionkit.ops.boxes import (
    Decoded,
    box_iou,
    boxes_from_distances,
    complete_iou,
    generalised_iou,
    grid_points,
    suppress,
)


def decoded(boxes, scores, labels):
    return Decoded(torch.tensor([boxes]).float(), torch.tensor([scores]), torch.tensor([labels]))


def test_iou_by_hand():
    a = torch.tensor([[0.0, 0, 4, 4]])
    b = torch.tensor([[2.0, 2, 6, 6], [0, 0, 4, 4], [4, 0, 8, 4], [1, 1, 3, 3], [2, 2, 2, 2]])
    assert box_iou(a, b).tolist() == pytest.approx([4 / 28, 1, 0, 4 / 16, 0])


def test_iou_broadcasts():
    a, b = torch.rand(3, 1, 4), torch.rand(1, 5, 4)
    assert box_iou(a, b).shape == (3, 5)


def test_ciou_by_hand():
    a, b = torch.tensor([[0.0, 0, 4, 2]]), torch.tensor([[2.0, 0, 4, 4]])
    iou = 4 / (8 + 8 - 4)
    distance = ((2 - 3) ** 2 + (1 - 2) ** 2) / (4**2 + 4**2)  # centres over the hull's diagonal
    v = 4 / math.pi**2 * (math.atan(4 / 2) - math.atan(2 / 4)) ** 2
    expected = iou - distance - v * v / (1 - iou + v)
    assert complete_iou(a, b).item() == pytest.approx(expected, abs=1e-6)
    assert complete_iou(a, a).item() == pytest.approx(1)


def test_ciou_of_distant_boxes_still_pulls_them_together():
    a = torch.tensor([[0.0, 0, 2, 2]], requires_grad=True)
    (1 - complete_iou(a, torch.tensor([[10.0, 0, 12, 2]]))).sum().backward()
    assert a.grad[0, 2] < 0  # the right side goes right


def test_giou_by_hand():
    a = torch.tensor([[0.0, 0, 4, 2], [0, 0, 2, 2], [1, 1, 3, 3]])
    b = torch.tensor([[2.0, 0, 4, 4], [4, 0, 6, 2], [1, 1, 3, 3]])
    # 4 of 12 in a hull of 16; nothing of 8 in a hull of 12; the same
    assert generalised_iou(a, b).tolist() == pytest.approx([4 / 12 - 4 / 16, -4 / 12, 1])


@pytest.mark.parametrize("box", [[5.0, 5, 5, 5], [5, 5, 5, 9], [5, 5, 9, 5], [0, 0, 8, 8]])
def test_gradients_are_finite_for_degenerate_boxes(box):
    a = torch.tensor([box], dtype=torch.float32, requires_grad=True)
    for other in ([5.0, 5, 5, 5], [0, 0, 8, 8], [1, 1, 1, 7]):
        for iou in (complete_iou, generalised_iou):
            value = iou(a, torch.tensor([other], dtype=torch.float32))
            assert torch.isfinite(value).all()
            (gradient,) = torch.autograd.grad(value.sum(), a)
            assert torch.isfinite(gradient).all()


def test_grid_points_are_the_centres_of_cells_row_by_row():
    points, strides = grid_points([(1, 2), (1, 1)], [8, 16], torch.device("cpu"))
    assert points.tolist() == [[4, 4], [12, 4], [8, 8]]
    assert strides.tolist() == [8, 8, 16]


def test_boxes_from_distances():
    boxes = boxes_from_distances(torch.tensor([[10.0, 20]]), torch.tensor([[1.0, 2, 3, 4]]))
    assert boxes.tolist() == [[9, 18, 13, 24]]


def test_suppression_is_by_class_and_by_picture():
    boxes = [[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 8], [20, 20, 30, 30]]
    raw = decoded(boxes, [0.9, 0.8, 0.7, 0.0005], [0, 0, 1, 0])
    two = Decoded(*(torch.cat([x, x]) for x in raw))
    for kept in suppress(two, 0.001, 0.5, 10):
        assert kept.scores.tolist() == pytest.approx([0.9, 0.7])
        assert kept.labels.tolist() == [0, 1]
    assert [len(k.scores) for k in suppress(two, 0.001, 0.5, 1)] == [1, 1]
    assert [len(k.scores) for k in suppress(two, 0.95, 0.5, 10)] == [0, 0]


def test_suppression_is_exact_on_large_canvases_with_many_classes():
    # IoU 0.6003 within one class: both sides of the threshold must hold for every label
    boxes = [[4000.0, 4000, 4020, 4010.005], [4000, 4000, 4020, 4006.0061]]
    exact = box_iou(*torch.tensor(boxes, dtype=torch.float64)).item()
    assert 0.6 < exact < 0.601
    for label in (0, 364, 1202):
        raw = decoded(boxes, [0.9, 0.8], [label, label])
        assert len(suppress(raw, 0.0, exact - 1e-4, 10)[0].scores) == 1
        assert len(suppress(raw, 0.0, exact + 1e-4, 10)[0].scores) == 2


def test_boxes_beyond_the_canvas_do_not_reach_into_another_class():
    # moved apart by the largest coordinate alone, these two would coincide
    boxes = [[90.0, 90, 100, 100], [-11, -11, -1, -1]]
    assert len(suppress(decoded(boxes, [0.9, 0.8], [0, 1]), 0.0, 0.5, 10)[0].scores) == 2


def test_boxes_that_are_not_finite_are_passed_over():
    nan, inf = float("nan"), float("inf")
    boxes = [[0.0, 0, 10, 10], [0, 0, 10, 9], [nan, 0, 5, 5], [0, 0, inf, 5], [40, 40, 50, 50]]
    raw = decoded(boxes, [0.9, 0.8, 0.7, 0.6, nan], [0, 0, 0, 1, 1])
    (kept,) = suppress(raw, 0.0, 0.5, 10)  # and the second is still suppressed by the first
    assert kept.scores.tolist() == pytest.approx([0.9])
