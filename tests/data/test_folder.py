"""Class folders."""

import shutil

import cv2
import numpy as np
import pytest

from visionkit.data.folder import read_folder
from visionkit.errors import DataError


def picture(path, value=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    _, data = cv2.imencode(".png", np.full((6, 8, 3), value, np.uint8))
    path.write_bytes(data.tobytes())


def folders(root, **splits):
    for split, classes in splits.items():
        for name, count in classes.items():
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                picture(root / split / name / f"{i}.png")
    return root


def names(index):
    return [index.path(i).rsplit("/", 1)[1] for i in range(len(index))]


def test_class_folders(tmp_path):
    folders(tmp_path, train={"dog": 2, "cat": 3}, val={"dog": 1}, test={"cat": 2})
    train = read_folder(tmp_path, "train")
    assert train.classes == ("cat", "dog")
    assert train.labels.tolist() == [0, 0, 0, 1, 1] and train.exclusive
    assert train.path(4) == str(tmp_path / "train" / "dog" / "1.png")
    assert train.warnings == ()
    val, test = read_folder(tmp_path, "val"), read_folder(tmp_path, "test")
    assert val.classes == test.classes == train.classes
    assert val.labels.tolist() == [1] and test.labels.tolist() == [0, 0]
    assert read_folder(tmp_path, "other") is None


def test_what_people_have_in_their_folders(tmp_path):
    root = tmp_path / "my set"
    folders(root, Train={"Straße": 1, "猫": 1}, valid={"猫": 1})
    for name in ("deep/er/x y.JPEG", "UPPER.PNG", "ünï.png"):
        picture(root / "Train" / "猫" / name)
    for name in (".hidden.png", ".ipynb_checkpoints/a.png", "__MACOSX/b.png"):
        picture(root / "Train" / "猫" / name)
    (root / "Train" / "猫" / "Thumbs.db").write_text("no picture")
    picture(root / "Train" / ".DS_Store" / "a.png")
    picture(tmp_path / "elsewhere" / "z.png")
    (root / "Train" / "猫" / "linked").symlink_to(tmp_path / "elsewhere")
    index = read_folder(root, "train")
    assert index.classes == ("Straße", "猫")
    assert index.counts().tolist() == [1, 5]
    assert {"x y.JPEG", "UPPER.PNG", "ünï.png", "z.png"} <= set(names(index))
    assert [index.image(i).shape for i in range(6)] == [(6, 8, 3)] * 6
    assert read_folder(root, "val").labels.tolist() == [1]


def test_a_class_only_val_has(tmp_path):
    folders(tmp_path, train={"a": 1, "b": 1}, val={"a": 1, "c": 1, "notes": 0})
    with pytest.raises(DataError, match=r"val: has pictures of c, which .*train lacks"):
        read_folder(tmp_path, "train")


def test_warnings_of_class_folders(tmp_path):
    folders(tmp_path, train={"a": 2, "b": 0}, val={"a": 1})
    (tmp_path / "train" / "a" / "x.gif").touch()
    index = read_folder(tmp_path, "train")
    assert index.counts().tolist() == [2, 0]
    empty, unread, one = index.warnings
    assert "has no picture of b" in empty
    assert "1 file(s) of a kind that isn't read" in unread and "x.gif" in unread
    assert "all training pictures are of one class" in one


def test_a_set_without_splits(tmp_path):
    root = folders(tmp_path, set={"a": 40, "b": 60, "few": 4}) / "set"
    picture(root / "a" / "inner" / "0.png")
    (root / "notes").mkdir()
    splits = {split: read_folder(root, split) for split in ("train", "val", "test")}
    counts = {split: index.counts().tolist() for split, index in splits.items()}
    assert counts == {"train": [33, 48, 2], "val": [4, 6, 1], "test": [4, 6, 1]}
    files = [index.path(i) for index in splits.values() for i in range(len(index))]
    assert len(set(files)) == 105
    ids = np.concatenate([index.image_ids for index in splits.values()])
    assert len(set(ids.tolist())) == 105
    for split, index in splits.items():
        assert index.classes == ("a", "b", "few")
        assert f"of 105 pictures are {split}" in index.warnings[-1]
    first = sorted(f"{i}.png" for i in range(60))
    assert not {*names(splits["val"])[4:10]} <= {*first[:12]}, "by a hash, not in order"
    # the same wherever the set lies
    shutil.copytree(root, tmp_path / "copy")
    again = read_folder(tmp_path / "copy", "test")
    assert [p.replace("copy", "set") for p in map(again.path, range(11))] == [
        splits["test"].path(i) for i in range(11)
    ]


def test_a_set_without_splits_and_without_validation(tmp_path):
    root = folders(tmp_path, **{".": {"dog": 20, "cat": 20}})
    train, test = (read_folder(root, split, validation=0) for split in ("train", "test"))
    assert (len(train), len(test)) == (36, 4)
    assert read_folder(root, "val", validation=0) is None


def test_a_class_called_train(tmp_path):
    root = folders(tmp_path, x={"boat": 5, "train": 5}) / "x"
    assert read_folder(root, "train").classes == ("boat", "train")


def test_a_set_without_val(tmp_path):
    folders(tmp_path, train={"a": 20, "b": 2}, test={"a": 3})
    train, val = read_folder(tmp_path, "train"), read_folder(tmp_path, "val")
    assert (train.counts().tolist(), val.counts().tolist()) == ([18, 2], [2, 0])
    assert "no val of its own: by a hash of their paths, 20 of 22" in train.warnings[0]
    assert not {train.path(i) for i in range(20)} & {val.path(i) for i in range(2)}
    assert len(read_folder(tmp_path, "test")) == 3
    assert read_folder(tmp_path, "train", validation=0).counts().tolist() == [20, 2]
    assert read_folder(tmp_path, "val", validation=0) is None


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({}, r"no class folders \(no folder in it has pictures\): neither train/<class>/"),
        ({"set/train/a": 1, "set/train/b": 1}, r"only set/ has pictures.*set data\.root"),
        ({"train/a": 0}, "no pictures in its class folders"),
        ({"train": 3}, r"only train/ has pictures.*data\.layout\.table=NAME\.csv"),
    ],
)
def test_no_class_folders(tmp_path, classes, message):
    for name, count in classes.items():
        (tmp_path / name).mkdir(parents=True)
        for i in range(count):
            picture(tmp_path / name / f"{i}.png")
    with pytest.raises(DataError, match=message):
        read_folder(tmp_path, "train")
    with pytest.raises(DataError, match="doesn't exist"):
        read_folder(tmp_path / "no", "train")


@pytest.mark.real
def test_real_class_folders(shared_data):
    root = shared_data / "hymenoptera"
    train, val = read_folder(root, "train"), read_folder(root, "val")
    assert train.classes == val.classes == ("ants", "bees")
    assert (len(train), len(val)) == (245, 153)
    assert read_folder(root, "test") is None
    assert train.image(0).ndim == 3
