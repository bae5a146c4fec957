"""Anchors against corners worked out by hand, and against torchvision's."""

import pytest
import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList

from visionkit.ops.anchors import anchor_grid, cell_anchors

CPU = torch.device("cpu")


def test_a_cells_anchors_by_hand():
    # of area 32 x 32; 32 * sqrt(2) / 2 = 22.63, 32 / sqrt(2) / 2 = 11.31
    assert cell_anchors(32, [0.5, 1, 2]).tolist() == [
        [-23, -11, 23, 11],
        [-16, -16, 16, 16],
        [-11, -23, 11, 23],
    ]


def test_no_anchor_is_flat():
    # half of 1 and of 1 / sqrt(2) would be rounded to 0
    assert cell_anchors(1, [0.5, 1, 2]).tolist() == [
        [-1, -0.5, 1, 0.5],
        [-0.5, -0.5, 0.5, 0.5],
        [-0.5, -1, 0.5, 1],
    ]
    assert cell_anchors(8, [0.01, 100]).tolist() == [[-40, -0.5, 40, 0.5], [-0.5, -40, 0.5, 40]]


def test_the_grid_goes_map_by_map_row_by_row_and_cell_by_cell():
    found = anchor_grid([(1, 2), (2, 1)], [8, 16], [8, 16], [1.0], CPU)
    assert found.tolist() == [
        [-4, -4, 4, 4],
        [4, -4, 12, 4],
        [-8, -8, 8, 8],
        [-8, 8, 8, 24],
    ]


def test_anchors_are_torchvisions():
    sizes = (32.0, 64.0, 128.0)
    theirs = AnchorGenerator(tuple((s,) for s in sizes), ((0.5, 1.0, 2.0),) * 3)
    maps = [torch.zeros(1, 1, 16, 24), torch.zeros(1, 1, 8, 12), torch.zeros(1, 1, 4, 6)]
    (expected,) = theirs(ImageList(torch.zeros(1, 3, 64, 96), [(64, 96)]), maps)
    ours = anchor_grid([(16, 24), (8, 12), (4, 6)], [4, 8, 16], sizes, [0.5, 1.0, 2.0], CPU)
    assert torch.equal(ours, expected)


def test_anchors_are_made_once_and_serve_for_training_after_validation():
    with torch.inference_mode():
        first = anchor_grid([(3, 5)], [8], [64], [1.0, 3.0], CPU)
    assert anchor_grid([(3, 5)], [8], [64], [1.0, 3.0], CPU) is first
    assert not first.is_inference()
    with pytest.raises(AssertionError):
        torch.testing.assert_close(first, anchor_grid([(3, 5)], [8], [32], [1.0, 3.0], CPU))
