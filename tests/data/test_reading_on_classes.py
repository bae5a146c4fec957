"""Readers of pictures with classes that go on past what is wrong with one of them."""

from pathlib import Path

import pytest
from data.test_reading_on import kinds, picture, put, read

from visionkit.data.defects import collecting
from visionkit.data.folder import read_folder
from visionkit.errors import DataError


def folders(root: Path, *names: str) -> None:
    for name in names:
        picture(root / name)


def test_class_folders(tmp_path: Path) -> None:
    folders(tmp_path, "train/a/0.png", "train/a/1.png", "train/b/0.png", "val/a/0.png")
    folders(tmp_path, "val/c/0.png")
    put(tmp_path / "train/a/2.gif", "")
    with collecting("train") as found:
        train = read_folder(tmp_path, "train")
    assert [(d.kind, d.file) for d in found] == [("unread-suffix", f"{tmp_path}/train/a/2.gif")]
    assert train is not None and train.counts().tolist() == [2, 1]
    index, found = read(read_folder, tmp_path, "val")
    assert [(d.kind, d.file) for d in found if d.effect == "stops"] == [
        ("class-in-one-split", f"{tmp_path}/val")
    ]
    assert index.classes == ("a", "b") and index.counts().tolist() == [1, 0]
    (tmp_path / "val/a/0.png").unlink()
    index, found = read(read_folder, tmp_path, "val")
    assert index is None and "empty-split" in kinds(found)


def test_what_is_held_out_of_training_is_told_once(tmp_path: Path) -> None:
    folders(tmp_path, *(f"train/{name}/{i}.png" for name in "ab" for i in range(20)))
    put(tmp_path / "train/a/x.gif", "")
    with collecting() as found:
        read_folder(tmp_path, "val")
    assert found == []
    with collecting() as found:
        read_folder(tmp_path, "train")
    assert kinds(found) == ["unread-suffix"]


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ("gone.png,x", "missing-file"),
        (",x", "missing-file"),
        ("a.png,x", "listed-twice"),
        ("c.png,x,y", "bad-row"),
        ("c.png,", "no-class"),
    ],
)
def test_rows_of_a_table(tmp_path: Path, row: str, kind: str) -> None:
    folders(tmp_path, "images/a.png", "images/b.png", "images/c.png", "images/d.png")
    put(tmp_path / "train.csv", f"file,label\na.png,x\n{row}\nb.png,y\n")
    put(tmp_path / "val.csv", "file,label\nd.png,x\n")
    index, found = read(read_folder, tmp_path)
    assert kinds(found) == [kind] and found[0].file == f"{tmp_path}/train.csv:3"
    assert [Path(index.path(i)).name for i in range(len(index))] == ["a.png", "b.png"]
    assert index.labels.tolist() == [0, 1]
    with collecting("val") as found:
        val = read_folder(tmp_path, "val")
    assert found == [] and val is not None and val.labels.tolist() == [0]


def test_tables_against_each_other(tmp_path: Path) -> None:
    folders(tmp_path, "images/a.png", "images/b.png", "images/c.png", "images/d.png")
    put(tmp_path / "train.csv", "file,label\na.png,x\nb.png,y\n")
    put(tmp_path / "val.csv", "file,label\nc.png,z\nd.png,y\n")
    index, found = read(read_folder, tmp_path, "val")
    assert [(d.kind, d.file) for d in found] == [("class-in-one-split", f"{tmp_path}/val.csv:2")]
    assert index.classes == ("x", "y") and index.labels.tolist() == [1]
    put(tmp_path / "val.csv", "file,x,z\nc.png,1,0\n")
    with collecting() as found:
        assert len(read_folder(tmp_path, "train") or ()) == 2
        with pytest.raises(DataError, match="one column of classes"):
            read_folder(tmp_path, "val")
    (tmp_path / "train.csv").unlink()
    (tmp_path / "val.csv").unlink()
    put(tmp_path / "labels.csv", "file,label,split\na.png,x,train\nb.png,x,holdout\nc.png,x,val\n")
    index, found = read(read_folder, tmp_path)
    assert kinds(found) == ["bad-split"] and len(index) == 1


def test_columns_of_classes(tmp_path: Path) -> None:
    folders(tmp_path, "images/a.png", "images/b.png", "images/c.png")
    put(tmp_path / "train.csv", "file,x,y\na.png,1,0\nb.png,?,1\nc.png,0,1\n")
    index, found = read(read_folder, tmp_path, validation=0)
    assert kinds(found) == ["bad-row"] and found[0].file.endswith("train.csv:3")
    assert index.labels.tolist() == [0, 1]
    put(tmp_path / "train.csv", "file,x,age\na.png,1,37\nb.png,0,38\n")
    with collecting(), pytest.raises(DataError, match="column 'age' has '37'"):
        read_folder(tmp_path, "train")
