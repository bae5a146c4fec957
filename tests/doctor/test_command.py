"""``visionkit check_data``: exit codes, and what it writes, for each kind of set."""

import gzip
import json
import logging
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from doctor.coco_set import CocoSet, jpeg, make_set, scenery

from visionkit import cli
from visionkit.compose import compose
from visionkit.config import check, find_problems
from visionkit.data import shapes
from visionkit.data.shapes import generate

TOOL = Path(__file__).resolve().parents[2] / "tools" / "check_data.py"


@pytest.fixture(autouse=True)
def _plain_command_line(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr(logging.getLogger("visionkit"), "handlers", [])


@pytest.fixture
def checked(tmp_path, capsys):
    """Check a set; return the exit code, the text and the report."""

    def run(*words: str):
        folder = tmp_path / "out"
        shutil.rmtree(folder, ignore_errors=True)
        code = cli.main(["check_data", *map(str, words), f"run_dir={folder}", "threads=2"])
        report = json.loads((folder / "report.json").read_text())
        picture = cv2.imread(str(folder / "report.png")) if report["summary"]["splits"] else None
        assert picture is None or min(picture.shape[:2]) > 500
        return code, capsys.readouterr().out, report

    return run


def kinds(report):
    return [defect["kind"] for defect in report["defects"]]


def test_a_sound_set(tmp_path, checked):
    root = make_set(tmp_path / "set")
    code, text, report = checked("data=coco", f"data.root={root}", "data.image_size=[96,128]")
    assert code == 0
    assert "found nothing that training would suffer from" in text
    assert report["defects"] == [] and report["suffers"] is False
    summary = report["summary"]
    assert summary["splits"]["val"] == {
        "pictures": 4,
        "readable": 4,
        "boxes": 12,
        "crowds": 0,
        "empty": 0,
        "classes": {"cat": 8, "dog": 4},
    }
    assert summary["boxes"]["sizes"] == {"small": 51, "medium": 0, "large": 0}
    assert summary["boxes"]["on_canvas"]["sizes"] == summary["boxes"]["sizes"]
    assert summary["boxes"]["width"][0] == 20 and summary["boxes"]["width"][-1] == 22
    assert summary["pictures"]["most_common"] == [{"width": 128, "height": 96, "pictures": 17}]
    assert summary["pictures"]["formats"] == {"JPEG RGB": 17}
    assert summary["imbalance"]["ratio"] == 2
    assert summary["duplicates"]["exact"]["groups"] == []


def test_defects_are_told_by_kind_those_that_harm_first(tmp_path, checked):
    root = make_set(tmp_path / "set")
    planted = CocoSet(root)
    for image in (planted.fresh() for _ in range(5)):
        planted.path(image).write_bytes(b"")
    same = planted.fresh()
    planted.add(planted.path(same).read_bytes(), same, "val", "same.jpg")
    _, odd = planted.boxed()
    del odd["iscrowd"]
    planted.save()
    code, text, report = checked("data=coco", f"data.root={root}")
    assert code == 1
    assert report["suffers"] is True
    assert report["kinds"]["empty-file"] == 5
    lines = [line.strip() for line in text.splitlines()]
    at = lines.index("empty-file  5, stops training")
    assert lines[at + 1] == "train/train1.jpg: the file is empty"
    assert lines[at + 4] == "and 2 more"
    assert lines[at + 5] == "-> replace the file or take it out of the set"
    overlap = lines.index("split-overlap  1, harms training")
    assert lines[overlap + 1] == "val/same.jpg: is the same picture as train/train6.jpg in train"
    assert at < overlap < lines.index("missing-iscrowd  1, read as meant")
    assert "training would suffer from 6 defects of 2 kinds" in text
    assert "data.defects=drop" in text
    exact = report["summary"]["duplicates"]["exact"]
    assert (exact["pictures"], exact["between_splits"]) == (1, 1)
    assert [p["split"] for p in exact["groups"][0]] == ["train", "val"]
    (defect,) = [d for d in report["defects"] if d["kind"] == "split-overlap"]
    assert defect["file"] == str(root / "val" / "same.jpg")
    assert (defect["split"], defect["effect"], defect["suffers"]) == ("val", "noted", True)


def test_limits_can_be_set(tmp_path, checked):
    root = make_set(tmp_path / "set")
    words = ["check.few=11", "check.imbalance=1.5", "check.many=2", "check.near=null"]
    _, _, report = checked("data=coco", f"data.root={root}", *words)
    assert set(kinds(report)) == {"few-examples", "imbalance", "crowded"}


def test_no_such_set(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for word, says in (
        ("data.root=/no/where", "data.root: there is no '/no/where'"),
        (f"data.root={tmp_path}/empty", "no COCO data set"),
        ("check.near=9", "check.near: must be between 0 and 8, got 9"),
        ("chekc.near=9", "did you mean"),
    ):
        words = [word] if word.startswith("data.root") else [f"data.root={tmp_path}", word]
        assert cli.main(["check_data", *words]) == 2
        assert says in capsys.readouterr().err
    assert cli.main(["check_data"]) == 2
    assert "data.root: missing" in capsys.readouterr().err
    assert not list(tmp_path.glob("*/report.json"))


def test_a_set_of_which_no_split_can_be_read(tmp_path, checked):
    root = make_set(tmp_path / "set", {"train": 2})
    (root / "annotations" / "instances_train.json").write_text("{")
    code, text, report = checked("data=coco", f"data.root={root}")
    assert code == 1
    assert kinds(report) == ["broken-json"]
    assert "broken JSON at line 1" in text
    assert report["summary"]["splits"] == {}


def folders_of(root, side=40):
    rng = np.random.default_rng(0)
    for split, count in (("train", 11), ("val", 3)):
        for name in ("ant", "bee"):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                (root / split / name / f"{i}.jpg").write_bytes(jpeg(scenery(rng, side, side + 9)))
    return root


def test_class_folders(tmp_path, checked):
    root = folders_of(tmp_path / "set")
    code, text, report = checked("data=folder", f"data.root={root}")
    assert (code, kinds(report)) == (0, [])
    assert report["summary"]["splits"]["train"]["classes"] == {"ant": 11, "bee": 11}
    assert "boxes" not in report["summary"]
    shutil.copy(root / "train/ant/3.jpg", root / "train/bee/x.jpg")
    shutil.copy(root / "train/bee/4.jpg", root / "val/bee/y.jpg")
    (root / "val/ant/1.jpg").write_bytes((root / "val/ant/1.jpg").read_bytes()[:300])
    code, text, report = checked("data=folder", f"data.root={root}")
    assert code == 1
    assert set(kinds(report)) == {
        "exact-duplicate",
        "conflicting-label",
        "split-overlap",
        "truncated",
    }
    assert "val/ant/1.jpg: truncated JPEG" in text


def test_yolo_text(tmp_path, checked):
    root, rng = tmp_path / "set", np.random.default_rng(0)
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        for i in range(6):
            (root / "images" / split / f"{i}.jpg").write_bytes(jpeg(scenery(rng)))
            rows = "0 0.5 0.5 0.25 0.5\n1 0.4 0.5 0.25 0.5\n"
            (root / "labels" / split / f"{i}.txt").write_text(rows)
    (root / "data.yaml").write_text("names: [cat, dog]\ntrain: images/train\nval: images/val\n")
    code, _, report = checked("data=yolo_txt", f"data.root={root}", "check.few=6")
    assert (code, kinds(report)) == (0, [])
    (root / "labels" / "train" / "0.txt").write_text("7 0.5 0.5 0.25 0.5\n0 0.5 0.5 0 0.5\n")
    (root / "images" / "train" / "1.jpg").write_bytes(b"")
    code, _, report = checked("data=yolo_txt", f"data.root={root}", "check.few=2")
    assert code == 1
    assert len(report["defects"]) == 3
    assert "undeclared-category" in kinds(report) and "zero-area" in kinds(report)
    broken = [d for d in report["defects"] if d["file"].endswith("images/train/1.jpg")]
    assert [d["effect"] for d in broken] == ["stops"]


def test_voc(tmp_path, checked):
    root, rng = tmp_path / "set", np.random.default_rng(0)
    for folder in ("ImageSets/Main", "Annotations", "JPEGImages"):
        (root / folder).mkdir(parents=True)
    box = "<bndbox><xmin>10</xmin><ymin>10</ymin><xmax>{}</xmax><ymax>60</ymax></bndbox>"
    for split, names in (("train", "abcd"), ("val", "ef")):
        (root / "ImageSets/Main" / f"{split}.txt").write_text("\n".join(names))
        for name in names:
            (root / "JPEGImages" / f"{name}.jpg").write_bytes(jpeg(scenery(rng)))
            things = "".join(
                f"<object><name>{thing}</name>{box.format(right)}</object>"
                for thing, right in (("cat", 50), ("dog", 70 if name != "c" else 170))
            )
            size = "<size><width>128</width><height>96</height></size>"
            xml = f"<annotation>{size}{things}</annotation>"
            (root / "Annotations" / f"{name}.xml").write_text(xml)
    code, text, report = checked("data=voc", f"data.root={root}", "check.few=0")
    assert code == 0
    assert set(kinds(report)) == {"partly-outside", "unused-class"}
    assert "c.jpg: dog [9, 9, 161, 51] leaves the picture (128 x 96) by 42 pixels" in text


def test_arrays_in_memory(tmp_path, checked):
    rng = np.random.default_rng(0)
    images = {
        "train": rng.integers(0, 256, (40, 28, 28)).astype(np.uint8),
        "t10k": rng.integers(0, 256, (10, 28, 28)).astype(np.uint8),
    }
    images["t10k"][3] = images["train"][1]
    for stem, array in images.items():
        for name, values in (("images-idx3", array), ("labels-idx1", np.arange(len(array)) % 10)):
            header = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
            data = gzip.compress(header + values.astype(np.uint8).tobytes())
            (tmp_path / f"{stem}-{name}-ubyte.gz").write_bytes(data)
    words = ["data=mnist", f"data.root={tmp_path}", "data.layout.validation=10", "check.few=3"]
    code, text, report = checked(*words)
    assert code == 1
    assert kinds(report) == ["split-overlap"]
    assert "test[3]: is the same picture as train[1] in train" in text


def test_names_that_are_not_utf8(tmp_path, checked):
    root = folders_of(tmp_path / "set")
    name = os.fsdecode(b"b\xfcffel")
    for split in ("train", "val"):
        (root / split / "bee").rename(root / split / name)
    (root / "train" / name / "1.jpg").rename(root / "train" / name / f"{name}.jpg")
    (root / "train" / name / f"{name}.jpg").write_bytes(b"")
    code, text, report = checked("data=folder", f"data.root={root}")
    assert code == 1
    assert report["summary"]["splits"]["train"]["classes"] == {"ant": 11, name: 11}
    (defect,) = [d for d in report["defects"] if d["kind"] == "empty-file"]
    assert defect["file"] == str(root / "train" / name / f"{name}.jpg")
    assert "train/b\\udcfcffel/b\\udcfcffel.jpg: the file is empty" in text


def test_class_names_with_half_a_character(tmp_path, checked):
    root = make_set(tmp_path / "set")
    planted = CocoSet(root)
    for content in planted.contents.values():
        content["categories"][0]["name"] = "cat \ud83d"
    planted.save()
    code, text, report = checked("data=coco", f"data.root={root}")
    assert code == 0 and "cat \\ud83d" in text
    assert "cat \ud83d" in report["summary"]["splits"]["train"]["classes"]


def test_a_layout_that_reads_nothing(tmp_path, capsys):
    for word in ("data.layout=null", "data.layout=visionkit.data.coco.read_coco"):
        assert cli.main(["check_data", f"data.root={tmp_path}", word]) == 2
        (line,) = [x for x in capsys.readouterr().err.splitlines() if x]
        assert "data.layout: " in line and "_target_" in line


def test_a_generated_set(tmp_path, checked, monkeypatch):
    def few(root):
        generate(root, {"train": 30, "val": 6, "test": 6})

    monkeypatch.setattr(shapes, "generate", few)
    root = tmp_path / "made"
    code, _, report = checked("data=shapes", f"data.root={root}", "check.few=2")
    assert code == 0
    assert not [d for d in report["defects"] if d["suffers"]]
    assert "near-duplicate" not in kinds(report)


def test_the_configuration(tmp_path):
    cfg = compose([f"data.root={tmp_path}"], "check_data")
    check(cfg, "check_data")
    assert cfg.data.layout._target_ == "visionkit.data.coco.read_coco"
    cfg = compose(["data=folder", f"data.root={tmp_path}", "check.few=-1"], "check_data")
    assert find_problems(cfg, "check_data") == ["check.few: must be at least 0, got -1"]


def test_help_and_the_tool():
    done = subprocess.run([sys.executable, TOOL, "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith("usage: visionkit check_data data=coco data.root=DIR")
