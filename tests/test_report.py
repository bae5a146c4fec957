"""metrics.json and the table at the end of a run."""

import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from visionkit.colours import VOID_COLOUR, class_colour
from visionkit.errors import DataError
from visionkit.report import (
    print_table,
    printable,
    write_animation,
    write_json,
    write_mask,
    write_metrics,
)


def test_metrics_are_flat_and_in_order(tmp_path: Path) -> None:
    metrics = {"loss": 1.5, "AP/cat": 0.25, "AP": 0.5, "seconds": 3.0, "AP50": 0.75, "images": 7}
    path = write_metrics(tmp_path / "new", metrics)
    assert path == tmp_path / "new" / "metrics.json"
    read = json.loads(path.read_text())
    assert read == metrics
    assert list(read) == ["AP", "AP50", "loss", "images", "seconds", "AP/cat"]


def test_what_is_not_finite_becomes_null(tmp_path: Path) -> None:
    path = write_metrics(tmp_path, {"AP": 0.5, "loss": math.nan, "x": -math.inf})

    def refuse(text: str) -> float:
        raise AssertionError(text)

    assert json.loads(path.read_text(), parse_constant=refuse) == {
        "AP": 0.5,
        "loss": None,
        "x": None,
    }


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"a": math.nan})

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DataError, match=r"a\.json: can't be written .No space left"):
        write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_mask_reads_back_as_its_labels(tmp_path: Path) -> None:
    labels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 48)[:, ::-1]
    path = tmp_path / "new" / "a.png"
    write_mask(path, labels)
    with Image.open(path) as read:
        assert read.mode == "P"
        np.testing.assert_array_equal(np.asarray(read), labels)
        shown = np.asarray(read.convert("RGB"))
    assert tuple(shown[labels == 7][0].tolist()) == class_colour(7)
    assert tuple(shown[labels == 255][0].tolist()) == VOID_COLOUR
    depth, kind = path.read_bytes()[24:26]
    assert (depth, kind) == (8, 3)  # indices of eight bits, also of few classes
    write_mask(path, np.zeros((2, 3), np.uint8))
    assert tuple(path.read_bytes()[24:26]) == (8, 3)
    assert [p.name for p in path.parent.iterdir()] == ["a.png"]


def test_a_mask_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    write_mask(path, np.full((4, 5), 3, np.uint8))

    def full(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(DataError, match=r"a\.png: can't be written .No space left"):
        write_mask(path, np.zeros((4, 5), np.uint8))
    with Image.open(path) as read:
        assert (np.asarray(read) == 3).all()


def printed(metrics: dict[str, float], width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_table(metrics, console)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_table_shows_figures_and_ranks_classes() -> None:
    metrics = {"AP": 0.4567, "APs": -1.0, "images": 72.0, "seconds": 12.34, "loss": math.nan}
    lines = printed(metrics | {"AP/low": 0.1, "AP/none": -1.0, "AP/[b]high": 0.9}).splitlines()
    assert lines[0].split() == ["AP", "APs", "loss", "images", "seconds"]
    assert lines[1].split() == ["0.457", "-", "-", "72", "12.3"]
    assert [line.split() for line in lines[3:]] == [
        ["class", "AP"],
        ["[b]high", "0.900"],  # not taken for markup
        ["low", "0.100"],
        ["none", "-"],
    ]


@pytest.mark.parametrize("width", [80, 140])
def test_many_classes_take_few_lines(width: int) -> None:
    headline = ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm"]
    headline += ["ARl", "loss", "images", "seconds"]
    classes = {f"AP/class number {i}": i / 80 for i in range(80)}
    text = printed({k: 0.5 for k in headline} | classes, width)
    lines = text.splitlines()
    assert len(lines) <= 36
    assert max(map(len, lines)) <= width
    assert all(name.removeprefix("AP/") in text for name in classes)
    assert all(name in text for name in headline)
    ranking = next(line for line in lines if "class number 79" in line)
    assert ranking.startswith("class number 79")


def test_table_of_nothing() -> None:
    assert printed({}).strip() == ""


def test_heavy_packages_load_only_when_needed() -> None:
    code = (
        "import sys, visionkit.metrics.coco, visionkit.report, visionkit.render\n"
        "import visionkit.sources, visionkit.predict\n"
        "heavy = {'torch', 'matplotlib', 'pycocotools', 'albumentations', 'rich'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_figures_of_the_same_names_share_a_table():
    metrics = {
        "AP": 0.5,
        "AP/a": 0.5,
        "AP/b": 0.25,
        "F1/a": 0.75,
        "F1/b": -1.0,
        "error/both": 0.125,
    }
    lines = [line.split() for line in printed(metrics).splitlines() if line.strip()]
    assert ["class", "AP", "F1"] in lines
    assert ["a", "0.500", "0.750"] in lines
    assert ["b", "0.250", "-"] in lines
    assert lines[-2:] == [["error"], ["both", "0.125"]]


def test_names_that_are_not_utf8_survive(tmp_path: Path) -> None:
    name = os.fsdecode(b"gr\xfcn\\.jpg")
    data = {name: [name, "grün", 1.5, None]}
    write_json(tmp_path / "a.json", data)
    assert json.loads((tmp_path / "a.json").read_bytes().decode("utf-8")) == data
    shown = "gr\\udcfcn\\.jpg"
    assert printable(data) == {shown: [shown, "grün", 1.5, None]}
    assert printable((name, True)) == [shown, True]


def test_animations_last_as_long_as_they_are_told(tmp_path: Path) -> None:
    frames = [np.full((6, 9, 3), level, np.uint8) for level in (0, 100, 200)]
    frames[1][0, 0] = (250, 30, 30)
    write_animation(tmp_path / "new" / "a.gif", iter(frames), 80, 900)
    with Image.open(tmp_path / "new" / "a.gif") as film:
        shown, durations = [], []
        for n in range(3):
            film.seek(n)
            durations.append(film.info["duration"])
            shown.append(np.asarray(film.convert("RGB")))
        assert film.info["loop"] == 0  # for ever
    assert durations == [80, 80, 900]
    np.testing.assert_array_equal(shown, frames)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.gif"]
