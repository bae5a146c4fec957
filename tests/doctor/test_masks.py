"""What is wrong with masks, and what is told of them."""

import json
import logging
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from doctor.coco_set import jpeg, scenery
from doctor.mask_set import CLASSES, HEIGHT, SEEDS, WIDTH, MaskSet, labels_of, make_masks, put
from rich.console import Console

from visionkit import cli
from visionkit.data.coco_masks import read_coco_masks
from visionkit.data.datamodule import DataModule
from visionkit.data.defects import collecting
from visionkit.data.dropping import kind_of, readable
from visionkit.data.masks import read_masks
from visionkit.doctor.examine import Findings, examine, harms
from visionkit.doctor.masks import look_at_mask, mask_pixels
from visionkit.doctor.picture import draw_report
from visionkit.doctor.summary import report_data, summarise
from visionkit.doctor.text import print_findings
from visionkit.errors import DataError

HARMLESS = {"void-mask", "unused-class", "few-examples", "imbalance"}
"""Kinds that training doesn't suffer from."""


def findings(root: Path, reader=read_masks) -> Findings:
    return examine(DataModule(reader, str(root), image_size=64, num_workers=0), threads=2)


def lines(found: Findings) -> list[str]:
    return [f"{d.kind}: {d.line}" for d in found.defects]


def is_found(found: Findings, kind: str, text: str) -> bool:
    return any(d.kind == kind and text in f"{d.file} {d.cause}" for d in found.defects)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return make_masks(tmp_path_factory.mktemp("sound") / "set")


@pytest.fixture
def copy(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "set")


def test_a_mask_is_counted(sound):
    index = read_masks(sound, "train")
    look = look_at_mask(index, 3, "train")
    labels = labels_of(sound / "masks" / "train" / f"{Path(index.mask_name(3)).stem}.png")
    expected = [int((labels == value).sum()) for value in (0, 1, 2, 255)]
    assert look.pixels.tolist() == expected
    assert look.size == (HEIGHT, WIDTH) and look.defects == ()
    assert look.digest == look_at_mask(index, 3).digest != look_at_mask(index, 4).digest


def test_nothing_is_found_in_a_sound_set(sound):
    found = findings(sound)
    assert lines(found) == []
    assert not found.suffers
    pixels = mask_pixels(found.splits["train"], found.looks["train"])
    assert pixels.shape == (12, 4) and (pixels.sum(1) == HEIGHT * WIDTH).all()
    assert pixels[:, :3].tolist() == found.splits["train"].pixels().tolist()


@pytest.mark.parametrize("name", SEEDS)
def test_a_planted_defect_is_found_and_named(copy, name):
    kind, text = SEEDS[name](MaskSet(copy))
    found = findings(copy)
    assert is_found(found, kind, text), lines(found)
    assert found.suffers == (kind not in HARMLESS), [d for d in found.defects if harms(d)]
    for defect in found.defects:
        assert defect.cause and defect.mend and Path(defect.file).is_absolute(), defect
        assert "\n" not in defect.line
    report_data(found)


def test_all_at_once_and_then_reading_goes_on_without_them(tmp_path, caplog):
    root = make_masks(tmp_path / "set", {"train": 40, "val": 6})
    planted = MaskSet(root)
    where = {name: plant(planted) for name, plant in SEEDS.items()}
    found = findings(root)
    missed = {name: what for name, what in where.items() if not is_found(found, *what)}
    assert missed == {}, lines(found)
    data = DataModule(read_masks, str(root), image_size=64, num_workers=0, defects="drop")
    with caplog.at_level(logging.WARNING):
        data.read("train", "val")
    train = data.need("train")
    lost = {d.file for d in found.defects if d.effect == "stops"}
    kept = {train.path(i) for i in range(len(train))}
    masks = {train.mask_name(i) for i in range(len(train))}
    assert len(train) == 40 - len(lost) and not lost & (kept | masks)
    assert train.counts()[:3].min() > 0
    said = " ".join(caplog.messages)
    stops = [d.kind for d in found.defects if d.effect == "stops"]
    for kind in set(stops):
        assert f"left out {stops.count(kind)} x {kind}" in said, kind
    with pytest.raises(DataError, match=r"data\.defects=drop$"):
        DataModule(read_masks, str(root), image_size=64, num_workers=0).read("train")


