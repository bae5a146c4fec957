"""Training on what is left of a set with defects: ``data.defects=drop``."""

import functools
import json
import logging
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tiny import CLASSES, make_coco, make_folders

from visionkit.data import dropping
from visionkit.data.coco import read_coco
from visionkit.data.datamodule import DataModule
from visionkit.data.defects import collecting
from visionkit.data.dropping import readable
from visionkit.data.folder import read_folder
from visionkit.errors import DataError

NOISE = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
JPEG = cv2.imencode(".jpg", NOISE)[1].tobytes()


def module(root: Path, layout=read_coco, **options) -> DataModule:
    options = {"image_size": 64, "batch_size": 4, "num_workers": 0, "defects": "drop"} | options
    return DataModule(functools.partial(layout), str(root), **options)


def edit(root: Path, change, split: str = "train") -> None:
    path = root / "annotations" / f"instances_{split}.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def spoil(root: Path) -> Path:
    """Eight pictures to train, 10 to 17 with two boxes each but 17, and four to validate."""
    make_coco(root)

    def train(content) -> None:
        boxes = content["annotations"]
        boxes[0]["category_id"] = 99
        boxes[2]["bbox"][0] = float("nan")
        boxes[4]["image_id"] = 1000
        boxes.append(boxes[6] | {"id": 50})
        boxes.append(boxes[7] | {"id": 51, "bbox": [5, 5, 0, 9]})
        boxes.append(boxes[7] | {"id": 52, "bbox": [64, 5, 9, 9]})
        content["categories"].append({"id": 8, "name": "only in train"})

    edit(root, train)
    edit(root, lambda c: c["categories"].append({"id": 9, "name": "only in val"}), "val")
    edit(root, lambda c: c["annotations"][0].update(category_id=9), "val")
    (root / "train" / "4.png").unlink()
    (root / "train" / "5.png").write_bytes(JPEG[:2000])
    (root / "train" / "6.png").write_bytes(b"")
    (root / "val" / "1.png").write_text("no picture")
    (root / "annotations" / "instances_test.json").write_text('{"images": [1,')
    return root


def test_goes_on_without_what_is_wrong(tmp_path, caplog):
    root = spoil(tmp_path)
    with pytest.raises(DataError, match=r"id 99, which.*, or go on without it by data\.defects=d"):
        module(root, defects="stop").read("train")
    data = module(root)
    with caplog.at_level(logging.WARNING):
        info = data.read("train", "val", "test")
    train, val = data.need("train"), data.need("val")
    assert info.classes == train.classes == val.classes == (*CLASSES, "only in train")
    assert set(data.splits) == {"train", "val"}
    assert train.image_ids.tolist() == [10, 11, 12, 13, 17]
    assert val.image_ids.tolist() == [10, 12, 13]
    # each picture keeps what is right: one of two boxes went from 10, 11 and 12
    labels = [train.targets(i, (64, 64))[1].tolist() for i in range(5)]
    assert labels == [[1], [1], [1], [0, 1], []]
    assert [val.targets(i, (64, 64))[1].tolist() for i in range(3)] == [[1], [0, 1], []]
    lines = [m for m in caplog.messages if m.startswith("data.defects=drop: left out ")]
    said = {line.split(",")[0].removeprefix("data.defects=drop: left out ") for line in lines}
    assert said == {
        "1 x undeclared-category",
        "1 x dangling-annotation",
        "1 x missing-file",
        "1 x truncated",
        "1 x empty-file",
        "1 x unreadable",
        "1 x class-in-one-split",
        "1 x unusable-split",
    }
    assert len(lines) == len(said)
    for text in (
        "annotation 1 has category id 99",
        f"{root}/train/4.png: there is no such picture",
        f"{root}/train/5.png: truncated JPEG",
        f"{root}/val/1.png: not a picture",
        "val lacks only in train; only val has only in val",
        "instances_test.json: broken JSON",
    ):
        assert sum(text in line for line in lines) == 1, text
    told = [m for m in caplog.messages if m not in lines]
    for text in ("without a usable bbox", "without area", "outside of the picture", "repeating"):
        assert sum(text in line for line in told) == 1, text
    assert len(told) == 4
    caplog.clear()
    data.read("train", "val", "test")
    assert caplog.messages == []


