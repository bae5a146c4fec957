"""Random augmentation: boxes follow the pixels, and chance follows the seed."""

import numpy as np
import pytest

from visionkit.data.augment_boxes import DetectionAugment
from visionkit.errors import ConfigError
from visionkit.geometry import Letterbox
from visionkit.sample import Boxes, ImageMeta

OFF = {
    "mosaic": 0.0,
    "scale": (1.0, 1.0),
    "hflip": 0.0,
    "hue": 0.0,
    "saturation": 0.0,
    "brightness": 0.0,
    "blur": 0.0,
    "grey": 0.0,
}


def pictures(height=64, width=64, count=8):
    """Each picture has one rectangle, brighter the higher its number."""

    def get(i):
        image = np.full((height, width, 3), 30, np.uint8)
        image[10:26, 8:40] = 120 + 10 * i
        target = Boxes(np.array([[8, 10, 40, 26]], np.float32), np.array([i]))
        meta = ImageMeta(i, "", Letterbox((height, width), (height, width)))
        return (image, target), meta

    return get


def sample(augment, seed=0, index=0, whole=False, canvas=(64, 64)):
    rng = np.random.default_rng(seed)
    return augment(index, pictures(*canvas), 8, canvas, whole, rng)


def around(image):
    rows, columns = np.nonzero(image[..., 0] > 115)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_all_off_is_the_picture_itself():
    found = sample(DetectionAugment(**OFF))
    (image, target), _ = pictures()(0)
    assert np.array_equal(found.image, image)
    assert np.array_equal(found.target.boxes, target.boxes)


@pytest.mark.parametrize(
    ("options", "box"),
    [
        ({"hflip": 1.0}, [24, 10, 56, 26]),
        ({"vflip": 1.0}, [8, 38, 40, 54]),
        ({"hflip": 1.0, "vflip": 1.0}, [24, 38, 56, 54]),
    ],
)
def test_boxes_follow_flips(options, box):
    found = sample(DetectionAugment(**(OFF | options)))
    assert around(found.image) == box
    assert found.target.boxes[0] == pytest.approx(box, abs=1e-3)


def test_boxes_follow_turns():
    augment = DetectionAugment(**(OFF | {"rotate90": 1.0}))
    shapes = set()
    for seed in range(12):
        found = sample(augment, seed)
        assert around(found.image) == pytest.approx(found.target.boxes[0].tolist(), abs=1e-3)
        shapes.add(tuple(around(found.image)))
    assert len(shapes) == 4


def test_a_picture_that_is_not_square_is_not_turned():
    augment = DetectionAugment(**(OFF | {"rotate90": 1.0}))
    for seed in range(6):
        assert sample(augment, seed, canvas=(64, 96)).image.shape == (64, 96, 3)


def test_colour_leaves_boxes_alone():
    strong = OFF | {"hue": 20.0, "saturation": 0.9, "brightness": 0.5, "blur": 1.0, "grey": 1.0}
    found = sample(DetectionAugment(**strong))
    assert found.target.boxes.tolist() == [[8, 10, 40, 26]]
    assert found.image.dtype == np.uint8


def test_the_same_seed_gives_the_same_sample_whatever_came_before():
    one, other = DetectionAugment(mixup=0.5), DetectionAugment(mixup=0.5)
    for seed in range(5):
        sample(other, seed + 100)
        a, b = sample(one, seed), sample(other, seed)
        assert np.array_equal(a.image, b.image)
        assert np.array_equal(a.target.boxes, b.target.boxes)
    assert not np.array_equal(sample(one, 0).image, sample(one, 1).image)


def test_whole_samples_are_of_one_picture():
    augment = DetectionAugment(mosaic=1.0, mixup=1.0)
    assert {n for s in range(8) for n in sample(augment, s, 3, whole=True).target.labels} == {3}
    assert len({n for s in range(8) for n in sample(augment, s, 3).target.labels}) > 3


def test_boxes_stay_valid_under_everything():
    augment = DetectionAugment(mosaic=0.7, mixup=0.5, vflip=0.5, rotate90=0.5, scale=(0.3, 3.0))
    for seed in range(60):
        found = sample(augment, seed, seed % 8)
        boxes = found.target.boxes
        assert found.image.shape == (64, 64, 3)
        assert boxes.dtype == np.float32
        assert len(boxes) == len(found.target.labels)
        assert ((boxes >= 0) & (boxes <= 64)).all()
        assert (boxes[:, 2:] - boxes[:, :2] > 0).all()


def test_impossible_settings_are_refused():
    with pytest.raises(ConfigError, match=r"augment\.scale"):
        DetectionAugment(scale=(1.5, 0.5))
    with pytest.raises(ConfigError, match=r"augment\.mosaic_scale"):
        DetectionAugment(mosaic_scale=(0.0, 1.0))
