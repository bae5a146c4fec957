"""Readers of pairs of pictures, and of two lists of them."""

from pathlib import Path

import numpy as np
import pytest
from data.pair_cases import beside, first, folders, noise, put, second

from visionkit.data.datamodule import DataModule
from visionkit.data.defects import collecting
from visionkit.data.dropping import readable
from visionkit.data.pairs import read_pairs, read_unpaired
from visionkit.errors import DataError

LAYOUTS = [
    ("trainA", "trainB"),
    ("train_a", "train_b"),
    ("train/A", "train/B"),
    ("A/train", "B/train"),
    ("a/Training", "b/training"),
]


def are_pairs(index, numbers):
    assert len(index) == len(numbers)
    for i, number in enumerate(numbers):
        assert np.array_equal(index.image(i), first(number))
        assert np.array_equal(index.target(i), second(number))
        assert all(map(np.array_equal, index.pair(i), (first(number), second(number))))


@pytest.mark.parametrize(("one", "other"), LAYOUTS)
def test_pairs_in_two_folders(tmp_path, one, other):
    folders(tmp_path, one, other)
    index = read_pairs(tmp_path, "train", validation=0)
    are_pairs(index, [0, 1, 2])
    assert (index.kind, index.classes, index.grey, index.warnings) == ("pairs", (), False, ())
    assert index.image_ids.tolist() == [0, 1, 2] and index.untrainable() is None
    assert index.counts().shape == (0,) and index.weights().tolist() == [1.0] * 3
    assert read_pairs(tmp_path, "test", validation=0) is None
    assert read_pairs(tmp_path, "other") is None


def test_pairs_beside_each_other(tmp_path):
    beside(tmp_path)
    beside(tmp_path, "val", 1)
    index = read_pairs(tmp_path, "train")
    are_pairs(index, [0, 1, 2])
    assert index.targets is None and index.other_side() is None
    are_pairs(index.only(np.array([False, True, True])), [1, 2])
    are_pairs(read_pairs(tmp_path, "val"), [0])
    assert read_pairs(tmp_path, "test") is None


@pytest.mark.parametrize("make", [beside, folders])
def test_the_other_way_round(tmp_path, make):
    make(tmp_path)
    index = read_pairs(tmp_path, "train", reverse=True, validation=0)
    assert np.array_equal(index.image(2), second(2)) and np.array_equal(index.target(2), first(2))
    few = index.only(np.array([False, False, True]))
    assert all(map(np.array_equal, few.pair(0), (second(2), first(2))))


def test_names_that_tell_the_side(tmp_path):
    for i in range(2):
        put(tmp_path / "photo" / "sub" / f"{i}_photo.png", first(i))
        put(tmp_path / "map" / "sub" / f"{i}_map.png", second(i))
    are_pairs(read_pairs(tmp_path, "train", sides=("photo", "map"), validation=0), [0, 1])


def test_a_set_without_splits_is_split_alike_in_both_directions(tmp_path):
    folders(tmp_path, "A", "B", 30)
    both = [
        {s: read_pairs(tmp_path, s, reverse=r).image_ids.tolist() for s in ("train", "val", "test")}
        for r in (False, True)
    ]
    assert both[0] == both[1]
    assert [len(ids) for ids in both[0].values()] == [24, 3, 3]
    assert sorted(i for ids in both[0].values() for i in ids) == list(range(30))
    val = read_pairs(tmp_path, "val")
    are_pairs(val, val.image_ids.tolist())
    assert "by a hash of their paths, 3 of 30 pictures are val" in val.warnings[0]


def test_files_of_both_in_no_split_have_to_be_named_so(tmp_path):
    beside(tmp_path, ".", 12)
    with pytest.raises(DataError, match="no pairs found"):
        read_pairs(tmp_path, "train")
    assert len(read_pairs(tmp_path, "train", layout="beside")) == 10


def test_plain_pictures_are_not_cut_in_halves(tmp_path):
    for i in range(3):
        put(tmp_path / "train" / f"{i}.png", first(i, (6, 8)))
    with pytest.raises(DataError, match=r"0.png: is 8 x 6 pixels, .* data.layout.layout=beside"):
        read_pairs(tmp_path, "train")
    index = read_pairs(tmp_path, "train", layout="beside", validation=0)
    assert index.image(0).shape == index.target(0).shape == (6, 4, 3)


def test_pairs_of_different_sizes(tmp_path):
    folders(tmp_path)
    put(tmp_path / "trainB" / "01.png", noise(5, (8, 9)))
    index = read_pairs(tmp_path, "train", validation=0)
    with pytest.raises(
        DataError, match=r"trainB/01.png: is 9 x 8 pixels, its partner .*trainA/01.png is 8 x 8;"
    ):
        index.pair(1)
    with collecting("train") as found:
        index = readable(index)
    are_pairs(index, [0, 2])
    assert [(d.kind, Path(d.file).parent.name) for d in found] == [("wrong-size", "trainB")]


def test_a_file_of_odd_width(tmp_path):
    beside(tmp_path)
    put(tmp_path / "train" / "01.png", noise(5, (8, 17)))
    with collecting("train") as found:
        index = readable(read_pairs(tmp_path, "train", validation=0))
    are_pairs(index, [0, 2])
    assert [d.kind for d in found] == ["odd-width"]