def test_a_mask_and_its_picture_must_have_one_size(copy):
    mask = MaskSet(copy).fresh()
    index = read_masks(copy, "train")
    put(mask, labels_of(mask)[:-2])
    with pytest.raises(DataError, match=r"train0\.png: is .*; .*data\.defects=drop$"):
        readable(index)
    with collecting() as found:
        assert len(readable(index)) == 11
    assert [(d.kind, d.file) for d in found] == [("wrong-size", str(mask))]


def test_kinds_of_what_cannot_be_read():
    assert kind_of("can't be read (Permission denied)") == "missing-file"
    assert kind_of("can't be read (Permission denied)", True) == "unreadable-mask"
    assert kind_of("not a picture that can be decoded") == "unreadable"


def test_what_is_most_of_a_split(copy):
    planted = MaskSet(copy)
    for k in range(7):
        mask = planted.fresh()
        labels = np.full((HEIGHT, WIDTH), 255, np.uint8)
        labels[: 10 * (k > 0)] = 1
        put(mask, labels)
    found = findings(copy)
    told = {d.kind: (d.cause, d.file, d.split) for d in found.defects}
    assert told["mostly-void"][1:] == (str(copy), "train")
    assert told["void-mask"][0] == f"labels no pixel of {copy}/images/train/train0.jpg"
    for k in range(6, -1, -1):
        put(copy / "masks" / "train" / f"train{k}.png", np.full((HEIGHT, WIDTH), 1, np.uint8))
    (told,) = [d.cause for d in findings(copy).defects if d.kind == "mostly-empty"]
    assert told == "7 of 12 masks of train show nothing but sky"


def test_a_split_in_which_nothing_is_labelled(copy):
    for mask in (copy / "masks" / "train").iterdir():
        put(mask, np.full((HEIGHT, WIDTH), 255, np.uint8))
    found = findings(copy)
    (defect,) = [d for d in found.defects if d.kind == "nothing-labelled"]
    assert (defect.cause, defect.effect) == (
        "train: no pixel of its masks has a class to learn",
        "stops",
    )
    text = text_of(found)
    assert not any("data.defects=drop trains" in line for line in text)


def text_of(found: Findings) -> list[str]:
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    print_findings(found, summarise(found), console)
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_figures_and_text(copy):
    planted = MaskSet(copy)
    put(planted.fresh(), np.full((HEIGHT, WIDTH), 255, np.uint8))
    planted.fresh().write_bytes(b"")
    found = findings(copy)
    summary = summarise(found)
    train = summary["splits"]["train"]
    masks = [labels_of(f) for f in (copy / "masks" / "train").iterdir() if f.stat().st_size]
    counts = {n: int(sum((m == k).sum() for m in masks)) for k, n in enumerate(CLASSES)}
    void = sum((m == 255).sum() for m in masks) / (11 * HEIGHT * WIDTH)
    assert train == {
        "pictures": 12,
        "readable": 12,
        "masks": 11,
        "unlabelled": 1,
        "void": pytest.approx(void, abs=1e-6),
        "shown_in": dict.fromkeys(CLASSES, 10),
        "classes": counts,
    }
    most, fewest = max(counts, key=counts.get), min(counts, key=counts.get)
    assert summary["imbalance"] == {
        "most": {"class": most, "pixels": counts[most]},
        "fewest": {"class": fewest, "pixels": counts[fewest]},
        "ratio": counts[most] / counts[fewest],
    }
    text = text_of(found)
    rows = [line.split() for line in text]
    assert ["split", "pictures", "readable", "masks", "unlabelled", "void", "classes"] in rows
    assert ["train", "12", "12", "11", "1", f"{100 * void:.2f}", "%", "3", "of", "3"] in rows
    assert ["class", "train", "pixels", "masks", "val", "pixels", "masks"] in rows
    share = 100 * counts[most] / sum(counts.values())
    (row,) = [row for row in rows if row[:1] == [most] and "%" in row]
    assert row[1:4] == [f"{share:.3g}", "%", "10"]
    assert any(line.startswith(f"classes: {most} {counts[most]:,} to {fewest}") for line in text)
    assert "data.defects=drop trains without what it can't use" in text


