"""Random augmentation of pictures with classes, one by one and by the batch."""

import numpy as np
import pytest
import torch

from visionkit.data.augment_classes import ClassificationAugment
from visionkit.data.batch_augment import Chance, moved, warped
from visionkit.data.samplers import SampleKey
from visionkit.errors import ConfigError
from visionkit.geometry import PAD_COLOUR, Letterbox

OFF = {"crop": (1.0, 1.0), "hflip": 0.0, "colour": 0.0}
RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (30, 40, 3)).astype(np.uint8)
BATCH = torch.from_numpy(RNG.integers(0, 256, (8, 3, 12, 10)).astype(np.uint8))
NO = np.zeros(8, np.bool_)
FULL = (np.ones(8), np.ones(8), np.zeros(8), np.zeros(8))


def one(options, seed=0, canvas=(24, 24), whole=False, image=PICTURE):
    augment = ClassificationAugment(**(OFF | options))
    key = SampleKey(0, 0, whole, canvas)
    return augment(image, canvas, np.random.default_rng(seed), key)


def many(options, images=BATCH, seed=0, whole=False):
    count = np.arange(len(images))
    augment = ClassificationAugment(**(OFF | options))
    return augment.batch(images, Chance(seed, count), whole)


def letterboxed(image=PICTURE, canvas=(24, 24)):
    return Letterbox(image.shape[:2], canvas).apply(image)


def test_all_off_is_what_evaluation_sees():
    np.testing.assert_array_equal(one({}), letterboxed())
    assert torch.equal(many({}), BATCH)


def test_flips():
    np.testing.assert_array_equal(one({"hflip": 1.0}), letterboxed()[:, ::-1])
    np.testing.assert_array_equal(one({"vflip": 1.0}), letterboxed()[::-1])
    assert torch.equal(many({"hflip": 1.0}), BATCH.flip(3))
    assert torch.equal(many({"vflip": 1.0}), BATCH.flip(2))
    assert torch.equal(many({"vflip": 1.0, "hflip": 1.0}), BATCH.flip(2, 3))
    some = many({"hflip": 0.5})
    same = [torch.equal(a, b) for a, b in zip(some, BATCH, strict=True)]
    turned = [torch.equal(a, b.flip(2)) for a, b in zip(some, BATCH, strict=True)]
    assert 0 < sum(same) < 8 and sum(same) + sum(turned) == 8


