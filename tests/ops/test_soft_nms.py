"""Soft suppression against scores worked out by hand."""

import math

import pytest
import torch

from visionkit.ops.boxes import Decoded, box_iou, suppress
from visionkit.ops.soft_nms import soft_suppress

# IoU 0.5 of the first two, 0 of the third with both; the last is of another class
BOXES = [[0.0, 0, 10, 10], [0, 0, 10, 5], [50, 50, 60, 60], [0, 0, 10, 10]]


def decoded(boxes=BOXES, scores=(0.9, 0.8, 0.7, 0.6), labels=(0, 0, 0, 1)):
    return Decoded(torch.tensor([boxes]), torch.tensor([scores]), torch.tensor([labels]))


def test_linear_by_hand():
    (found,) = soft_suppress(decoded(), 0.0, 0.3, 10, "linear")
    assert found.scores.tolist() == pytest.approx([0.9, 0.7, 0.6, 0.4])
    assert found.labels.tolist() == [0, 0, 1, 0]
    assert found.boxes[3].tolist() == BOXES[1]
    (kept,) = soft_suppress(decoded(), 0.0, 0.5, 10, "linear")  # not beyond the bound
    assert kept.scores.tolist() == pytest.approx([0.9, 0.8, 0.7, 0.6])


def test_gaussian_by_hand():
    (found,) = soft_suppress(decoded(), 0.0, 0.3, 10, "gaussian", sigma=0.5)
    lowered = 0.8 * math.exp(-(0.5**2) / 0.5)
    assert found.scores.tolist() == pytest.approx([0.9, 0.7, 0.6, lowered])


def test_the_limit_and_the_confidence():
    assert soft_suppress(decoded(), 0.0, 0.3, 2, "linear")[0].scores.tolist() == pytest.approx(
        [0.9, 0.7]
    )
    assert len(soft_suppress(decoded(), 0.5, 0.3, 9, "linear")[0].scores) == 3
    assert len(soft_suppress(decoded(), 0.95, 0.3, 9, "linear")[0].scores) == 0


def test_boxes_that_are_not_there_are_not_found():
    (found,) = soft_suppress(decoded(scores=(0.9, -1.0, 0.0, -1.0)), 0.0, 0.3, 10, "gaussian")
    assert found.scores.tolist() == pytest.approx([0.9, 0.0])


def one_by_one(boxes, scores, labels, confidence, sigma):
    """The paper's figure 2, class by class."""
    found = []
    for label in set(labels.tolist()):
        mine = [(s, b) for s, b, k in zip(scores, boxes, labels, strict=True) if k == label]
        while mine:
            best = max(range(len(mine)), key=lambda i: mine[i][0])
            score, box = mine.pop(best)
            if score >= confidence:
                found.append((score.item(), label, box.tolist()))
            mine = [(s * torch.exp(-(box_iou(b, box) ** 2) / sigma), b) for s, b in mine]
    return sorted(found, reverse=True)


def test_many_boxes_of_several_pictures_as_in_the_paper():
    torch.manual_seed(0)
    corner = torch.rand(3, 40, 2) * 30
    boxes = torch.cat([corner, corner + torch.rand(3, 40, 2) * 30 + 5], -1)
    scores, labels = torch.rand(3, 40), torch.randint(0, 3, (3, 40))
    found = soft_suppress(Decoded(boxes, scores, labels), 0.05, 0.5, 100, "gaussian", 0.4)
    for i, mine in enumerate(found):
        expected = one_by_one(boxes[i], scores[i], labels[i], 0.05, 0.4)
        assert len(mine.scores) == len(expected) < 40
        assert mine.scores.tolist() == pytest.approx([e[0] for e in expected], rel=1e-5)
        assert mine.labels.tolist() == [e[1] for e in expected]
        assert mine.boxes.flatten().tolist() == pytest.approx([x for e in expected for x in e[2]])


def test_without_overlaps_it_is_the_hard_suppression():
    apart = [[0.0, 0, 9, 9], [20, 0, 29, 9], [40, 0, 49, 9]]
    raw = decoded(apart, (0.3, 0.9, 0.5), (0, 0, 0))
    soft, hard = soft_suppress(raw, 0.4, 0.5, 9, "linear")[0], suppress(raw, 0.4, 0.5, 9)[0]
    assert all(torch.equal(a, b) for a, b in zip(soft, hard, strict=True))


def test_boxes_that_are_not_finite_are_passed_over():
    boxes = [[float("nan"), 0.0, 10, 10], *BOXES[1:3], [0, 0, float("inf"), 10]]
    raw = decoded(boxes, (0.9, 0.8, 0.7, 0.6), (0, 0, 0, 0))
    for how in ("linear", "gaussian"):
        (found,) = soft_suppress(raw, 0.0, 0.3, 10, how)
        assert found.scores.tolist() == pytest.approx([0.8, 0.7])
