"""Matching and sampling, on cases drawn by hand."""

import pytest
import torch

from visionkit.ops import sampling
from visionkit.ops.assignment import Padded
from visionkit.ops.boxes import box_iou
from visionkit.ops.sampling import best_object, match_anchors, sample


def truth(*pictures):
    most = max(map(len, pictures))
    boxes = torch.zeros(len(pictures), most, 4)
    real = torch.zeros(len(pictures), most, dtype=torch.bool)
    for i, mine in enumerate(pictures):
        boxes[i, : len(mine)] = torch.tensor(mine, dtype=torch.float32).view(-1, 4)
        real[i, : len(mine)] = True
    return Padded(boxes, torch.zeros(len(pictures), most, dtype=torch.long), real)


def test_anchors_between_the_bounds_teach_nothing():
    anchors = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 7.5], [0, 0, 10, 5], [0, 0, 10, 2.5]])
    found = match_anchors(anchors, truth([[0, 0, 10, 10]]), 0.7, 0.3)  # IoU 1, 0.75, 0.5, 0.25
    assert found.positive.tolist() == [[True, True, False, False]]
    assert found.negative.tolist() == [[False, False, False, True]]


def test_an_objects_best_anchors_are_taken_however_little_they_overlap():
    anchors = torch.tensor([[0.0, 0, 10, 10], [10, 0, 20, 10], [40, 0, 50, 10]])
    # the object overlaps the first two alike, by 10 of 200
    found = match_anchors(anchors, truth([[5, 0, 15, 2]]), 0.7, 0.3)
    assert found.positive.tolist() == [[True, True, False]]
    assert found.negative.tolist() == [[False, False, True]]


def test_such_an_anchor_learns_the_object_that_it_overlaps_most():
    anchors = torch.tensor([[0.0, 0, 10, 10], [50, 50, 60, 60]])
    small, large = [0, 0, 2, 2], [0, 0, 10, 9]
    found = match_anchors(anchors, truth([small, large]), 0.7, 0.3)
    assert found.positive.tolist() == [[True, False]]
    assert found.slot[0, 0] == 1


def test_pictures_are_matched_by_themselves():
    anchors = torch.tensor([[0.0, 0, 10, 10], [20, 20, 30, 30]])
    here, there = [0, 0, 10, 10], [20, 20, 30, 30]
    found = match_anchors(anchors, truth([here], [], [here, there]), 0.7, 0.3)
    assert found.positive.tolist() == [[True, False], [False, False], [True, True]]
    assert found.negative.tolist() == [[False, True], [True, True], [False, False]]
    assert found.slot[2].tolist() == [0, 1]


def test_an_object_beyond_all_anchors_takes_none():
    anchors = torch.tensor([[0.0, 0, 10, 10], [20, 20, 30, 30]])
    found = match_anchors(anchors, truth([[90, 90, 99, 99]]), 0.7, 0.3)
    assert found.negative.all()


def test_the_best_object_passes_over_empty_slots():
    objects = truth([[0, 0, 10, 10], [0, 0, 10, 20]], [[0, 0, 4, 4]], [])
    boxes = torch.tensor([[0.0, 0, 10, 18], [0, 0, 4, 4], [0, 0, 4, 4]])
    iou, slot = best_object(boxes.expand(3, -1, -1), objects.boxes, objects.real)
    assert iou[0].tolist() == pytest.approx([0.9, 16 / 100, 16 / 100])
    assert iou[1].tolist() == pytest.approx([16 / 180, 1, 1])
    assert iou[2].tolist() == [-1, -1, -1]
    assert slot[0].tolist() == [1, 0, 0]
    assert slot[1].tolist() == [0, 0, 0]


def test_boxes_are_compared_bit_by_bit_where_they_are_many(monkeypatch):
    torch.manual_seed(0)
    boxes, objects = (torch.rand(2, n, 4).sort(-1).values for n in (23, 5))
    real = torch.rand(2, 5) < 0.7
    whole = best_object(boxes, objects, real)
    most = []

    def counted(a, b):
        most.append(box_iou(a, b))
        return most[-1]

    monkeypatch.setattr(sampling, "box_iou", counted)
    monkeypatch.setattr(sampling, "PAIRS", 40)
    parts = best_object(boxes, objects, real)
    assert all(map(torch.equal, parts, whole))
    assert len(most) == 6  # four of 23 boxes at a time
    assert max(iou.numel() for iou in most) == 40
    monkeypatch.setattr(sampling, "PAIRS", 3)
    assert all(map(torch.equal, best_object(boxes, objects, real), whole))


def masks(positives, negatives, count=40):
    mask = torch.zeros(2, len(positives), count, dtype=torch.bool)
    for i, (p, n) in enumerate(zip(positives, negatives, strict=True)):
        mask[0, i, :p] = True
        mask[1, i, p : p + n] = True
    return mask


@pytest.mark.parametrize(
    ("positives", "negatives", "expected"),
    [
        (20, 20, (4, 12)),  # enough of both
        (3, 20, (3, 13)),  # negatives fill up
        (20, 5, (4, 5)),  # too few negatives: more positives don't
        (0, 40, (0, 16)),
        (40, 0, (4, 0)),
        (0, 0, (0, 0)),
    ],
)
def test_sampling(positives, negatives, expected):
    positive, negative = masks([positives, 1], [negatives, 2])
    found = sample(positive, negative, 16, 4)
    mine = found.place[0][found.taken[0]]
    assert len(set(mine.tolist())) == len(mine)
    assert (positive[0, mine].sum(), negative[0, mine].sum()) == expected
    assert torch.equal(found.positive[0], found.taken[0] & positive[0, found.place[0]])
    assert (found.taken[1].sum(), found.positive[1].sum()) == (3, 1)
    assert not found.positive[:, 4:].any()  # positives come first


def test_every_candidate_has_the_same_chance():
    torch.manual_seed(0)
    positive, negative = masks([10], [30])
    counts = torch.zeros(40)
    for _ in range(400):
        found = sample(positive, negative, 20, 5)
        counts[found.place[0][found.taken[0]]] += 1
    assert counts[:10].sum() == 5 * 400
    assert (counts[:10] - 200).abs().max() < 50  # 5 of 10; five sigma
    assert (counts[10:] - 200).abs().max() < 50  # 15 of 30


def test_more_than_there_are():
    positive, negative = masks([3], [4], count=7)
    found = sample(positive, negative, 10**9, 10**8)
    assert found.taken.all()
    assert found.positive.sum() == 3


def test_torchs_seed_decides():
    masks_ = masks([20], [20])
    torch.manual_seed(3)
    first = sample(*masks_, 8, 4)
    torch.manual_seed(3)
    assert torch.equal(first.place, sample(*masks_, 8, 4).place)
    assert not torch.equal(first.place, sample(*masks_, 8, 4).place)
