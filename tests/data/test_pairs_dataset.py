"""Samples of pictures that are turned into others."""

from dataclasses import replace

import numpy as np
import pytest
from data.pair_cases import beside, first, folders, second

from visionkit.batch import PictureTargets, collate
from visionkit.data.augment import Augment
from visionkit.data.augment_classes import ClassificationAugment
from visionkit.data.augment_pairs import PairAugment
from visionkit.data.cache import ImageCache
from visionkit.data.datamodule import DataModule
from visionkit.data.pairs import read_pairs, read_unpaired
from visionkit.data.samplers import SampleKey
from visionkit.errors import ConfigError, DataError
from visionkit.geometry import Letterbox

CANVAS = (8, 8)
KEY = SampleKey(0, 0, False, CANVAS)


@pytest.fixture
def pairs(tmp_path):
    return read_pairs(folders(tmp_path, count=4), "train", validation=0)


@pytest.fixture
def lists(tmp_path):
    return read_unpaired(folders(tmp_path, count=4, others=6), "train", validation=0)


def which(picture):
    """The number of the second list's picture."""
    return next(i for i in range(6) if np.array_equal(second(i), picture))


def test_evaluation_sees_pairs_as_they_are(pairs):
    dataset = pairs.dataset(CANVAS)
    assert len(dataset) == 4
    for i in range(4):
        sample = dataset[i]
        assert np.array_equal(sample.image, first(i))
        assert np.array_equal(sample.target.image, second(i))
        assert (sample.meta.image_id, sample.meta.path) == (i, pairs.path(i))
    batch = collate([dataset[i] for i in range(4)])
    assert isinstance(batch.targets, PictureTargets)
    assert np.array_equal(batch.targets.images[2].permute(1, 2, 0).numpy(), second(2))
    assert all(np.array_equal(t.image, second(i)) for i, t in enumerate(batch.truth()))


def test_evaluation_of_two_lists_goes_round(tmp_path):
    index = read_unpaired(folders(tmp_path, count=5, others=2), "train", validation=0)
    dataset = index.dataset(CANVAS)
    assert [which(dataset[i].target.image) for i in range(5)] == [0, 1, 0, 1, 0]


def test_training_draws_any_of_the_second_list(lists):
    dataset = lists.dataset(CANVAS, seed=3)

    def drawn(epoch, draw=0):
        keys = [SampleKey(i, epoch, False, CANVAS, draw) for i in range(4)]
        return [which(dataset[key].target.image) for key in keys]

    assert drawn(0) == drawn(0)
    every = [drawn(epoch) for epoch in range(12)]
    assert {n for each in every for n in each} == set(range(6))
    assert len({tuple(each) for each in every}) > 8
    assert drawn(0, draw=1) != drawn(0)
    assert np.array_equal(dataset[replace(KEY, index=2)].image, first(2))
    other = lists.dataset(CANVAS, seed=4)
    assert any(which(other[replace(KEY, epoch=e)].target.image) != every[e][0] for e in range(12))


def test_nothing_is_drawn_but_by_the_key(pairs, lists):
    for index in (pairs, lists):
        one, other = (index.dataset(CANVAS, PairAugment(1.5), 7) for _ in range(2))
        other[replace(KEY, index=3, epoch=5)]
        np.random.seed(0)
        a, b = one[KEY], other[KEY]
        assert np.array_equal(a.image, b.image) and np.array_equal(a.target.image, b.target.image)


def test_both_of_a_pair_are_changed_alike(tmp_path):
    """What is done to a picture is done to its partner: of the same pixels they stay the same."""
    index = read_pairs(folders(tmp_path, count=4), "train", validation=0)
    index = replace(index, targets=index.files)
    dataset = index.dataset(CANVAS, PairAugment(1.5, 0.5, 0.5), 0)
    seen = set()
    for epoch in range(20):
        sample = dataset[replace(KEY, epoch=epoch)]
        assert np.array_equal(sample.image, sample.target.image)
        assert sample.image.shape == (8, 8, 3)
        seen.add(sample.image.tobytes())
    assert len(seen) > 15


def test_those_that_are_no_pair_are_changed_apart():
    image = first(0)
    augment = PairAugment(1.0, 0.5, 0.0)
    ways = set()
    for seed in range(40):
        one, other = augment(image, image, CANVAS, False, np.random.default_rng(seed))
        ways.add((np.array_equal(one, image), np.array_equal(other, image)))
    assert ways == {(True, True), (True, False), (False, True), (False, False)}


def test_a_window_of_the_enlarged_picture():
    image = first(0, (6, 8))
    augment = PairAugment(2.0, 0.0, 0.0)
    assert augment.enlarged((8, 8)) == (16, 16)
    whole = Letterbox((6, 8), (16, 16)).apply(image)
    places = set()
    for seed in range(60):
        one, _ = augment(image, image, CANVAS, True, np.random.default_rng(seed))
        found = [
            (y, x)
            for y in range(9)
            for x in range(9)
            if np.array_equal(one, whole[y : y + 8, x : x + 8])
        ]
        assert found
        places |= set(found)
    assert {y for y, _ in places} == set(range(9)) and {x for _, x in places} == set(range(9))


