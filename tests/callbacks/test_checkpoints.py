"""Checkpoint files: whole or not at all, and readable anywhere."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch.trainer.states import TrainerFn
from tiny import CLASSES, CSP, HEAD, NECK, make_batch, make_model

from visionkit import checkpoint
from visionkit.callbacks.checkpoints import Checkpoints
from visionkit.errors import CheckpointError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def content():
    model = make_model()
    about = checkpoint.entry(
        task="detection",
        spec={"backbone": CSP | {"weights": "default"}, "neck": NECK, "head": HEAD},
        model=model,
        classes=CLASSES,
        canvas=(64, 96),
        data={"root": "here"},
        evaluator=None,
        predict={"confidence": 0.25, "iou": 0.6, "max_detections": 300},
    )
    state = {f"model.{k}": v for k, v in model.state_dict().items()}
    return {"state_dict": state, "visionkit": about}


def full_disk(*args):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_checkpoint_whole(tmp_path, monkeypatch, content, where):
    target = tmp_path / "deep" / "last.ckpt"
    plugin = checkpoint.AtomicCheckpointIO()
    plugin.save_checkpoint(content, target)
    before = target.read_bytes()
    monkeypatch.setattr(os, where, full_disk)
    with pytest.raises(CheckpointError, match=r"No space left on device.*whole") as caught:
        plugin.save_checkpoint({"other": 1}, target)
    assert "\n" not in str(caught.value)
    assert target.read_bytes() == before
    assert os.listdir(target.parent) == ["last.ckpt"]


def test_a_disk_that_fills_while_torch_writes(tmp_path, monkeypatch, content):
    real = torch.save

    def save(obj, stream):
        real({"part": torch.zeros(10)}, stream)
        full_disk()

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(CheckpointError, match="No space left on device"):
        checkpoint.AtomicCheckpointIO().save_checkpoint(content, tmp_path / "last.ckpt")
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_really_full_device(tmp_path, monkeypatch, content):
    monkeypatch.setattr(Path, "open", lambda self, mode: open("/dev/full", mode))  # noqa: SIM115
    with pytest.raises(CheckpointError, match="No space left on device"):
        checkpoint.AtomicCheckpointIO().save_checkpoint(content, tmp_path / "last.ckpt")


def test_an_interrupt_while_saving_leaves_nothing_behind(tmp_path, monkeypatch, content):
    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.AtomicCheckpointIO().save_checkpoint(content, tmp_path / "last.ckpt")
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made(tmp_path, content):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="can't be written"):
        checkpoint.AtomicCheckpointIO().save_checkpoint(content, tmp_path / "file" / "a.ckpt")


def test_a_checkpoint_is_the_model_anywhere(tmp_path, content):
    """A fresh process in another folder rebuilds the same model from the file alone."""
    file = tmp_path / "best.ckpt"
    checkpoint.AtomicCheckpointIO().save_checkpoint(content, file)
    loaded = checkpoint.load_model(file)
    assert (loaded.classes, loaded.canvas, loaded.task) == (CLASSES, (64, 96), "detection")
    images = make_batch([[]], [[]]).images
    with torch.no_grad():
        expected = make_model().eval()(images).many.classes
        assert torch.equal(loaded.model(images).many.classes, expected)
    code = (
        "import numpy as np, visionkit; p = visionkit.load('best.ckpt'); "
        "print(p.classes, len(p.predict([np.zeros((9, 7, 3), np.uint8)])))"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "('red', 'green') 1"


def test_averaged_weights_are_the_ones_used(content):
    average = {k.removeprefix("model."): v + 1 for k, v in content["state_dict"].items()}
    state = checkpoint.model_state(content | {"ema": {"model": average}})
    assert torch.equal(state["backbone.stem.0.weight"], average["backbone.stem.0.weight"])
    assert checkpoint.model_state(content).keys() == state.keys()


def test_a_new_model_starts_from_a_checkpoint_with_other_classes(tmp_path, content):
    file = tmp_path / "best.ckpt"
    about = content["visionkit"]
    other = about | {"preprocess": about["preprocess"] | {"mean": [0.1, 0.2, 0.3]}}
    torch.save(content | {"visionkit": other}, file)
    model = make_model(5, seed=1)
    prior = model.head.many.classes[0][-1].bias.clone()
    checkpoint.start_from(model, file)
    own = model.state_dict()
    key = "head.many.sides.0.2.weight"
    assert torch.equal(own[key], content["state_dict"][f"model.{key}"])
    assert torch.equal(model.head.many.classes[0][-1].bias, prior)
    assert model.normalise.mean.flatten().tolist() == pytest.approx([25.5, 51, 76.5])


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError()])
def test_several_ranks_save_nothing_when_one_is_stopped(tmp_path, error):
    checkpoints = Checkpoints(tmp_path, "loss", "min")
    trainer = SimpleNamespace(global_step=3, world_size=2)
    checkpoints.on_exception(trainer, None, error)  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == []


def test_all_ranks_save_the_best_if_the_first_has_lost_it(tmp_path, monkeypatch):
    (tmp_path / "best.ckpt").touch()
    checkpoints: Any = Checkpoints(tmp_path, "loss", "min")
    checkpoints.best, checkpoints.best_epoch = 0.1, 1
    saved = []
    monkeypatch.setattr(checkpoints, "_save_best", lambda *args: saved.append(args))
    for lost in (False, True):
        trainer: Any = SimpleNamespace(
            sanity_checking=False,
            state=SimpleNamespace(fn=TrainerFn.FITTING),
            callback_metrics={"loss": 0.2},
            current_epoch=2,
            strategy=SimpleNamespace(broadcast=lambda mine, first=lost: first),
        )
        checkpoints.on_validation_end(trainer, None)
        assert len(saved) == lost
