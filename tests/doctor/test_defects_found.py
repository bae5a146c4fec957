"""Every planted defect is found under its kind and names where it is; training goes on without."""

import json
import math
from functools import partial
from pathlib import Path
from shutil import copytree

import pytest
from doctor.coco_set import CocoSet, make_set
from doctor.seeds import RUINOUS, SEEDS
from tiny import tiny_config

from visionkit import train
from visionkit.data.coco import read_coco
from visionkit.data.datamodule import DataModule
from visionkit.doctor.examine import Findings, examine, harms

HARMLESS = {
    *("exif-rotated", "cmyk", "16-bit", "palette", "grey", "alpha", "animated", "wrong-suffix"),
    *("blank", "tiny-picture", "extreme-aspect", "missing-size", "partly-outside", "tiny-box"),
    *("whole-picture", "crowded", "wrong-area", "missing-area", "missing-iscrowd", "zero-id"),
    *("repeated-id", "missing-id", "id-gap", "unused-class", "few-examples", "exact-duplicate"),
    *("near-duplicate", "near-split-overlap", "unlisted-picture", "class-absent", "bad-area"),
    *("listed-twice", "text-iscrowd", "bad-iscrowd"),
}
"""Kinds that training doesn't suffer from; all others must make the exit code 1."""


def findings(root: Path, canvas: int = 128) -> Findings:
    return examine(DataModule(read_coco, str(root), image_size=canvas, num_workers=0), threads=2)


def is_found(found: Findings, kind: str, text: str) -> bool:
    return any(d.kind == kind and text in f"{d.file} {d.cause}" for d in found.defects)


def lines(found: Findings) -> list[str]:
    return [f"{d.kind}: {d.line}" for d in found.defects]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return make_set(tmp_path_factory.mktemp("sound") / "set")


@pytest.fixture
def copy(sound, tmp_path):
    return copytree(sound, tmp_path / "set")


def test_nothing_is_found_in_a_sound_set(sound):
    found = findings(sound)
    assert lines(found) == []
    assert not found.suffers
    assert [len(found.looks[s]) for s in ("train", "val", "test")] == [10, 4, 3]


def test_there_are_enough_seeds():
    assert len(SEEDS) >= 30


@pytest.mark.parametrize("name", SEEDS)
def test_a_planted_defect_is_found_and_named(copy, name):
    planted = CocoSet(copy)
    kind, text = SEEDS[name](planted)
    planted.save()
    found = findings(copy)
    assert is_found(found, kind, text), lines(found)
    assert found.suffers == (kind not in HARMLESS), [d for d in found.defects if harms(d)]
    for defect in found.defects:
        assert defect.cause and defect.mend and Path(defect.file).is_absolute(), defect
        assert "\n" not in defect.line


def plant_all(root: Path) -> dict[str, tuple[str, str]]:
    """Plant every seed that leaves other splits whole, and one that ruins the test split."""
    planted = CocoSet(root)
    # where a split can't be read, it isn't known which pictures nothing names
    names = [name for name in SEEDS if name not in (*RUINOUS[1:], "picture_in_no_split")]
    found = {name: SEEDS[name](planted) for name in names}
    planted.save()
    return found


def train_on(root: Path, folder: Path, *words: str) -> dict[str, float]:
    cfg = tiny_config(root, folder, "data.defects=drop", "trainer.max_epochs=1", *words)
    return train.run(cfg)


def test_all_at_once_and_then_training_goes_on_without_them(tmp_path):
    root = make_set(tmp_path / "set", {"train": 64, "val": 6})
    planted = plant_all(root)
    found = findings(root)
    missed = {n: where for n, where in planted.items() if not is_found(found, *where)}
    assert missed == {}, lines(found)
    assert found.suffers
    metrics = train_on(root, tmp_path / "run", "trainer.limit_train_batches=4")
    assert math.isfinite(metrics["loss"])
    assert metrics["images"] == 8  # 6 of val, and those planted there


@pytest.mark.real
@pytest.mark.parametrize("name", ["coco192", "bccd"])
def test_all_at_once_in_a_real_set(shared_data, tmp_path, name):
    root = copytree(shared_data / name, tmp_path / name, copy_function=partial(_copy))
    planted = plant_all(root)
    found = findings(root, 192)
    missed = {n: where for n, where in planted.items() if not is_found(found, *where)}
    assert missed == {}
    words = ["data.image_size=96", "trainer.limit_train_batches=4", "data.batch_size=8"]
    metrics = train_on(root, tmp_path / "run", *words)
    assert math.isfinite(metrics["loss"])
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["images"] > 60


def _copy(source: str, target: str) -> str:
    Path(target).write_bytes(Path(source).read_bytes())
    return target


def test_the_same_file_twice_is_no_duplicate(copy):
    planted = CocoSet(copy)
    image = planted.fresh()
    planted.add(planted.path(image).read_bytes(), image, "train", image["file_name"])
    planted.save()
    found = findings(copy)
    assert [d.kind for d in found.defects if "same" in d.cause or "twice" in d.kind] == [
        "listed-twice"
    ]
    assert found.exact == [] and found.near == []
