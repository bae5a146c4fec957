"""Bad input to the command line: exit code 2, one line for each problem, nothing lost."""

import errno
import json
import logging
import os
import sys
from pathlib import Path
from shutil import copytree, rmtree

import cv2
import numpy as np
import pytest
import torch
from tiny import make_coco

from visionkit import cli

RESNET = [
    *["task=detection", "data=coco", "data.image_size=64", "data.batch_size=4"],
    *["data.num_workers=0", "neck.out_channels=[16,24,32]", "head.bins=8", "trainer=cpu"],
    *["trainer.max_epochs=1", "logger=none", "callbacks=null", "ema.ramp=2", "backbone=resnet18"],
]
TINY = [*RESNET[:-1], "backbone.width=0.125", "backbone.depth=0.1"]


def words(root, folder, *more, base=TINY):
    return ["train", *base, f"data.root={root}", f"run_dir={folder}", *more]


@pytest.fixture(autouse=True)
def _plain_command_line(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")  # the command line sets it: take it back
    monkeypatch.setattr(logging.getLogger("visionkit"), "handlers", [])  # one of this test's stderr


@pytest.fixture
def told(capsys, monkeypatch):
    """Run a command that must fail as a person's mistake; return what it says of it, by line."""

    def run(arguments: list[str]) -> list[str]:
        monkeypatch.setattr(sys, "argv", ["visionkit", *map(str, arguments)])
        capsys.readouterr()
        assert cli.main() == 2
        lines = capsys.readouterr().err.splitlines()
        assert lines
        assert [line for line in lines if not line.startswith("error: ")] == []
        assert not any("Traceback" in line for line in lines)
        return lines

    return run


def one(lines: list[str]) -> str:
    assert len(lines) == 1, lines
    return lines[0]


@pytest.fixture(scope="module")
def finished(squares, tmp_path_factory):
    """The folder of a finished run of one epoch."""
    folder = tmp_path_factory.mktemp("bad") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["visionkit", *words(squares, folder)])
        assert cli.main() == 0
    return folder


CHECKED = {
    "bakcbone=csp": "bakcbone: there is no such key or group; did you mean 'backbone'?",
    "model=yolo_xxl": "model: there is no 'yolo_xxl'; did you mean 'yolo_l'? (there are: ",
    "trainer.max_epoch=3": "trainer.max_epoch: there is no such key or group; did you mean",
    "seed=abc": "seed: expected an integer, got 'abc'",
    "predict.confidence=2": "predict.confidence: must be between 0 and 1, got 2",
    "ema.decay=-1": "ema.decay: must be between 0 and 1, got -1",
    "data.batch_size=0": "data.batch_size: must be at least 1, got 0",
    "data.num_workers=-1": "data.num_workers: expected an integer (at least 0) or 'auto', got -1",
    "data.root=/no/where": "data.root: there is no '/no/where'; give the folder",
    "optimizer.lr=-1": "optimizer.lr: must be at least 0, got -1",
    "+backbone.colour=blue": "backbone.colour: CspBackbone has no such argument; there are",
    "backbone.weights=/no/w.pth": "backbone.weights: there is no file '/no/w.pth'; check the path",
    "neck.out_channels=[0,1,2]": "neck.out_channels: must be at least 1, got 0",
    "head._target_=os.system": "head._target_: os.system is in no package that may be built from",
    "task._target_=visionkit.nope.X": "task._target_: visionkit has no 'nope'",
    "augment.mosaic=3": "augment.mosaic: must be between 0 and 1, got 3",
    "trainer.accumulate_grad_batches=0": "trainer.accumulate_grad_batches: must be at least 1",
    "trainer.precision=17": "trainer.precision: 17 is not one of 64, 32",
    "resume=/no/last.ckpt": "resume: there is no file '/no/last.ckpt'; check the path",
}
"""Wrong words, and how the line about each begins."""


def test_wrong_settings_are_told_all_at_once(tmp_path, told):
    lines = told(words(tmp_path, tmp_path / "run", *CHECKED))
    missing = [b for b in CHECKED.values() if sum(x.startswith(f"error: {b}") for x in lines) != 1]
    assert missing == []
    assert len(lines) == len(CHECKED), lines
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("data.image_size=4", ["data.image_size: 4 must be N or [H, W]", "from 8"]),
        ("neck.strides=[1,2,4]", ["neck: no feature map at stride 1", "choose other strides"]),
        ("trainer.devices=9999", ["trainer.devices: 9999 asked for", "give at most"]),
        ("+callbacks.x._target_=torch.nn.ReLU", ["callbacks.x._target_: gives a ReLU", "Callback"]),
        ("evaluator.max_detections=[0]", ["evaluator: CocoEvaluator", "must be ascending counts"]),
        ("+trainer.val_check_interval=99", ["trainer: `val_check_interval` (99) must be less"]),
        ("trainer.max_epochs=0", ["trainer: nothing was trained", "give it more epochs"]),
    ],
)
def test_settings_that_only_building_finds_wrong(squares, tmp_path, told, word, says):
    line = one(told(words(squares, tmp_path / "run", word)))
    assert [text for text in says if text not in line] == []


