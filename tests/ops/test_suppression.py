"""Suppression inside graphs: the same boxes as outside, for any batch."""

import torch
from torchvision.ops import batched_nms

from visionkit.ops.suppression import as_one_operator, unsuppressed


def lots(pictures, number, groups, side=100.0):
    torch.manual_seed(3)
    corners = torch.rand(pictures, number, 2) * side
    boxes = torch.cat([corners, corners + 5 + torch.rand(pictures, number, 2) * side / 3], 2)
    return boxes, torch.rand(pictures, number) > 0.2, torch.randint(0, groups, (pictures, number))


def expected(boxes, valid, groups, iou):
    kept = torch.zeros_like(valid)
    for picture in range(len(boxes)):
        real = valid[picture].nonzero()[:, 0]
        scores = -torch.arange(len(real), dtype=torch.float64)  # best first
        place = batched_nms(boxes[picture, real].double(), scores, groups[picture, real], iou)
        kept[picture, real[place]] = True
    return kept


def test_each_picture_and_group_by_itself():
    boxes, valid, groups = lots(3, 80, 4)
    for iou in (0.0, 0.3, 0.7, 1.0):
        found = unsuppressed(boxes, valid, groups, 4, iou)
        assert torch.equal(found, expected(boxes, valid, groups, iou))
    assert 0 < int(expected(boxes, valid, groups, 0.3).sum()) < int(valid.sum())


def test_a_better_box_suppresses_only_if_it_is_valid_and_not_itself_suppressed():
    row = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 8], [0, 0, 10, 6], [0, 0, 10, 6]])
    groups = torch.tensor([[0, 0, 0, 1]])
    # 0.8, 0.75 and 0.6: the second falls to the first, and so can't suppress the third
    everyone = torch.ones(1, 4, dtype=torch.bool)
    assert unsuppressed(row[None], everyone, groups, 2, 0.7).tolist() == [[True, False, True, True]]
    without = torch.tensor([[False, True, True, True]])
    assert unsuppressed(row[None], without, groups, 2, 0.7).tolist() == [[False, True, False, True]]


def test_far_out_or_infinite_boxes_that_are_not_valid_do_no_harm():
    boxes, valid, groups = lots(2, 30, 2)
    before = unsuppressed(boxes, valid, groups, 2, 0.4)
    boxes[~valid] = torch.inf
    assert torch.equal(unsuppressed(boxes, valid, groups, 2, 0.4), before)
    nothing = torch.zeros_like(valid)
    assert not unsuppressed(boxes, nothing, groups, 2, 0.4).any()


def test_the_operator_gives_the_same():
    boxes, valid, groups = lots(2, 40, 3)
    with as_one_operator():
        found = unsuppressed(boxes, valid, groups, 3, 0.5)
    assert torch.equal(found, unsuppressed(boxes, valid, groups, 3, 0.5))
