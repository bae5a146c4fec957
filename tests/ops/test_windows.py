"""Windows over a canvas: where they lie, and what they say together."""

import itertools
import math

import pytest
import torch

from visionkit.geometry import window_places
from visionkit.ops.windows import blend


def test_places_by_hand():
    assert window_places((10, 7), (4, 7), 0.5) == [(0, 0), (2, 0), (4, 0), (6, 0)]
    assert window_places((4, 9), (4, 4), 0.0) == [(0, 0), (0, 2), (0, 5)]
    assert window_places((5, 5), (5, 5), 0.5) == [(0, 0)]
    assert window_places((2, 3), (1, 2), 0.0) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    # 20 times (1 - 0.9) is a little less than 2
    assert window_places((26, 1), (20, 1), 0.9) == [(0, 0), (2, 0), (4, 0), (6, 0)]


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.75, 0.9])
@pytest.mark.parametrize("side", [1, 2, 7, 16, 33])
def test_windows_reach_everywhere_and_overlap_enough(side, overlap):
    for length in range(side, 3 * side + 3):
        starts = [left for _, left in window_places((1, length), (1, side), overlap)]
        steps = [b - a for a, b in itertools.pairwise(starts)]
        assert starts[0] == 0
        assert starts[-1] == length - side
        most = max(1, math.floor(side * (1 - overlap) + 1e-6))
        assert all(1 <= step <= most for step in steps)
        # none could be spared
        assert (len(starts) - 2) * most < length - side or len(starts) == 1


def test_blending_by_hand():
    """Two windows that share two pixels, one of which lies nearer to the middle of each."""
    parts = [torch.full((1, 1, 1, 4), v) for v in (1.0, 3.0)]
    found = blend(parts, [(0, 0), (0, 2)], (1, 6)).flatten().tolist()
    near, far = math.sin(3 * math.pi / 8) ** 2, math.sin(math.pi / 8) ** 2
    expected = [1, 1, near + 3 * far, far + 3 * near, 3, 3]
    assert found == pytest.approx(expected)
    parts = [torch.full((1, 1, 2, 1), v) for v in (1.0, 3.0)]
    assert blend(parts, [(0, 0), (1, 0)], (3, 1)).flatten().tolist() == pytest.approx([1, 2, 3])


@pytest.mark.parametrize("window", [(1, 1), (5, 3), (7, 12), (13, 11)])
@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.5, 0.9])
def test_windows_cut_from_one_map_give_it_back(window, overlap):
    whole = torch.randn(2, 3, 13, 12, generator=torch.Generator().manual_seed(0))
    places = window_places((13, 12), window, overlap)
    height, width = window
    cut = (whole[..., top : top + height, left : left + width] for top, left in places)
    torch.testing.assert_close(blend(cut, places, (13, 12)), whole, rtol=0, atol=1e-5)


def test_there_is_no_seam():
    """From one window's answer to the next in small steps, always towards it."""
    parts = [torch.full((1, 1, 1, 64), v) for v in (0.0, 1.0)]
    row = blend(parts, [(0, 0), (0, 32)], (1, 96)).flatten()
    steps = row.diff()
    assert steps.min() >= 0
    assert steps.max() < 2 * math.pi / 64
    assert row[32] < 0.01
    assert row[63] > 0.99


def test_large_windows_are_exact_in_their_corners():
    parts = [torch.full((1, 1, 1024, 1024), 7.0)]
    found = blend(parts, [(0, 0)], (1024, 1024))
    torch.testing.assert_close(found, parts[0], rtol=1e-6, atol=0)


def test_half_precision_is_blended_in_single():
    part = torch.full((1, 2, 4, 4), 0.25, dtype=torch.bfloat16)
    found = blend([part, part], [(0, 0), (0, 2)], (4, 6))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, torch.full((1, 2, 4, 6), 0.25))


def test_a_window_for_each_place():
    part = torch.ones(1, 1, 2, 2)
    with pytest.raises(ValueError, match="zip"):
        blend([part], [(0, 0), (0, 2)], (2, 4))
    with pytest.raises(ValueError, match="no windows"):
        blend([], [], (2, 4))