def test_no_task_and_no_gpu(squares, tmp_path, told):
    assert "task: missing; choose one with task=..." in one(told(["train"]))
    assert "did you mean 'detection'?" in one(told(["train", "task=detecton"]))
    if not torch.cuda.is_available():
        line = one(told(words(squares, tmp_path, "trainer.accelerator=gpu")))
        assert "trainer.accelerator: gpu, but torch finds no GPU" in line
        assert "choose trainer=cpu" in line


def edited(change):
    """Return a function that changes the training split's annotations."""

    def edit(root: Path) -> None:
        file = root / "annotations" / "instances_train.json"
        content = json.loads(file.read_text())
        change(content)
        file.write_text(json.dumps(content))

    return edit


def overwritten(name: str, data: bytes):
    return lambda root: (root / name).write_bytes(data)


TRAIN = "annotations/instances_train.json"
WAY_OUT = ", or go on without it by data.defects=drop"
JPEG = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))[1]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (overwritten(TRAIN, b'{"images": [1,'), [TRAIN, "broken JSON at line 1", "mend"]),
        (
            edited(lambda c: c["annotations"][0].update(category_id=99)),
            [TRAIN, "id 99, which", WAY_OUT],
        ),
        (edited(lambda c: c.update(images=[])), [TRAIN, "lists no images", "remove the file"]),
        (
            edited(lambda c: c.update(annotations=[])),
            ["train split: no picture has a box to"],
        ),
        (lambda root: (root / TRAIN).unlink(), ["no train split; there are val", "add it"]),
        (lambda root: rmtree(root / "annotations"), ["no COCO data set", "set data.root to"]),
        (
            edited(lambda c: c["categories"][0].update(name="blue")),
            ["only val has red", "same", WAY_OUT],
        ),
        (lambda root: (root / "train/1.png").unlink(), [TRAIN, "missing, first '1.png'", WAY_OUT]),
        (overwritten("train/1.png", b""), ["train/1.png: the file is empty", WAY_OUT]),
        (overwritten("train/1.png", b"text"), ["train/1.png: not a picture", "replace or remove"]),
        (overwritten("val/1.png", JPEG[:2000].tobytes()), ["val/1.png: truncated JPEG", WAY_OUT]),
    ],
)
def test_data(tmp_path, told, spoil, says):
    root = make_coco(tmp_path / "set")
    spoil(root)
    line = one(told(words(root, tmp_path / "run")))
    assert [text for text in [str(root), *says] if text not in line] == []


def test_training_goes_on_without_defects_if_asked_to(tmp_path, monkeypatch, caplog, capsys):
    root = make_coco(tmp_path / "set")
    edited(lambda c: c["annotations"][0].update(category_id=99))(root)
    edited(lambda c: c["annotations"][2].update(bbox=[1, 2, float("nan"), 4]))(root)
    edited(lambda c: c["annotations"].append(c["annotations"][6] | {"id": 99}))(root)
    (root / "train" / "5.png").write_bytes(JPEG[:2000].tobytes())
    (root / "val" / "1.png").unlink()
    arguments = words(root, tmp_path / "run", "data.defects=drop")
    monkeypatch.setattr(sys, "argv", ["visionkit", *map(str, arguments)])
    assert cli.main() == 0
    said = caplog.text + capsys.readouterr().err  # whichever handler there is
    for text in (
        "left out 1 x undeclared-category",
        "left out 1 x truncated",
        "left out 1 x missing-file",
        "1 annotation without a usable bbox",
        "1 annotation repeating another's",
    ):
        assert text in said
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["images"] == 3
    assert np.isfinite(metrics["loss"])


def test_a_picture_that_breaks_in_a_loading_process_loses_no_step(tmp_path, told):
    root = make_coco(tmp_path / "set", {"train": 8})
    (root / "train" / "5.png").write_bytes(JPEG[:2000].tobytes())
    more = ["data.batch_size=1", "data.num_workers=1", "seed=3", "augment=null"]
    line = one(told(words(root, tmp_path / "run", *more)))
    assert line.startswith(f"error: {root}/train/5.png: truncated JPEG; replace the file")
    content = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert content["global_step"] > 0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"hello", "torch didn't write it"),
        (b"", "the file is empty"),
        (None, "the file is truncated"),
        ({"a": 1}, "it has no visionkit entry"),
        ({"visionkit": {"format": 1}}, "it lacks task, spec"),
    ],
)
def test_checkpoints_of_other_kinds(squares, tmp_path, finished, told, content, says):
    file = tmp_path / "a.ckpt"
    if isinstance(content, dict):
        torch.save(content, file)
    else:
        half = (finished / "checkpoints" / "last.ckpt").read_bytes()[:100_000]
        file.write_bytes(half if content is None else content)
    line = one(told(["evaluate", f"checkpoint={file}"]))
    assert f"{file}: " in line
    assert says in line
    weights = words(squares, tmp_path / "run", f"model.weights={file}")
    assert one(told(weights)) == line