def test_mirrored():
    image, target = first(0), second(0)
    one, other = PairAugment(1.0, 1.0, 0.0)(image, target, CANVAS, True, np.random.default_rng(0))
    assert np.array_equal(one, image[:, ::-1]) and np.array_equal(other, target[:, ::-1])
    one, other = PairAugment(1.0, 0.0, 1.0)(image, target, CANVAS, True, np.random.default_rng(0))
    assert np.array_equal(one, image[::-1]) and np.array_equal(other, target[::-1])


@pytest.mark.parametrize("augment", [None, PairAugment(286 / 256)])
@pytest.mark.parametrize("size", [(8, 8), (7, 13), (33, 20)])
@pytest.mark.parametrize("read", [read_pairs, read_unpaired])
def test_a_cache_changes_nothing_but_the_reading(tmp_path, read, size, augment, monkeypatch):
    index = read(folders(tmp_path, count=3, others=3, size=size), "train", validation=0)
    plain = index.dataset(CANVAS, augment, 1)
    cached = index.dataset(CANVAS, augment, 1, ImageCache(3, *CANVAS))
    keys = [SampleKey(i, e, False, CANVAS) for i in range(3) for e in range(8)]
    for key in (*keys, *keys):
        a, b = plain[key], cached[key]
        assert np.array_equal(a.image, b.image) and np.array_equal(a.target.image, b.target.image)
        assert a.meta == b.meta and a.meta.letterbox.size == size
    assert np.array_equal(cached[2].image, plain[2].image)  # evaluation's
    wide = replace(keys[0], canvas=(16, 8))
    assert np.array_equal(cached[wide].image, plain[wide].image)
    for name in ("image", "target", "pair"):
        monkeypatch.setattr(type(index), name, None, raising=False)
    assert cached[keys[0]].image.shape == (8, 8, 3)


def test_files_of_both(tmp_path):
    index = read_pairs(beside(tmp_path), "train", validation=0)
    sample = index.dataset(CANVAS)[1]
    assert np.array_equal(sample.image, first(1)) and np.array_equal(sample.target.image, second(1))
    assert sample.meta.letterbox.size == CANVAS


def test_augmentation_of_another_kind_is_refused(pairs):
    with pytest.raises(ConfigError, match=r"ClassificationAugment isn't for .* augment=pairs"):
        pairs.dataset(CANVAS, ClassificationAugment())
    assert np.array_equal(pairs.dataset(CANVAS, Augment())[KEY].image, first(0))


def test_what_cannot_be_read_names_the_way_out(pairs, lists):
    for index in (pairs, lists):
        with open(index.path(0), "wb"):
            pass
        with pytest.raises(DataError, match=r"the file is empty; .* data.defects=drop"):
            index.dataset(CANVAS)[0]


@pytest.mark.parametrize(("read", "kind"), [(read_pairs, "pairs"), (read_unpaired, "unpaired")])
def test_loaders(tmp_path, read, kind):
    folders(tmp_path, count=20, others=20)
    augment = PairAugment()
    data = DataModule(read, str(tmp_path), 8, 6, num_workers=0, augment=augment)
    info = data.read("train", "val")
    assert (info.kind, info.classes, info.counts, info.grey) == (kind, (), (), False)
    batches = list(data.train_dataloader())
    assert sum(map(len, batches)) == 18
    assert all(b.targets.images.shape == b.images.shape for b in batches)
    (val,) = data.val_dataloader()
    assert len(val) == 2


@pytest.mark.parametrize(("augment", "side"), [(None, 8), (PairAugment(1.5), 12)])
def test_a_cache_by_itself_only_where_both_lists_fit(tmp_path, augment, side, monkeypatch):
    """Of two lists, 4 + 6 pictures are kept, of pairs 4 + 4, at the size that windows see."""
    pairs = read_pairs(folders(tmp_path / "pairs", count=4), "train", validation=0)
    lists = read_unpaired(folders(tmp_path / "lists", count=4, others=6), "train", validation=0)
    for index, count in ((lists, 10), (pairs, 8)):
        room = count * side * side * 3
        assert index.cached_bytes(CANVAS, augment) == room
        data = DataModule(
            lambda root, split, index=index: index,
            "x",
            CANVAS,
            batch_size=2,
            num_workers=0,
            augment=augment,
        )
        for limit, keeps in ((room, True), (room - 1, False)):
            monkeypatch.setattr("visionkit.data.datamodule.CACHE_LIMIT", limit)
            dataset = data.train_dataloader().dataset
            assert (dataset._images is not None) == keeps
