"""Random changes to a whole batch of small pictures."""

import numpy as np
import pytest
import torch

from visionkit.data.batch_augment import (
    Chance,
    border_colour,
    moved,
    recoloured,
    warped,
    whole_between,
    windows,
)
from visionkit.geometry import PAD_COLOUR

RNG = np.random.default_rng(0)
BATCH = torch.from_numpy(RNG.integers(0, 256, (8, 3, 12, 10)).astype(np.uint8))
NONE = np.zeros(8, np.int64)
NO = np.zeros(8, np.bool_)
FULL = (np.ones(8), np.ones(8), np.zeros(8), np.zeros(8))


def shifted(image, down, right, border):
    """A shift of an array [H, W, C], with NumPy's own borders."""
    modes = {"edge": {"mode": "edge"}, "reflect": {"mode": "reflect"}}
    pads = ((9, 9), (9, 9), (0, 0))
    if border in modes:
        wide = np.pad(image, pads, **modes[border])
    else:
        wide = np.pad(image, pads)
        colour = border_colour(border, image.shape[2])
        outside = np.pad(np.ones(image.shape[:2], bool), 9) == 0
        wide[outside] = colour
    height, width = image.shape[:2]
    return wide[9 - down : 9 - down + height, 9 - right : 9 - right + width]


@pytest.mark.parametrize("border", ["mean", "black", "edge", "reflect"])
@pytest.mark.parametrize("channels", [1, 3])
def test_shifts_of_a_batch(border, channels):
    down, right = np.array([0, 1, -2, 3, 0, 0, 7, -7]), np.array([0, 0, 0, 2, -2, 5, -7, 7])
    images = BATCH[:, :channels]
    found = moved(images, down, right, NO, NO, border)
    for i in range(8):
        expected = shifted(images[i].permute(1, 2, 0).numpy(), down[i], right[i], border)
        np.testing.assert_array_equal(found[i].permute(1, 2, 0).numpy(), expected)


def test_resampling_nothing_changes_nothing():
    for border in ("mean", "black", "edge", "reflect"):
        found = warped(BATCH, FULL, np.zeros(8), NONE, NONE, NO, NO, border)
        assert torch.equal(found, BATCH)


def test_resampling_agrees_with_whole_shifts_and_flips():
    down, right = np.array([0, 1, -2, 3, 0, 0, 1, -1]), np.array([0, 0, 0, 2, -2, 3, -1, 1])
    upside, mirrored = np.arange(8) % 2 == 1, np.arange(8) % 3 == 1
    for border in ("mean", "black", "edge"):
        exact = moved(BATCH, down, right, upside, mirrored, border)
        found = warped(BATCH, FULL, np.zeros(8), down, right, upside, mirrored, border)
        assert (found.int() - exact.int()).abs().max() <= 1, border


def test_a_window_fills_the_frame():
    images = torch.zeros(1, 1, 16, 16, dtype=torch.uint8)
    images[:, :, 4:12, 8:16] = 200
    parts = (np.array([0.5]), np.array([0.5]), np.array([0.25]), np.array([0.5]))
    nothing, no = np.zeros(1, np.int64), np.zeros(1, np.bool_)
    found = warped(images, parts, np.zeros(1), nothing, nothing, no, no, "edge")
    assert found[:, :, 1:-1, 1:].float().mean() == 200


def test_turns_and_crops_of_oblong_pictures_keep_shapes():
    """A round spot that is turned stays round."""
    y, x = np.mgrid[:20, :40]
    spot = 255 * np.exp(-((y - 9.5) ** 2 + (x - 19.5) ** 2) / 18)
    images = torch.from_numpy(spot.astype(np.uint8))[None, None].repeat(8, 1, 1, 1)
    found = warped(images, FULL, np.linspace(-180, 180, 8), NONE, NONE, NO, NO, "black")
    assert (found.int() - images.int()).abs().max() < 20


def test_windows():
    draw = Chance(0, np.arange(5000))
    h, w, top, left = windows(draw, (0.2, 0.6), (3 / 4, 4 / 3))
    assert h.min() > 0 and (top >= 0).all() and (top + h <= 1 + 1e-9).all()
    assert (left >= 0).all() and (left + w <= 1 + 1e-9).all()
    area, ratio = h * w, w / h
    assert 0.2 <= area.min() < 0.21 and 0.59 < area.max() <= 0.6
    assert area.mean() == pytest.approx(0.4, abs=0.01)
    assert ratio.min() == pytest.approx(3 / 4, abs=0.01)
    assert ratio.max() == pytest.approx(4 / 3, abs=0.01)
    assert np.median(ratio) == pytest.approx(1, abs=0.02)
    across, along = left / (1 - w), top / (1 - h)
    assert across.mean() == pytest.approx(0.5, abs=0.02) == along.mean()
    assert np.corrcoef(across, along)[0, 1] == pytest.approx(0, abs=0.05)


def test_colours_of_a_batch_by_hand():
    image = torch.tensor([[[100, 200]], [[100, 100]], [[100, 0]]], dtype=torch.uint8)[None]
    ones = np.ones(1)
    assert recoloured(image, ones * 0.5, ones, ones).tolist() == [
        [[[50, 100]], [[50, 50]], [[50, 0]]]
    ]
    # the second pixel's grey is 0.299 * 200 + 0.587 * 100 = 118.5, the mean 109.25
    assert recoloured(image, ones, ones, ones * 0).tolist() == [[[[100, 118]]] * 3]
    assert recoloured(image, ones, ones * 2, ones).tolist() == [
        [[[91, 255]], [[91, 91]], [[91, 0]]]
    ]
    grey = torch.tensor([[[[10, 30]]]], dtype=torch.uint8)
    assert recoloured(grey, ones, ones * 2, ones * 0).tolist() == [[[[0, 40]]]]


def test_chance_is_uniform_and_independent():
    draw = Chance(0, np.repeat(np.arange(10), 1000), np.tile(np.arange(1000), 10))
    a, b = draw(), draw()
    for values in (a, b):
        assert values.min() >= 0 and values.max() < 1
        counts = np.histogram(values, 20, (0, 1))[0]
        assert ((counts - 500) ** 2 / 500).sum() < 45  # chi square, 19 degrees: 1 in 1000
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.04
    assert abs(np.corrcoef(a[:-1], a[1:])[0, 1]) < 0.04
    assert abs(np.corrcoef(a[:9000], a[1000:])[0, 1]) < 0.04
    assert len(np.unique(a)) == len(a)


def test_border_colours():
    assert border_colour("mean", 3) == PAD_COLOUR
    assert border_colour("mean", 1) == (117.0,)
    assert border_colour("black", 1) == (0.0,)
    assert whole_between(Chance(0, np.arange(999)), -1, 1).tolist().count(1) > 250
