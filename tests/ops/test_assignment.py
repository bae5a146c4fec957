"""Task-aligned assignment on a grid of 4 x 4 points, worked out by hand."""

import pytest
import torch

from visionkit.batch import BoxTargets
from visionkit.ops.assignment import pad_targets, task_aligned
from visionkit.ops.boxes import grid_points

POINTS, _ = grid_points([(4, 4)], [8], torch.device("cpu"))  # 4, 12, 20, 28 each way


def truth(*images):
    """Targets of pictures given as lists of (box, label)."""
    flat = [(i, box, label) for i, image in enumerate(images) for box, label in image]
    return pad_targets(
        BoxTargets(
            boxes=torch.tensor([b for _, b, _ in flat]).float().reshape(-1, 4),
            labels=torch.tensor([n for _, _, n in flat]).long(),
            image=torch.tensor([i for i, _, _ in flat]).long(),
        ),
        len(images),
    )


def assign(targets, scores=None, boxes=None, topk=2, alpha=1.0, beta=2.0):
    batch = len(targets.boxes)
    if scores is None:
        scores = torch.full((batch, 16, 2), 0.5)
    if boxes is None:  # every point says: 16 px around me
        boxes = torch.cat([POINTS - 8, POINTS + 8], 1).expand(batch, -1, -1)
    return task_aligned(
        scores, boxes, POINTS, targets, topk=topk, alpha=alpha, beta=beta, min_side=8
    )


def test_padding_keeps_each_pictures_boxes_in_order():
    padded = pad_targets(
        BoxTargets(
            boxes=torch.arange(12).reshape(3, 4).float(),
            labels=torch.tensor([5, 6, 7]),
            image=torch.tensor([2, 0, 2]),
        ),
        3,
    )
    assert padded.real.tolist() == [[True, False], [False, False], [True, True]]
    assert padded.labels.tolist() == [[6, 0], [0, 0], [5, 7]]
    assert padded.boxes[2, 1].tolist() == [8, 9, 10, 11]


def test_the_best_aligned_points_within_the_box_answer():
    # points 5, 6, 9, 10 lie within; what they say of class 1 and their boxes decide
    scores = torch.full((1, 16, 2), 0.1)
    boxes = torch.cat([POINTS - 8, POINTS + 8], 1)[None].clone()
    scores[0, 5, 1], scores[0, 6, 1], scores[0, 9, 1], scores[0, 10, 1] = 0.9, 0.4, 0.2, 0.2
    scores[0, 0, 1] = 1.0  # outside
    boxes[0, 5] = torch.tensor([8.0, 8, 24, 16])  # IoU 1/2 with the object
    boxes[0, 6] = torch.tensor([8.0, 8, 24, 24])  # IoU 1
    found = assign(truth([([8, 8, 24, 24], 1)]), scores, boxes)
    assert found.positive[0].nonzero().flatten().tolist() == [5, 6]
    # alignment 0.9 * 0.5**2 = 0.225 and 0.4; the best gets the largest IoU, 1
    assert found.quality[0, 6].item() == pytest.approx(1)
    assert found.quality[0, 5].item() == pytest.approx(0.225 / 0.4)
    assert found.quality[0].sum().item() == pytest.approx(1 + 0.225 / 0.4)


def test_powers_weigh_score_and_overlap():
    scores = torch.full((1, 16, 2), 0.1)
    boxes = torch.cat([POINTS - 8, POINTS + 8], 1)[None].clone()
    scores[0, 5, 0], boxes[0, 5] = 0.9, torch.tensor([8.0, 8, 24, 16])
    scores[0, 6, 0], boxes[0, 6] = 0.4, torch.tensor([8.0, 8, 24, 24])
    target = truth([([8, 8, 24, 24], 0)])
    by_score = assign(target, scores, boxes, topk=1, alpha=4.0, beta=1.0)
    by_overlap = assign(target, scores, boxes, topk=1, alpha=0.5, beta=6.0)
    assert by_score.positive[0].nonzero().item() == 5
    assert by_overlap.positive[0].nonzero().item() == 6


def test_a_point_chosen_twice_goes_to_the_object_that_it_overlaps_most():
    # both boxes hold points 5 and 6; the wide one fits what they say worse
    boxes = torch.tensor([8.0, 8, 24, 16]).expand(1, 16, 4)
    found = assign(truth([([0, 8, 32, 16], 0), ([8, 8, 24, 16], 1)]), boxes=boxes, topk=4)
    assert found.target[0, 5:7].tolist() == [1, 1]
    assert found.target[0, [4, 7]].tolist() == [0, 0]
    assert found.positive[0].nonzero().flatten().tolist() == [4, 5, 6, 7]
    assert found.quality[0, 5].item() == pytest.approx(1)
    assert found.quality[0, 4].item() == pytest.approx(0.5)


def test_an_object_between_the_points_still_gets_one():
    found = assign(truth([([15, 15, 17, 17], 0)]), topk=1)
    assert int(found.positive.sum()) == 1
    assert found.quality[found.positive].item() == pytest.approx(4 / 256)


def test_an_object_gets_points_that_do_not_overlap_it_yet():
    nowhere = torch.cat([POINTS, POINTS], 1)[None]  # boxes without area
    found = assign(truth([([8, 8, 24, 24], 0)]), boxes=nowhere, topk=2)
    assert int(found.positive.sum()) == 2
    assert set(found.positive[0].nonzero().flatten().tolist()) <= {5, 6, 9, 10}
    assert torch.isfinite(found.quality).all()


def test_fewer_points_within_than_wanted():
    found = assign(truth([([8, 8, 24, 24], 0)]), topk=10)
    assert found.positive[0].nonzero().flatten().tolist() == [5, 6, 9, 10]


def test_pictures_without_objects():
    found = assign(truth([], [([8, 8, 24, 24], 0)], []))
    assert found.positive.sum(1).tolist() == [0, 2, 0]
    assert found.quality.sum(1)[[0, 2]].tolist() == [0, 0]
    nothing = assign(truth([], []))
    assert nothing.positive.shape == (2, 16)
    assert not nothing.positive.any()
    assert nothing.target.dtype == torch.long


def test_padding_slots_claim_nothing():
    # the padded slot of the second picture is a box at 0, 0, near point 0
    found = assign(truth([([0, 0, 8, 8], 0)] * 2, [([20, 20, 32, 32], 1)]), topk=1)
    assert found.positive[1].nonzero().flatten().tolist() == [15]
    assert found.target[1].tolist() == [0] * 16


def test_padding_leaves_as_many_slots_as_are_wanted():
    none = BoxTargets(torch.zeros(0, 4), torch.zeros(0).long(), torch.zeros(0).long())
    assert pad_targets(none, 2).boxes.shape == (2, 0, 4)
    padded = pad_targets(none, 2, least=1)
    assert padded.boxes.shape == (2, 1, 4)
    assert not padded.real.any()