@pytest.mark.parametrize("classes", [1, 30, 100])
def test_the_picture(tmp_path, classes):
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        for kind in ("images", "masks"):
            (tmp_path / kind / split).mkdir(parents=True)
        for i in range(count):
            (tmp_path / "images" / split / f"{i}.jpg").write_bytes(jpeg(scenery(rng)))
            labels = rng.integers(0, classes, (12, 16)).repeat(8, 0).repeat(8, 1)
            put(tmp_path / "masks" / split / f"{i}.png", labels.astype(np.uint8))
    (tmp_path / "classes.txt").write_text("\n".join(f"${k}" for k in range(classes)))
    (tmp_path / "masks" / "train" / "3.png").write_bytes(b"")
    draw_report(tmp_path / "a.png", findings(tmp_path))
    assert min(cv2.imread(str(tmp_path / "a.png")).shape[:2]) > 800


def test_masks_of_coco(tmp_path):
    content = {
        "images": [
            {"id": i, "file_name": f"{i}.jpg", "height": HEIGHT, "width": WIDTH} for i in range(3)
        ],
        "annotations": [
            {
                **{"id": 1, "image_id": 0, "category_id": 1, "iscrowd": 0},
                "segmentation": [[2, 2, 20, 2, 20, 30, 2, 30]],
            },
            {"id": 2, "image_id": 1, "category_id": 1, "iscrowd": 0},
        ],
        "categories": [{"id": 1, "name": "cat"}],
    }
    rng = np.random.default_rng(0)
    (tmp_path / "train").mkdir()
    for i in range(3):
        side = HEIGHT - 10 * (i == 2)
        (tmp_path / "train" / f"{i}.jpg").write_bytes(jpeg(scenery(rng, side, WIDTH)))
    (tmp_path / "annotations").mkdir()
    file = tmp_path / "annotations" / "instances_train.json"
    file.write_text(json.dumps(content))
    found = findings(tmp_path, read_coco_masks)
    told = {d.kind: d for d in found.defects}
    assert told["no-mask"].effect == "dropped"
    wrong = told["wrong-size"]
    assert (wrong.file, wrong.effect) == (str(tmp_path / "train" / "2.jpg"), "stops")
    assert wrong.cause == f"is 80 x 50 pixels, its mask {file} 80 x 60"
    counts = summarise(found)["splits"]["train"]["classes"]
    assert counts == {"background": 3 * HEIGHT * WIDTH - 18 * 28, "cat": 18 * 28}
    assert told["mostly-empty"].cause == "2 of 3 masks of train show nothing but background"
    with collecting() as lost:
        index = readable(read_coco_masks(tmp_path, "train"))
    assert len(index) == 2
    (left_out,) = [d for d in lost if d.effect == "stops"]
    assert left_out.kind == "wrong-size"
    assert left_out.line == (
        f"{file}: says {tmp_path}/train/2.jpg has 80 x 60 pixels, it has 80 x 50; "
        "mend its width and height"
    )


@pytest.mark.parametrize("word", ["check.near=null", "check.few=30"])
def test_the_command(sound, tmp_path, capsys, monkeypatch, word):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging.getLogger("visionkit"), "handlers", [])
    words = ["data=masks", f"data.root={sound}", f"run_dir={tmp_path / 'out'}", "threads=2", word]
    assert cli.main(["check_data", *words]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["summary"]["splits"]["val"]["shown_in"] == dict.fromkeys(CLASSES, 4)
    assert set(report["kinds"]) == ({"few-examples"} if "few" in word else set())
    assert (tmp_path / "out" / "report.png").is_file()
    assert "found nothing that training would suffer from" in capsys.readouterr().out


@pytest.mark.real
def test_a_real_set(shared_data, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging.getLogger("visionkit"), "handlers", [])
    root = shared_data / "camvid"
    words = ["data=masks", f"data.root={root}", f"run_dir={tmp_path / 'out'}"]
    cli.main(["check_data", *words])
    splits = json.loads((tmp_path / "out" / "report.json").read_text())["summary"]["splits"]
    assert [splits[s]["masks"] for s in ("train", "val", "test")] == [367, 101, 233]
    for split, figures in splits.items():
        masks = [labels_of(f) for f in sorted((root / f"{split}annot").glob("*.png"))]
        counts = sum(np.bincount(m.ravel(), minlength=12) for m in masks)
        assert list(figures["classes"].values()) == counts[:11].tolist()
        assert figures["void"] == pytest.approx(counts[11] / counts.sum(), abs=1e-6)