def test_batches_of_what_is_left(tmp_path):
    data = module(spoil(tmp_path), batch_size=5)
    batches = list(data.train_dataloader())
    assert sorted(m.image_id for b in batches for m in b.meta) == [10, 11, 12, 13, 17]
    assert sorted(m.image_id for b in data.val_dataloader() for m in b.meta) == [10, 12, 13]
    boxes = torch.cat([b.targets.boxes for b in batches])
    assert len(boxes) == 5 and torch.isfinite(boxes).all()


def test_many_of_a_kind_make_one_line(tmp_path, caplog):
    root = make_coco(tmp_path)
    edit(root, lambda c: [a.update(category_id=99) for a in c["annotations"][:5]])
    module(root).read("train", "val")
    (line,) = caplog.messages
    assert line.startswith("data.defects=drop: left out 5 x undeclared-category, first ")
    assert "annotation 1 has category id 99" in line


def test_a_sound_set_is_read_as_ever(squares, caplog):
    for split in ("train", "val"):
        dropped, kept = module(squares).need(split), module(squares, defects="stop").need(split)
        assert dropped.boxes.tolist() == kept.boxes.tolist()
        assert dropped.image_ids.tolist() == kept.image_ids.tolist()
    assert caplog.messages == []


def test_evaluation_alone_has_the_classes_of_training(tmp_path):
    data = module(spoil(tmp_path))
    assert data.read("val").classes == (*CLASSES, "only in train")
    assert set(data.splits) == {"val"}


def test_what_nothing_can_be_trained_on(tmp_path):
    root = make_coco(tmp_path)
    for i in range(8):
        (root / "train" / f"{i}.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"no picture of train can be used \(.*7\.png: the file is"):
        module(root).read("train", "val")
    for picture in (root / "val").iterdir():
        picture.unlink()
    with pytest.raises(DataError, match="4 of 4 pictures are missing"):
        module(root).read("val")
    edit(root, lambda c: c.update(images=[]))
    with pytest.raises(DataError, match="lists no images"):
        module(root).read("train", "val")


def test_empty_splits_but_training_are_left_out(tmp_path, caplog):
    root = make_coco(tmp_path)
    edit(root, lambda c: c.update(images=[], annotations=[]), "val")
    data = module(root)
    data.read("train", "val", "test")
    assert set(data.splits) == {"train"} and data.val_dataloader() == []
    assert any("1 x empty-split" in m and "instances_val.json" in m for m in caplog.messages)


def test_pictures_with_classes(tmp_path, caplog):
    root = make_folders(tmp_path)
    (root / "train" / "red" / "2.png").write_bytes(JPEG[:2000])
    shutil.copytree(root / "val" / "green", root / "val" / "blue")
    data = module(root, read_folder, image_size=32)
    data.read("train", "val")
    assert data.need("train").counts().tolist() == [6, 5]
    assert data.need("val").classes == ("green", "red") and len(data.need("val")) == 6
    assert len(list(data.train_dataloader())) == 3
    text = " ".join(caplog.messages)
    assert "1 x truncated" in text and "1 x class-in-one-split" in text


def test_a_picture_that_breaks_later_names_the_way_out(tmp_path):
    root = make_coco(tmp_path)
    data = module(root, defects="stop")
    (root / "val" / "0.png").write_bytes(JPEG[:2000])
    with pytest.raises(
        DataError, match=r"truncated JPEG; .*, or go on without it by data\.defects"
    ):
        next(iter(data.val_dataloader()))
    with pytest.raises(DataError, match=r"truncated JPEG; .*data\.defects=drop$"):
        readable(data.need("val"))


def test_the_first_rank_decodes_for_all(tmp_path, monkeypatch):
    root = make_coco(tmp_path)
    (root / "train" / "5.png").write_bytes(JPEG[:2000])
    index = read_coco(root, "train")
    # pictures of several parts keep their places
    monkeypatch.setattr("visionkit.data.cores._PART", 1)
    with collecting() as alone:
        assert readable(index).image_ids.tolist() == [10, 11, 12, 13, 14, 16, 17]
    told = []
    monkeypatch.setattr(dropping, "from_first_rank", lambda make: told[0] if told else make())
    with collecting():
        readable(index)
    told.append([(5, f"{root}/train/5.png: truncated JPEG; replace it")])
    monkeypatch.setattr(type(index), "image", None)  # another rank decodes nothing
    with collecting() as others:
        assert readable(index).image_ids.tolist() == [10, 11, 12, 13, 14, 16, 17]
    assert [(d.kind, d.file) for d in others] == [(d.kind, d.file) for d in alone]
