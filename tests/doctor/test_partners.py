"""What is found wrong with pictures alone, with pairs, and with two lists."""

import json
import logging
import shutil

import cv2
import numpy as np
import pytest
from doctor.coco_set import jpeg, scenery

from visionkit import cli
from visionkit.data.datamodule import DataModule
from visionkit.data.images import read_images
from visionkit.data.pairs import read_pairs, read_unpaired
from visionkit.doctor.examine import examine


def put(path, rng, height=40, width=48):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg(scenery(rng, height, width)))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def found(tmp_path):
    """Examine the set in ``set/``: kinds and ends of the files, and what else was found."""

    def run(reader):
        data = DataModule(reader, str(tmp_path / "set"), image_size=32, num_workers=0)
        findings = examine(data, threads=2)
        told = [(d.kind, d.file.removeprefix(f"{data.root}/"), d.split) for d in findings.defects]
        return told, findings

    return run


def test_pictures_alone(tmp_path, rng, found):
    root = tmp_path / "set"
    for split, count in (("train", 6), ("val", 2)):
        for i in range(count):
            put(root / split / f"{i}.jpg", rng)
    assert found(read_images)[0] == []
    (root / "train" / "1.jpg").write_bytes((root / "train" / "1.jpg").read_bytes()[:200])
    shutil.copy(root / "train" / "2.jpg", root / "val" / "x.jpg")
    told, findings = found(read_images)
    assert told == [("truncated", "train/1.jpg", "train"), ("split-overlap", "val/x.jpg", "val")]
    assert findings.suffers


def both(root, rng, split="train", count=5):
    for side in ("A", "B"):
        for i in range(count):
            put(root / f"{split}{side}" / f"{i}.jpg", rng)


def test_pairs(tmp_path, rng, found):
    root = tmp_path / "set"
    for split in ("train", "val"):
        both(root, rng, split)
    assert found(read_pairs)[0] == []
    shutil.copy(root / "trainA" / "0.jpg", root / "trainB" / "0.jpg")  # alike: no defect of pairs
    put(root / "trainB" / "1.jpg", rng, 40, 50)
    (root / "trainB" / "2.jpg").write_bytes(b"")
    (root / "trainB" / "3.jpg").unlink()
    (root / "valA" / "4.jpg").write_bytes(b"no picture")
    told, findings = found(read_pairs)
    assert told == [
        ("missing-partner", "trainA/3.jpg", "train"),
        ("wrong-size", "trainB/1.jpg", "train"),
        ("empty-file", "trainB/2.jpg", "train"),
        ("unreadable", "valA/4.jpg", "val"),
    ]
    assert findings.suffers and all(d.effect == "stops" for d in findings.defects)


def test_files_of_both(tmp_path, rng, found):
    root = tmp_path / "set"
    for split in ("train", "val"):
        for i in range(3):
            put(root / split / f"{i}.jpg", rng, 40, 96)
    assert found(read_pairs)[0] == []
    put(root / "train" / "1.jpg", rng, 40, 97)
    assert found(read_pairs)[0] == [("odd-width", "train/1.jpg", "train")]


def test_two_lists(tmp_path, rng, found):
    root = tmp_path / "set"
    both(root, rng)
    both(root, rng, "val", 2)
    put(root / "trainB" / "more.jpg", rng)
    assert found(read_unpaired)[0] == []
    (root / "trainB" / "0.jpg").write_bytes((root / "trainB" / "0.jpg").read_bytes()[:200])
    shutil.copy(root / "trainB" / "1.jpg", root / "trainA" / "x.jpg")
    shutil.copy(root / "trainB" / "2.jpg", root / "valB" / "y.jpg")
    told, findings = found(read_unpaired)
    assert told == [
        ("truncated", "trainB/0.jpg", "train"),
        ("exact-duplicate", "trainB/1.jpg", "train"),
        ("split-overlap", "valB/y.jpg", "val"),
    ]
    assert {len(g) for g in findings.exact} == {2}


def test_a_few_grey_pictures_are_told_of_two_lists(tmp_path, rng, found):
    root = tmp_path / "set"
    for split in ("train", "val"):
        both(root, rng, split, 4)
    for i in range(4):
        (root / "trainA" / f"{i}.jpg").write_bytes(jpeg(scenery(rng, 40, 48)[..., 0]))
    (root / "valA" / "0.jpg").write_bytes(jpeg(scenery(rng, 40, 48)[..., 0]))
    # 5 of 16: more than half of the first lists, and less than half of all
    told = [file for kind, file, _ in found(read_unpaired)[0] if kind == "grey"]
    assert told == [*(f"trainA/{i}.jpg" for i in range(4)), "valA/0.jpg"]


@pytest.mark.parametrize("data", ["images", "pairs", "unpaired"])
def test_the_command(tmp_path, rng, data, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr(logging.getLogger("visionkit"), "handlers", [])
    root = tmp_path / "set"
    for split in ("train", "val"):
        if data == "images":
            put(root / split / "1.jpg", rng)
            put(root / split / "2.jpg", rng)
        else:
            both(root, rng, split, 2)
    words = [f"data={data}", f"data.root={root}", f"run_dir={tmp_path / 'out'}", "threads=2"]
    assert cli.main(["check_data", *words]) == 0
    text = capsys.readouterr().out
    assert "found nothing that training would suffer from" in text and "class" not in text
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    train = report["summary"]["splits"]["train"]
    assert train["pictures"] == 2 and train["classes"] == {}
    assert train.get("others") == (2 if data == "unpaired" else None)
    picture = cv2.imread(str(tmp_path / "out" / "report.png"))
    assert min(picture.shape[:2]) > 500
    side = "train" if data == "images" else "trainB"
    (root / side / ("2.jpg" if data == "images" else "1.jpg")).write_bytes(b"")
    assert cli.main(["check_data", *words]) == 1
    text = capsys.readouterr().out
    assert f"{side}/" in text and "data.defects=drop trains without" in text


def test_generated_pictures(tmp_path, capsys, monkeypatch):
    from visionkit.data import shape_images

    monkeypatch.setattr(logging.getLogger("visionkit"), "handlers", [])
    root = tmp_path / "set"
    shape_images.generate(root, {"train": 120, "val": 12})
    words = [f"data.root={root}", f"run_dir={tmp_path / 'out'}"]
    assert cli.main(["check_data", "data=shape_images", *words]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert not report["suffers"]
    assert report["summary"]["splits"]["train"]["classes"]["ring"] == 20
