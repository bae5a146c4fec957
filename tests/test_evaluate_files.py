"""Exported files are scored as checkpoints are."""

import json
from dataclasses import replace
from pathlib import Path

import bright
import numpy as np
import pytest
from bright_files import ABOUT, write_onnx, write_program

from visionkit import cli, evaluate
from visionkit.about import About, Sizes
from visionkit.compose import compose
from visionkit.data.index import DataInfo
from visionkit.errors import ConfigError
from visionkit.runtimes.exported import ExportedRuntime
from visionkit.subjects import FileSubject

BOXES = ([4, 8, 20, 30], [30, 0, 34, 64], [10, 10, 20, 20])
"""``x y w h`` of what is bright, a picture each."""


@pytest.fixture(scope="module")
def lamps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A COCO-format set: three pictures with a bright box, the last of them annotated elsewhere."""
    root = tmp_path_factory.mktemp("lamps")
    images, annotations = [], []
    for n, (x, y, width, height) in enumerate(BOXES):
        picture = bright.picture((x, y, x + width, y + height), (64, 64))
        bright.save(root / "test" / f"{n}.png", picture)
        images.append({"id": n, "file_name": f"{n}.png", "width": 64, "height": 64})
        box = [x, y, width, height] if n < 2 else [40, 40, 10, 10]
        annotations.append(
            {"id": n + 1, "image_id": n, "category_id": 5, "bbox": box, "area": 100, "iscrowd": 0}
        )
    names = [{"id": 5 + k, "name": name} for k, name in enumerate(ABOUT.classes)]
    content = {"images": images, "annotations": annotations, "categories": names}
    (root / "annotations").mkdir()
    (root / "annotations" / "instances_test.json").write_text(json.dumps(content))
    return root


def told(root: Path, **changes) -> About:
    """What a file says that was trained on such a set."""
    data = {
        "_target_": "visionkit.data.datamodule.DataModule",
        "layout": {"_target_": "visionkit.data.coco.read_coco", "_partial_": True},
        "root": str(root),
        "image_size": 64,
        "batch_size": 2,
        "num_workers": 0,
    }
    evaluator = {"_target_": "visionkit.metrics.coco.CocoEvaluator", "_partial_": True}
    return replace(ABOUT, data=data, evaluator=evaluator, **changes)


def scored(file: Path, run_dir: Path, *more: str) -> dict[str, float]:
    return evaluate.run(compose([f"checkpoint={file}", f"run_dir={run_dir}", *more], "evaluate"))


def test_a_file_is_scored_on_the_data_that_it_names(lamps, tmp_path, capsys):
    file = write_onnx(tmp_path / "model.onnx", told(lamps))
    figures = scored(file, tmp_path / "out")
    # scores are the shares of the canvas: 600, 256 and 100 pixels of 4096; the worst is the miss
    assert figures["AP"] == pytest.approx(67 / 101)
    assert figures["AR1"] == pytest.approx(2 / 3)
    assert figures["AP/moon"] == -1
    assert figures["images"] == 3
    assert "loss" not in figures
    assert figures["F1"] == pytest.approx(0.8)  # the details are there, too: 2 of 2, and 2 of 3
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert written["AP"] == figures["AP"]
    assert (tmp_path / "out" / "predictions.json").is_file()
    assert f"{file} on the test split" in capsys.readouterr().out
    # a file that takes one picture at a time, on its canvas alone
    single = told(lamps, sizes=Sizes(batch=False, canvas=False))
    again = scored(write_onnx(tmp_path / "single.onnx", single), tmp_path / "single")
    assert again["AP"] == figures["AP"]
    program = write_program(tmp_path / "model.pt2", told(lamps))
    assert scored(program, tmp_path / "program")["AP"] == figures["AP"]


def refusal(capsys, *words: str) -> str:
    assert cli.main(["evaluate", *words]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_what_does_not_suit_a_file(lamps, folders, tmp_path, capsys):
    file = write_onnx(tmp_path / "model.onnx", told(lamps, sizes=Sizes(canvas=False)))
    words = [f"checkpoint={file}", f"run_dir={tmp_path}/out"]
    assert "predict.iou" in refusal(capsys, *words, "predict.iou=0.5")
    assert "64 x 64 alone" in refusal(capsys, *words, "data.image_size=96")
    line = refusal(capsys, *words, "data=folder", f"data.root={folders}", "split=val")
    assert "this set is labelled with classes" in line
    assert "model.onnx wants boxes" in line
    other = write_onnx(tmp_path / "other.onnx", told(lamps, classes=("sun", "moon")))
    line = refusal(capsys, f"checkpoint={other}", f"run_dir={tmp_path}/out")
    assert "has the classes lamp, moon, the file has sun, moon" in line
    bare = write_onnx(tmp_path / "bare.onnx", replace(told(lamps), evaluator=None))
    line = refusal(capsys, f"checkpoint={bare}", f"run_dir={tmp_path}/out")
    assert "its task has no evaluator; give another file" in line
    assert "there is no file 'gone.onnx'" in refusal(capsys, "checkpoint=gone.onnx")


class Silent(ExportedRuntime):
    def run(self, inputs):
        raise AssertionError("nothing is asked")


@pytest.mark.parametrize(
    ("says", "kind", "more", "problem"),
    [
        ("boxes", "boxes", {}, None),
        ("boxes", "masks", {}, "wants boxes"),
        ("masks", "masks", {}, None),
        ("pictures", "pairs", {}, None),
        ("pictures", "unpaired", {}, None),
        ("pictures", "images", {}, "wants pairs or unpaired"),
        ("noise", "images", {}, None),
        ("noise", "classes", {"conditional": True}, None),
        ("noise", "images", {"conditional": True}, "wants classes;"),
        ("noise", "pairs", {}, "wants classes or images"),
        ("classes", "classes", {}, None),
        ("classes", "several", {}, "may have several classes"),
        ("classes", "several", {"exclusive": False}, None),
    ],
)
def test_kinds_of_data(says, kind, more, problem):
    about = replace(ABOUT, says=says, **more)
    subject = FileSubject(Silent(about, "model.onnx"), about, "model.onnx")
    exclusive = kind != "several"
    kind = kind if exclusive else "classes"
    info = DataInfo(("lamp", "moon"), (64, 64), kind, lambda: np.zeros(2, np.int64), exclusive)
    if problem is None:
        subject.check(info)
        return
    with pytest.raises(ConfigError, match=problem):
        subject.check(info)
