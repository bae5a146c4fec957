"""Offsets between boxes against figures worked out by hand."""

import math

import pytest
import torch

from visionkit.ops.box_coding import clip_boxes, decode_boxes, encode_boxes, has_area

PLAIN = (1.0, 1.0, 1.0, 1.0)


def test_offsets_by_hand():
    anchor = torch.tensor([10.0, 10, 30, 50])  # centre 20, 30; 20 wide, 40 high
    box = torch.tensor([20.0, 20, 60, 30])  # centre 40, 25; 40 wide, 10 high
    expected = [1.0, -5 / 40, math.log(2), math.log(1 / 4)]
    assert encode_boxes(box, anchor, PLAIN).tolist() == pytest.approx(expected)
    weighted = encode_boxes(box, anchor, (10.0, 20.0, 5.0, 3.0)).tolist()
    assert weighted == pytest.approx([10, -2.5, 5 * math.log(2), 3 * math.log(1 / 4)])


@pytest.mark.parametrize("weights", [PLAIN, (10.0, 10.0, 5.0, 5.0)])
def test_decoding_is_the_inverse(weights):
    torch.manual_seed(0)
    corner, side = torch.rand(2, 3, 50, 2) * 100, torch.rand(2, 3, 50, 2) * 60 + 3
    boxes, anchors = torch.cat([corner, corner + side], -1)
    again = decode_boxes(encode_boxes(boxes, anchors, weights), anchors, weights)
    torch.testing.assert_close(again, boxes, rtol=0, atol=1e-3)


def test_growth_is_bounded():
    huge = decode_boxes(torch.tensor([0.0, 0, 99, 5]), torch.tensor([0.0, 0, 16, 16]), PLAIN)
    assert huge.tolist() == pytest.approx([-492, -492, 508, 508], abs=0.1)  # 1000 a side


def test_clipping():
    box = torch.tensor([[-3.0, 5, 90, 70], [70, -9, 80, -1]])
    assert clip_boxes(box, (60, 64)).tolist() == [[0, 5, 64, 60], [64, 0, 64, 0]]


def test_what_is_no_number_becomes_a_box_without_area():
    nan, inf = float("nan"), float("inf")
    boxes = torch.tensor([[nan, nan, nan, nan], [5, nan, 9, nan], [-inf, 2, inf, 9]])
    clipped = clip_boxes(boxes, (60, 64))
    assert clipped.tolist() == [[0, 0, 0, 0], [5, 0, 9, 0], [0, 2, 64, 9]]
    assert has_area(clipped, 1.0).tolist() == [False, False, True]


def test_boxes_without_area():
    nan = float("nan")
    boxes = torch.tensor([[0.0, 0, 1, 1], [0, 0, 1, 0.5], [3, 0, 2, 5], [nan, 0, 9, 9]])
    assert has_area(boxes, 1.0).tolist() == [True, False, False, False]
