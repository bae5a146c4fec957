"""Results as what travels over HTTP."""

import base64
import io

import numpy as np
import pytest
from PIL import Image as Pillow

from visionkit.colours import class_colour
from visionkit.report import write_mask
from visionkit.results import Detections, Generated, SemanticMask
from visionkit.serve.encoding import described, jpeg, pixels_of, png

LABELS = np.array([[0, 1, 255], [2, 2, 0]], np.uint8)


def opened(data: bytes) -> Pillow.Image:
    return Pillow.open(io.BytesIO(data))


def test_a_mask_is_what_prediction_writes(tmp_path):
    write_mask(tmp_path / "mask.png", LABELS)
    written = Pillow.open(tmp_path / "mask.png")
    mask = opened(png(LABELS))
    np.testing.assert_array_equal(np.asarray(mask), LABELS)
    np.testing.assert_array_equal(mask.convert("RGB"), written.convert("RGB"))
    assert mask.convert("RGB").getpixel((1, 0)) == class_colour(1)


def test_a_picture_keeps_its_pixels_as_png_and_nearly_as_jpeg():
    image = np.random.default_rng(0).integers(0, 256, (16, 24, 3)).astype(np.uint8)
    np.testing.assert_array_equal(np.asarray(opened(png(image))), image)
    flat = np.full((16, 24, 3), (200, 30, 90), np.uint8)
    data, media = jpeg(flat)
    assert media == "image/jpeg"
    assert np.abs(np.asarray(opened(data)).astype(int) - flat).max() <= 3


def test_what_is_too_long_for_jpeg_is_a_png():
    data, media = jpeg(np.zeros((1, 65_501, 3), np.uint8))
    assert media == "image/png"
    assert opened(data).size == (65_501, 1)
    assert jpeg(np.zeros((1, 65_500, 3), np.uint8))[1] == "image/jpeg"


@pytest.mark.parametrize(
    ("result", "pixels"),
    [(SemanticMask(LABELS), LABELS), (Generated(np.dstack([LABELS] * 3)), np.dstack([LABELS] * 3))],
)
def test_results_that_are_pictures_hold_them(result, pixels):
    np.testing.assert_array_equal(pixels_of(result), pixels)
    told = described(result)
    data = base64.b64decode(told.pop("png").removeprefix("data:image/png;base64,"))
    np.testing.assert_array_equal(np.asarray(opened(data)), pixels)
    assert told == result.to_dict()


def test_boxes_are_plain_values():
    empty = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
    assert pixels_of(empty) is None
    assert described(empty) == empty.to_dict()