def test_pictures_without_a_partner(tmp_path):
    folders(tmp_path, count=4)
    (tmp_path / "trainB" / "01.png").unlink()
    (tmp_path / "trainA" / "02.png").unlink()
    put(tmp_path / "trainA" / "03.bmp", first(3))
    with pytest.raises(DataError, match=r"03.png: is called as .*; keep one.*data.defects=drop"):
        read_pairs(tmp_path, "train")
    with collecting("train") as found:
        index = read_pairs(tmp_path, "train", validation=0)
    are_pairs(index, [0, 3])
    assert [(d.kind, d.file[len(str(tmp_path)) :]) for d in found] == [
        ("called-alike", "/trainA/03.png"),
        ("missing-partner", "/trainA/01.png"),
        ("missing-partner", "/trainB/02.png"),
    ]


def test_partners_of_a_kind_that_is_not_read(tmp_path):
    folders(tmp_path, count=3)
    (tmp_path / "trainB" / "01.png").rename(tmp_path / "trainB" / "01.heic")
    (tmp_path / "trainB" / "single.heic").write_bytes(b"")
    with pytest.raises(DataError, match=r"A/01.png: has a partner of .*B/01.heic; convert it"):
        read_pairs(tmp_path, "train", validation=0)
    with collecting("train") as found:
        index = read_pairs(tmp_path, "train", validation=0)
    are_pairs(index, [0, 2])
    assert index.warnings[0].startswith(f"{tmp_path / 'trainB'}: 2 file(s) of a kind that isn't")
    assert sorted((d.kind, Path(d.file).name) for d in found) == [
        ("missing-partner", "01.png"),
        ("unread-suffix", "01.heic"),
        ("unread-suffix", "single.heic"),
    ]


def test_names_that_have_nothing_in_common(tmp_path):
    put(tmp_path / "trainA" / "a.png", first(0))
    put(tmp_path / "trainB" / "b.png", first(0))
    with pytest.raises(DataError, match=r"none of its 1 pictures .* \(which has b.png\).*unpaired"):
        read_pairs(tmp_path, "train")


def test_dropping_reads_on(tmp_path, caplog):
    folders(tmp_path, count=4)
    (tmp_path / "trainB" / "01.png").unlink()
    (tmp_path / "trainB" / "02.png").write_bytes(b"")
    data = DataModule(
        lambda root, split: read_pairs(root, split, validation=0),
        str(tmp_path),
        8,
        num_workers=0,
        defects="drop",
    )
    assert data.read("train").kind == "pairs"
    are_pairs(data.splits["train"], [0, 3])
    assert "left out 1 x missing-partner" in caplog.text
    assert "left out 1 x empty-file" in caplog.text


@pytest.mark.parametrize(("one", "other"), LAYOUTS)
def test_two_lists(tmp_path, one, other):
    folders(tmp_path, one, other, 2, 3)
    index = read_unpaired(tmp_path, "train", validation=0)
    assert (index.kind, len(index), len(index.targets)) == ("unpaired", 2, 3)
    assert np.array_equal(index.image(1), first(1))
    targets = [second(0), second(1), second(2), second(0)]
    assert all(np.array_equal(index.target(i), t) for i, t in enumerate(targets))
    turned = read_unpaired(tmp_path, "train", reverse=True, validation=0)
    assert (len(turned), len(turned.targets)) == (3, 2)
    assert np.array_equal(turned.image(2), second(2))


def test_cyclegans_folders_give_a_val(tmp_path):
    folders(tmp_path, count=20, others=30)
    folders(tmp_path, "testA", "testB", 2, 1)
    sizes = {}
    for split in ("train", "val", "test"):
        index = read_unpaired(tmp_path, split)
        sizes[split] = len(index), len(index.targets)
    assert sizes == {"train": (18, 27), "val": (2, 3), "test": (2, 1)}
    assert len(read_unpaired(tmp_path, "val").warnings) == 2


def test_lists_that_are_not_there(tmp_path):
    put(tmp_path / "trainA" / "a.png", first(0))
    with pytest.raises(DataError, match=r"neither trainA and trainB nor A and B .* data.layout"):
        read_unpaired(tmp_path, "train")
    with pytest.raises(DataError, match="no pairs found"):
        read_pairs(tmp_path, "train")


def test_either_list_is_read_on(tmp_path):
    folders(tmp_path, count=3, others=3)
    for name in ("trainA/01.png", "trainB/00.png"):
        (tmp_path / name).write_bytes(b"")
    index = read_unpaired(tmp_path, "train", validation=0)
    with pytest.raises(DataError, match=r"trainB/00.png: the file is empty"):
        readable(index)
    with collecting("train") as found:
        index = readable(index)
    assert index.image_ids.tolist() == [0, 2] and len(index.targets) == 2
    assert np.array_equal(index.target(0), second(1))
    assert [d.kind for d in found] == ["empty-file"] * 2
    for i in (1, 2):
        (tmp_path / "trainB" / f"{i:02d}.png").write_bytes(b"")
    with collecting("train"), pytest.raises(DataError, match="trainB: none of its pictures"):
        readable(read_unpaired(tmp_path, "train", validation=0))
