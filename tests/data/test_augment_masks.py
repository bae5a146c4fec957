"""Random augmentation: labels follow the pixels, and chance follows the seed."""

import cv2
import numpy as np
import pytest

from visionkit.data.augment_masks import SegmentationAugment
from visionkit.errors import ConfigError
from visionkit.geometry import PAD_COLOUR, Letterbox

OFF = {
    "scale": (1.0, 1.0),
    "max_share": 1.0,
    "hflip": 0.0,
    "hue": 0.0,
    "saturation": 0.0,
    "brightness": 0.0,
    "blur": 0.0,
    "grey": 0.0,
}
PLAIN = {k: v for k, v in OFF.items() if k not in ("scale", "hflip")}
VOID = 255


def scene(height=60, width=90, seed=0):
    """Squares of labels 1 to 5 on 0, apart from each other, in colours that tell the label."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((height, width), np.uint8)
    for label in range(1, 6):
        row, column = divmod(label, 3)
        y = row * height // 2 + rng.integers(3, 8)
        x = column * width // 3 + rng.integers(3, 8)
        labels[y : y + 20, x : x + 20] = label
    return colours(labels), labels


def colours(labels):
    return np.stack([labels * 40, 250 - labels * 40, labels * 20], -1).astype(np.uint8)


def draw(augment, picture=None, canvas=(60, 90), seed=0, whole=False):
    image, labels = picture or scene()
    return augment(image, labels, canvas, whole, np.random.default_rng(seed))


def inside(labels):
    """Pixels whose neighbours within two pixels are all in the window and have their label."""
    kernel = np.ones((5, 5), np.uint8)
    same = (cv2.erode(labels, kernel) == labels) & (cv2.dilate(labels, kernel) == labels)
    same[:2] = same[-2:] = same[:, :2] = same[:, -2:] = False
    return same


def test_all_off_is_the_picture_itself():
    image, labels = scene()
    found, mask = draw(SegmentationAugment(**OFF))
    np.testing.assert_array_equal(found, image)
    np.testing.assert_array_equal(mask, labels)


@pytest.mark.parametrize(
    "options",
    [
        PLAIN,
        PLAIN | {"scale": (0.3, 3.0), "vflip": 0.5},
        PLAIN | {"rotate": 45.0},
        PLAIN | {"scale": (0.3, 3.0), "rotate": 180.0, "hflip": 1.0, "window": (48, 40)},
    ],
    ids=["scale", "mirror", "turn", "all"],
)
@pytest.mark.parametrize("size", [(60, 90), (131, 97)])
def test_labels_follow_the_pixels(options, size):
    augment = SegmentationAugment(**options)
    picture, met = scene(*size), set()
    for seed in range(25):
        image, labels = draw(augment, picture, seed=seed)
        assert image.shape[:2] == labels.shape == options.get("window", (60, 90))
        sure = inside(labels)
        here = sure & (labels != VOID)
        assert np.abs(image[here].astype(int) - colours(labels)[here]).max(initial=0) <= 4
        assert (image[sure & (labels == VOID)] == PAD_COLOUR).all()
        assert set(np.unique(labels)) <= {0, 1, 2, 3, 4, 5, VOID}, "no label comes of mixing"
        met |= set(np.unique(labels))
    assert met >= {0, 1, 2, 3, 4, 5}


@pytest.mark.parametrize("scale", [0.37, 0.45, 0.8, 1.3, 2.2])
def test_labels_are_not_shifted_against_the_pixels(scale):
    """On a ramp a shift by half a pixel would show in the mean.

    At a scale of 0.5 each pixel lies between two labels, and the nearest is either.
    """
    ramp = np.tile(np.arange(60, dtype=np.uint8), (60, 1))
    for labels in (ramp, ramp.T.copy()):
        image = np.repeat(labels[..., None] * 4, 3, 2)
        augment = SegmentationAugment(**(OFF | {"scale": (scale, scale)}))
        found, mask = augment(image, labels, (60, 60), False, np.random.default_rng(1))
        known = mask != VOID
        away = found[known][:, 0] / 4 - mask[known].astype(float)
        assert abs(away.mean()) < 0.13 and np.abs(away).max() < 0.9


def test_flips():
    image, labels = scene()
    for options, axis in (({"hflip": 1.0}, 1), ({"vflip": 1.0}, 0)):
        found, mask = draw(SegmentationAugment(**(OFF | options)))
        np.testing.assert_array_equal(found, np.flip(image, axis))
        np.testing.assert_array_equal(mask, np.flip(labels, axis))


def test_colour_leaves_the_labels_and_the_pad_alone():
    strong = {"hue": 20.0, "saturation": 0.9, "brightness": 0.5, "blur": 1.0, "grey": 1.0}
    found, mask = draw(SegmentationAugment(**(OFF | strong)), canvas=(90, 90))
    _, labels = scene()
    shown = mask != VOID
    assert shown.sum() == labels.size
    np.testing.assert_array_equal(mask[shown], labels.ravel())
    assert (found[~shown] == PAD_COLOUR).all()
    assert (np.ptp(found[shown], 1) == 0).all(), "grey"


def test_a_smaller_picture_lies_anywhere_whole():
    places = set()
    for seed in range(20):
        _, mask = draw(SegmentationAugment(**(OFF | {"scale": (0.5, 0.5)})), seed=seed)
        rows, columns = np.nonzero(mask != VOID)
        assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (30, 45) and rows.size == 30 * 45
        places.add((rows.min(), columns.min()))
    assert len(places) > 10


def test_a_larger_picture_fills_the_window():
    found = [draw(SegmentationAugment(**(OFF | {"scale": (2.0, 2.0)})), seed=s) for s in range(20)]
    assert all((mask != VOID).all() for _, mask in found)
    assert len({mask.tobytes() for _, mask in found}) > 10
    # what is seen of it is twice as large
    _, labels = scene()
    sizes = [[int((mask == k).sum()) for k in range(6)] for _, mask in found]
    whole = [int((labels == k).sum()) for k in range(6)]
    assert max(row[5] for row in sizes) > 2 * whole[5]


def test_windows_of_one_class_are_avoided():
    """One class has the left four fifths: most windows show nothing else."""
    labels = np.zeros((100, 200), np.uint8)
    labels[:, 160:] = 1
    picture = colours(labels), labels
    options = OFF | {"window": (60, 60)}

    def share(mask):
        return max((mask == k).mean() for k in (0, 1))

    def shares(most):
        augment = SegmentationAugment(**(options | {"max_share": most}))
        return [share(draw(augment, picture, (100, 200), seed)[1]) for seed in range(40)]

    assert np.mean([s <= 0.75 for s in shares(1.0)]) < 0.35
    assert np.mean([s <= 0.75 for s in shares(0.75)]) > 0.7


def test_void_is_no_class():
    """Void neither counts nor is it chosen where a window has labels."""
    labels = np.full((64, 64), VOID, np.uint8)
    labels[:, 24:40] = 3
    labels[:, 32:40] = 1
    augment = SegmentationAugment(**(OFF | {"window": (32, 32), "max_share": 0.6}))
    seen = [
        set(np.unique(draw(augment, (colours(labels), labels), (64, 64), s)[1])) for s in range(20)
    ]
    assert all(s >= {1, 3} for s in seen)
    nothing = np.full((64, 64), VOID, np.uint8)
    assert (draw(augment, (colours(nothing), nothing), (64, 64))[1] == VOID).all()


@pytest.mark.parametrize("size", [(60, 90), (131, 97), (7, 5), (1, 1)])
def test_whole_is_what_evaluation_sees(size):
    augment = SegmentationAugment(hflip=0.0, rotate=90.0)
    picture = (np.full((*size, 3), 9, np.uint8), np.ones(size, np.uint8))
    if min(size) > 20:
        picture = scene(*size)
    image, labels = draw(augment, picture, whole=True)
    box = Letterbox(size, (60, 90))
    np.testing.assert_array_equal(image, box.apply(picture[0]))
    np.testing.assert_array_equal(labels, box.frame_labels(picture[1]))


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (300, 2), (5, 7)])
def test_odd_sizes(size):
    augment = SegmentationAugment(scale=(0.01, 4.0), rotate=20, vflip=0.5, blur=0.5)
    labels = np.ones(size, np.uint8)
    for seed in range(20):
        image, mask = draw(augment, (colours(labels), labels), (33, 65), seed)
        assert image.shape == (33, 65, 3) and mask.shape == (33, 65)


def test_the_same_seed_gives_the_same_sample_whatever_came_before():
    one, other = SegmentationAugment(rotate=10), SegmentationAugment(rotate=10)
    for seed in range(5):
        draw(other, seed=seed + 100)
        for a, b in zip(draw(one, seed=seed), draw(other, seed=seed), strict=True):
            np.testing.assert_array_equal(a, b)
    assert not np.array_equal(draw(one, seed=0)[0], draw(one, seed=1)[0])


def test_what_it_is_given_stays_as_it_was():
    image, labels = scene()
    image.flags.writeable = labels.flags.writeable = False
    augment = SegmentationAugment(blur=1.0, rotate=5)
    for seed in range(5):
        for whole in (False, True):
            found, mask = draw(augment, (image, labels), seed=seed, whole=whole)
            assert found.flags.writeable and mask.flags.writeable
            assert not np.shares_memory(found, image) and not np.shares_memory(mask, labels)


def test_enlarges():
    assert SegmentationAugment().enlarges
    assert not SegmentationAugment(scale=(0.5, 1.0)).enlarges


@pytest.mark.parametrize("scale", [(1.5, 0.5), (0.0, 1.0), (-1.0, 1.0)])
def test_impossible_settings_are_refused(scale):
    with pytest.raises(ConfigError, match=r"augment\.scale"):
        SegmentationAugment(scale=scale)
    with pytest.raises(ConfigError, match=r"augment\.window: \[32, 7\]"):
        SegmentationAugment(window=(32, 7))
