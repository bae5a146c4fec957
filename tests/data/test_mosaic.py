"""Placing, cutting and blending pictures: boxes must go where the pixels go."""

import numpy as np
import pytest

from visionkit.data.mosaic import clean, mixup, mosaic, placed, scaled
from visionkit.geometry import PAD_COLOUR, blank
from visionkit.sample import Boxes


def boxes(*corners, labels=None):
    array = np.array(corners, np.float32).reshape(-1, 4)
    return Boxes(array, np.array(labels or [0] * len(array), np.int64))


def picture(height, width, corners, colour=255):
    """A black picture with one bright rectangle, and its box."""
    image = np.zeros((height, width, 3), np.uint8)
    x1, y1, x2, y2 = corners
    image[y1:y2, x1:x2] = colour
    return image, boxes(corners)


def bright(image):
    """The box around what is bright, the pad left out."""
    rows, columns = np.nonzero(image.min(2) > 180)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def place(canvas, picture, scale, top_left, window, min_visible):
    """Draw a picture, and return its boxes there."""
    lies = placed(picture[0].shape[:2], scale, top_left, window)
    lies.draw(canvas, picture[0])
    return lies.move(picture[1], min_visible)


def test_place_moves_and_scales_pixels_and_boxes_alike():
    canvas = blank((100, 120))
    found = place(canvas, picture(40, 30, (6, 8, 18, 24)), 2.0, (10, 5), (0, 0, 100, 120), 0.1)
    assert found.boxes.tolist() == [[17, 26, 41, 58]]
    assert bright(canvas) == pytest.approx([17, 26, 41, 58], abs=1)
    assert canvas[9, 5].tolist() == canvas[10, 4].tolist() == list(PAD_COLOUR)
    assert canvas[10, 5].tolist() == [0, 0, 0]
    assert canvas[89, 64].tolist() == [0, 0, 0]
    assert canvas[90, 64].tolist() == list(PAD_COLOUR)


def test_place_stays_within_its_window():
    canvas = blank((50, 50))
    found = place(canvas, picture(60, 60, (0, 0, 60, 60)), 1.0, (-5, -5), (10, 20, 30, 40), 0.0)
    assert found.boxes.tolist() == [[20, 10, 40, 30]]
    drawn = canvas.min(2) > 180
    assert drawn.sum() == 20 * 20
    assert drawn[10:30, 20:40].all()


def test_place_outside_its_window_draws_nothing():
    canvas = blank((50, 50))
    found = place(canvas, picture(9, 9, (0, 0, 9, 9)), 1.0, (60, 0), (0, 0, 50, 50), 0.0)
    assert len(found.labels) == 0
    assert (canvas == PAD_COLOUR).all()


def test_clean_clips_and_drops():
    given = boxes(
        (-10, 0, 10, 10),  # half outside
        (-9, 0, 1, 10),  # a tenth left
        (60, 0, 70, 10),  # beyond
        (5, 5, 6, 6),  # tiny but whole
        (49, 5, 53, 9),  # a sliver of 1 px
        (3, 3, 3, 9),  # no area
        labels=[0, 1, 2, 3, 4, 5],
    )
    found = clean(given, (0, 0, 50, 50), 0.2)
    assert found.labels.tolist() == [0, 3]
    assert found.boxes.tolist() == [[0, 0, 10, 10], [5, 5, 6, 6]]
    assert found.boxes.dtype == np.float32


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.6])
def test_scaled_pictures_carry_their_boxes(scale):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        image, found = scaled(picture(48, 64, (20, 16, 44, 32)), (64, 64), scale, rng, 0.1)
        assert image.shape == (64, 64, 3)
        for box in found.boxes:
            assert bright(image) == pytest.approx(box.tolist(), abs=1.5)


def test_a_picture_of_the_canvas_at_scale_one_is_itself():
    image, target = picture(64, 64, (5, 6, 30, 40))
    same, found = scaled((image, target), (64, 64), 1.0, np.random.default_rng(0), 0.2)
    assert np.array_equal(same, image)
    assert np.array_equal(found.boxes, target.boxes)


def test_a_mosaic_holds_four_quarters_with_their_boxes():
    for seed in range(10):
        parts = [picture(64, 64, (16, 16, 48, 48), colour=200 + 10 * k) for k in range(4)]
        parts = [(p, Boxes(b.boxes, np.array([k]))) for k, (p, b) in enumerate(parts)]
        rng = np.random.default_rng(seed)
        image, found = mosaic(parts, (64, 80), lambda: 0.7, rng, 0.05)
        assert image.shape == (64, 80, 3)
        assert len(found.labels) >= 1
        for box, label in zip(found.boxes, found.labels, strict=True):
            assert (box >= 0).all()
            assert box[2] <= 80
            assert box[3] <= 64
            mine = np.abs(image[..., 0].astype(int) - (200 + 10 * label)) <= 1
            rows, columns = np.nonzero(mine)
            around = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert around == pytest.approx(box.tolist(), abs=1.6)


def test_mixup_blends_and_keeps_both():
    a, b = picture(8, 8, (0, 0, 8, 8), 200), picture(8, 8, (0, 0, 4, 4), 100)
    image, found = mixup(a, b, 0.75)
    assert image[0, 0, 0] == 175
    assert image[7, 7, 0] == 150
    assert len(found.labels) == 2


def test_pictures_without_boxes_are_data():
    empty = (np.zeros((32, 32, 3), np.uint8), Boxes())
    rng = np.random.default_rng(0)
    for _, found in (
        scaled(empty, (64, 64), 0.7, rng, 0.2),
        mosaic([empty] * 4, (64, 64), lambda: 1.0, rng, 0.2),
        mixup(empty, empty, 0.5),
    ):
        assert found.boxes.shape == (0, 4)
        assert found.boxes.dtype == np.float32
        assert found.labels.dtype == np.int64