def shifted(image, down, right, border):
    """What the shift of a batch makes of it."""
    images = torch.from_numpy(image).permute(2, 0, 1)[None]
    places = np.array([down]), np.array([right])
    return moved(images, *places, NO[:1], NO[:1], border)[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("border", ["mean", "black", "edge", "reflect"])
def test_shifts_one_by_one_are_the_same(border):
    image = np.ascontiguousarray(PICTURE[:24, :24])
    met = set()
    for seed in range(12):
        found = one({"shift": 2, "border": border}, seed, image=image)
        fits = [
            (down, right)
            for down in range(-2, 3)
            for right in range(-2, 3)
            if np.array_equal(found, shifted(image, down, right, border))
        ]
        assert len(fits) == 1
        met.add(fits[0])
    assert len(met) > 6


def test_shifts_have_the_stated_range():
    dot = torch.zeros(400, 1, 9, 9, dtype=torch.uint8)
    dot[:, :, 4, 4] = 255
    found = many({"shift": 2, "border": "black"}, dot)
    places = [tuple(np.argwhere(image[0].numpy())[0].tolist()) for image in found]
    assert set(places) == {(y, x) for y in range(2, 7) for x in range(2, 7)}


class Greatest(np.random.Generator):
    """Draws the end of every range."""

    def uniform(self, low, high):
        return high


@pytest.mark.parametrize("batched", [False, True])
def test_turns_are_to_the_left_by_the_stated_degrees(batched):
    """A bar to the right of the centre comes to stand above it."""
    image = np.zeros((31, 31, 3), np.uint8)
    image[15, 20:30] = 255
    if batched:
        images = torch.from_numpy(image).permute(2, 0, 1)[None]
        nothing, no = np.zeros(1, np.int64), np.zeros(1, np.bool_)
        one_whole = tuple(part[:1] for part in FULL)
        found = warped(images, one_whole, np.array([90.0]), nothing, nothing, no, no, "black")
        turned = found[0].permute(1, 2, 0).numpy()
    else:
        rng = Greatest(np.random.PCG64(0))
        augment = ClassificationAugment(**(OFF | {"rotate": 90.0, "border": "black"}))
        turned = augment(image, (31, 31), rng, SampleKey(0, 0, False, (31, 31)))
    rows, columns = np.nonzero(turned[..., 0] > 128)
    assert set(columns.tolist()) == {15}
    assert set(rows.tolist()) == set(range(1, 11))


def test_crops_fill_what_the_whole_picture_fills():
    """The pad is that of evaluation, and what is seen is a part of the picture."""
    ramp = np.zeros((60, 80, 3), np.uint8)
    ramp[..., 0] = np.arange(80) * 3
    ramp[..., 1] = np.arange(60)[:, None] * 4
    seen = []
    for seed in range(30):
        found = one({"crop": (0.25, 0.5)}, seed, (32, 32), image=ramp)
        np.testing.assert_array_equal(found[:4], np.broadcast_to(PAD_COLOUR, (4, 32, 3)))
        np.testing.assert_array_equal(found[-4:], np.broadcast_to(PAD_COLOUR, (4, 32, 3)))
        inner = found[4:-4].astype(int)
        across = (inner[:, -1, 0] - inner[:, 0, 0]).mean() / 240 * 32 / 31
        along = (inner[-1, :, 1] - inner[0, :, 1]).mean() / 240 * 24 / 23
        seen.append(across * along)
    assert 0.22 < min(seen) < 0.32 and 0.43 < max(seen) < 0.53


@pytest.mark.parametrize("options", [{"colour": 0.5}, {"colour": 0.5, "hue": 0.3}, {"hue": 0.3}])
def test_colours_one_by_one(options):
    found = one(options)
    assert found.dtype == np.uint8 and not np.array_equal(found, letterboxed())
    np.testing.assert_array_equal(found[:3], np.broadcast_to(PAD_COLOUR, (3, 24, 3)))


def test_holes():
    found = one({"erase": 1.0}, seed=3)
    changed = (found != letterboxed()).any(-1)
    rows, columns = np.nonzero(changed)
    block = found[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert len(np.unique(block.reshape(-1, 3), axis=0)) == 1
    assert 0.02 * 576 <= block.shape[0] * block.shape[1] <= 0.45 * 576

    images = torch.full((300, 3, 20, 20), 7, dtype=torch.uint8)
    found = many({"erase": 0.5}, images)
    holes = (found != 7).any(1)
    areas = holes.sum((1, 2))
    assert 120 < (areas > 0).sum() < 180
    assert areas[areas > 0].float().mean() / 400 == pytest.approx(0.17, abs=0.03)
    for image, hole in zip(found[:20], holes[:20], strict=True):
        rows, columns = hole.any(1).sum(), hole.any(0).sum()
        assert hole.sum() == rows * columns, "a rectangle"
        assert len({tuple(c.tolist()) for c in image[:, hole].T}) <= 1, "of one colour"


@pytest.mark.parametrize("policy", ["randaugment", "trivial"])
def test_policies_draw_from_their_own_seed(policy):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    found = [one({"policy": policy, "magnitude": 15}, seed) for seed in range(6)]
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    for seed in range(6):
        again = one({"policy": policy, "magnitude": 15}, seed)
        np.testing.assert_array_equal(again, found[seed])
    assert len({image.tobytes() for image in found}) >= 4
    assert all(image.shape == (24, 24, 3) and image.dtype == np.uint8 for image in found)
    assert not ClassificationAugment(policy=policy).batchable


def test_the_end_of_the_schedule_sees_whole_pictures():
    options = {"crop": (0.3, 0.5), "policy": "trivial", "erase": 1.0, "close": 0.2}
    np.testing.assert_array_equal(one(options, whole=True), letterboxed())
    assert torch.equal(many({"crop": (0.3, 0.5), "erase": 1.0}, whole=True), BATCH)
    assert ClassificationAugment(**options).close == 0.2


EVERYTHING = {
    "crop": (0.5, 1.0),
    "shift": 2,
    "hflip": 0.5,
    "vflip": 0.5,
    "rotate": 20.0,
    "colour": 0.4,
    "erase": 0.5,
}


def test_the_same_seed_gives_the_same_whatever_came_before():
    first = one(EVERYTHING | {"policy": "randaugment", "hue": 0.1}, 3)
    one(EVERYTHING, 4)
    again = one(EVERYTHING | {"policy": "randaugment", "hue": 0.1}, 3)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, one(EVERYTHING | {"policy": "randaugment", "hue": 0.1}, 5))


def test_a_picture_of_a_batch_depends_on_its_own_key_alone():
    augment = ClassificationAugment(**EVERYTHING)
    keys = np.array([3, 9, 4, 4, 700, 2, 8, 0])
    all_of_them = augment.batch(BATCH, Chance(1, np.full(8, 2), keys), False)
    alone = augment.batch(BATCH[4:5], Chance(1, np.array([2]), keys[4:5]), False)
    assert torch.equal(all_of_them[4:5], alone)
    for other in (Chance(2, np.array([2]), keys[4:5]), Chance(1, np.array([3]), keys[4:5])):
        assert not torch.equal(augment.batch(BATCH[4:5], other, False), alone)


def test_mixing_is_left_to_the_batch(monkeypatch):
    batch, rng = object(), np.random.default_rng(0)
    assert ClassificationAugment().mix(batch, rng) is batch
    assert ClassificationAugment(mixup=0.2, mix_probability=0).mix(batch, rng) is batch
    import visionkit.ops.mixing

    asked = []
    monkeypatch.setattr(visionkit.ops.mixing, "mix_labels", lambda *a: asked.append(a) or "mixed")
    augment = ClassificationAugment(mixup=0.2, cutmix=1.0, mix_probability=0.7)
    assert augment.mix(batch, rng) == "mixed"
    assert asked == [(batch, rng, 0.2, 1.0, 0.7)]


@pytest.mark.parametrize("crop", [(0.0, 1.0), (0.8, 0.4), (0.5, 1.2)])
def test_impossible_crops_are_refused(crop):
    with pytest.raises(ConfigError, match=r"augment\.crop: .*0 < least <= greatest <= 1"):
        ClassificationAugment(crop=crop)