@pytest.mark.parametrize(
    ("word", "base", "says"),
    [
        ("resume={run}/best.ckpt", TINY, "not the state of its training; resume from a last.ckpt"),
        ("resume={run}/last.ckpt", RESNET, "are not this model's, such as backbone."),
        ("model.weights={run}/last.ckpt", RESNET, "choose the model that it was trained with"),
        ("backbone.weights={run}/last.ckpt", RESNET, "choose the backbone that the file was made"),
        ("backbone.weights=default", TINY, "no published weights; give none or a file"),
    ],
)
def test_weights_that_do_not_fit(squares, tmp_path, finished, told, word, base, says):
    word = word.format(run=finished / "checkpoints")
    line = one(told(words(squares, tmp_path, word, base=base)))
    assert says in line
    assert "default" in word or word.partition("=")[2] in line


def test_a_run_is_not_continued_as_another(squares, tmp_path, finished, told):
    resume = f"resume={finished}"  # the run's folder will do
    line = one(told(words(squares, tmp_path / "a", resume, "optimizer=sgd")))
    assert "holds the state of another optimizer" in line
    other = make_coco(tmp_path / "set", {"train": 4})
    edited(lambda c: c["categories"][1].update(name="blue"))(other)
    line = one(told(words(other, tmp_path / "b", resume)))
    assert "for the classes red, green, the data have red, blue; resume with the data" in line
    best = finished / "checkpoints" / "best.ckpt"
    line = one(told(["evaluate", f"checkpoint={best}", f"data.root={other}", "split=train"]))
    assert "has the classes red, blue, the checkpoint has red, green" in line
    line = one(told(["evaluate", f"checkpoint={best}", "split=test"]))
    assert f"{squares}: no test split" in line


def test_sources_of_predictions(tmp_path, finished, told, capsys):
    (tmp_path / "empty").mkdir()
    base = ["predict", f"checkpoint={finished}/checkpoints/best.ckpt", f"run_dir={tmp_path}/out"]
    assert "/no/where: no such file or folder; check" in one(told([*base, "source=/no/where"]))
    assert "no picture in this folder" in one(told([*base, f"source={tmp_path}/empty"]))
    assert "matches no picture" in one(told([*base, f"source={tmp_path}/*.gif"]))
    (tmp_path / "empty" / "a.png").write_bytes(b"no picture")
    line = one(told([*base, f"source={tmp_path}/empty"]))
    assert "none of 1 pictures could be read" in line
    cv2.imwrite(str(tmp_path / "empty" / "b.png"), np.zeros((40, 40, 3), np.uint8))
    assert cli.main([*base, f"source={tmp_path}/empty"]) == 0
    assert "warning: " in capsys.readouterr().out
    assert (tmp_path / "out" / "b.png").is_file()


def test_folders_that_cannot_be_made(squares, tmp_path, finished, told):
    file = tmp_path / "file"
    file.touch()
    best = f"checkpoint={finished}/checkpoints/best.ckpt"
    for arguments in (
        words(squares, file / "run"),
        [*words(squares, file / "run", "seed=1,2"), "--multirun"],
        ["evaluate", best, "split=val", f"run_dir={file}/run"],
        ["predict", best, f"source={squares}/val", f"run_dir={file}/run"],
    ):
        line = one(told(arguments))
        assert f"{file}/run" in line
        assert "Not a directory" in line


@pytest.mark.parametrize("full", ["torch.save", "os.fsync"])
def test_a_full_disk_leaves_the_old_files_whole(
    squares, tmp_path, finished, told, monkeypatch, full
):
    def fail(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    run = copytree(finished, tmp_path / "run")
    monkeypatch.setattr(full, fail)
    line = one(told(words(squares, run, "resume=auto", "trainer.max_epochs=2")))
    assert f"{run}/" in line
    assert "No space left on device" in line
    for name in ("checkpoints/last.ckpt", "checkpoints/best.ckpt"):
        assert (run / name).read_bytes() == (finished / name).read_bytes()
    old, new = (json.loads((d / "metrics.json").read_text()) for d in (finished, run))
    assert new | {"interrupted": 0} == old | {"interrupted": 0}  # it wasn't to end there
    assert not list(run.rglob(".*.tmp"))


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("experiment/mine.yaml", b"seed: [1\n  x: {", ["mine.yaml, line 2: broken YAML", "mend"]),
        ("experiment/mine.yaml", b"run_dir: caf\xe9\n", ["isn't UTF-8 text", "save it as UTF-8"]),
        ("experiment/mine.yaml", b"# @package _global_\nsede: 3\n", ["did you mean 'seed'"]),
        ("optimizer/mine.yaml", b"lr: 0.1\n", ["optimizer._target_: missing", "names the class"]),
    ],
)
def test_a_persons_own_yaml(squares, tmp_path, told, file, content, says):
    path = tmp_path / "conf" / file
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    more = [f"{path.parent.name}=mine", "--config-dir", tmp_path / "conf"]
    line = one(told(words(squares, tmp_path / "run", *more)))
    assert [text for text in says if text not in line] == []
