"""Runs that were killed go on as if they never had been; `resume=auto` finds what to go on with."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import lightning
import pytest
from kills import assert_alike, left, unbroken
from small_gans import make_images, make_sides, small_run
from small_joint import SMALL, joint_config, make_joint_set
from small_masks import make_masks
from test_segmentation import tiny_segmenter
from tiny import tiny_classifier, tiny_config

from visionkit import train
from visionkit.train import Run

STEPS = "checkpoints.every_n_train_steps=1"
WORDS = ("trainer.max_epochs=3", STEPS, "logger=csv", "trainer.log_every_n_steps=1")


@pytest.fixture(autouse=True, scope="module")
def _no_plots():
    """They take longer than the training."""
    real = train.make_evaluator

    def made(*args: Any) -> Any:
        evaluator = real(*args)
        evaluator.report = lambda folder: None
        return evaluator

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "make_evaluator", made)
        yield


class StopAt(lightning.Callback):
    """Presses Ctrl-C before a batch of an epoch."""

    def __init__(self, epoch: int, batch: int) -> None:
        self.where = (epoch, batch)

    def on_train_batch_start(self, trainer: lightning.Trainer, module: Any, *args: Any) -> None:
        if (trainer.current_epoch, args[1]) == self.where:
            raise KeyboardInterrupt


def stopped(cfg: Any, epoch: int, batch: int) -> None:
    """A run until Ctrl-C."""
    job = Run(cfg)
    job.trainer.callbacks.append(StopAt(epoch, batch))
    assert not job.fit()
    job.finish(interrupted=True)


def test_auto_goes_on_in_the_folder_of_the_newest_unfinished_run(squares: Path, tmp_path: Path):
    settings = ("logger=csv", "trainer.max_epochs=3")
    stopped(tiny_config(squares, tmp_path / "runs" / "a", *settings), 1, 0)

    other = Run(tiny_config(squares, tmp_path / "runs" / "b", *settings, "resume=auto", "seed=1"))
    assert other.resume is None  # another configuration

    second = Run(tiny_config(squares, tmp_path / "runs" / "b", *settings, "resume=auto"))
    assert second.folder == tmp_path / "runs" / "a"
    assert [str(log.save_dir) for log in second.trainer.loggers] == [str(second.folder)]
    assert second.fit()
    assert not (tmp_path / "runs" / "b").exists()
    assert {p.name for p in (second.folder / "csv").iterdir()} == {"metrics.csv"}


MOMENTS = ("batch 1", "batch 3", "validation 1", "epoch 1", "epoch 2")


@pytest.fixture(scope="module")
def whole(squares, tmp_path_factory):
    """The folder of an unbroken detection run, beside what kills would have left of it."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    return unbroken(tiny_config(squares, folder, *WORDS), *MOMENTS)


@pytest.mark.parametrize("moment", MOMENTS[:-1])
def test_a_killed_run_ends_like_one_never_killed(squares, tmp_path, whole, moment, caplog):
    killed = left(whole, moment, tmp_path)
    with caplog.at_level(logging.WARNING, "visionkit"):
        train.run(tiny_config(squares, killed, *WORDS, "resume=auto"))
    assert_alike(whole, killed)
    fresh = f"resume: {killed}: its run has no checkpoint yet; it starts afresh"
    assert (fresh in caplog.messages) == (moment == "batch 1")


MANY = {
    "classification": ("head.calibrate=true", "trainer.accumulate_grad_batches=2"),
    "segmentation": ("+trainer.val_check_interval=1",),
    "multitask": ("weighting=uncertainty", *SMALL),
    "dcgan": ("trainer.check_val_every_n_epoch=1", "task.adaptive=0.6", "evaluator.samples=8"),
    "stylegan2": ("trainer.check_val_every_n_epoch=1",),
    "cyclegan": ("trainer.check_val_every_n_epoch=1",),
}
SLOW = ("stylegan2", "cyclegan")
CASES = [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in MANY]


@pytest.mark.parametrize("name", CASES)
def test_runs_of_every_task_go_on_from_the_middle_of_an_epoch(name, folders, tmp_path):
    words = (*MANY[name], STEPS, "trainer.log_every_n_steps=1")
    if name != "stylegan2":  # a loss that isn't taken on each batch is logged again in between
        words += ("logger=csv",)

    def config(run_dir: Path, *more: str) -> Any:
        if name == "classification":
            return tiny_classifier(folders, run_dir, *words, *more)
        if name == "multitask":
            return joint_config(make_set(make_joint_set, tmp_path), run_dir, *words, *more)
        if name == "segmentation":
            return tiny_segmenter(make_set(make_masks, tmp_path), run_dir, *words, *more)
        pictures, sides = make_set(make_images, tmp_path), make_set(make_sides, tmp_path)
        return small_run(name, pictures, sides, run_dir, *words, *more)

    run = unbroken(config(tmp_path / "whole"), "batch 3")
    killed = left(run, "batch 3", tmp_path / "killed")
    train.run(config(killed, "resume=auto"))
    assert_alike(run, killed)


def make_set(make: Any, folder: Path) -> Path:
    root = folder / make.__name__
    return root if root.is_dir() else make(root)


def test_an_interrupt_between_gathered_gradients_loses_none(squares, tmp_path):
    words = ("trainer.max_epochs=2", "trainer.accumulate_grad_batches=2", "data.batch_size=2")
    words += ("callbacks=null",)
    run = unbroken(tiny_config(squares, tmp_path / "whole", *words))
    stopped(tiny_config(squares, tmp_path / "run", *words), 0, 3)  # a step takes two batches
    train.run(tiny_config(squares, tmp_path / "run", *words, "resume=auto"))
    assert_alike(run, tmp_path / "run")


def test_what_a_finished_run_is_told(squares, tmp_path, whole, caplog, monkeypatch):
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    before = (run / "metrics.json").read_text()
    monkeypatch.setattr(Run, "__init__", None)  # nothing is built
    with caplog.at_level(logging.INFO, "visionkit"):
        metrics = train.run(tiny_config(squares, run, *WORDS, "resume=auto"))
    monkeypatch.undo()
    assert caplog.messages == [f"resume: {run}: this run is finished; metrics.json has its figures"]
    assert metrics["AP"] == json.loads(before)["AP"]
    assert (run / "metrics.json").read_text() == before

    more = Run(tiny_config(squares, run, "trainer.max_epochs=4", *WORDS[1:], "resume=auto"))
    assert more.resume == run / "checkpoints" / "last.ckpt"
    assert more.fit()  # and is killed before its scoring
    assert json.loads((run / "metrics.json").read_text())["interrupted"] == 1
    train.run(tiny_config(squares, run, "trainer.max_epochs=4", *WORDS[1:], "resume=auto"))
    assert "interrupted" not in json.loads((run / "metrics.json").read_text())


def test_a_run_that_ended_but_was_not_scored_is_only_scored(squares, tmp_path, whole, monkeypatch):
    killed = left(whole, "epoch 2", tmp_path)
    assert not (killed / "metrics.json").exists()
    steps = []
    task = "visionkit.tasks.supervised.SupervisedTask.training_step"
    monkeypatch.setattr(task, lambda *args: steps.append(args))
    train.run(tiny_config(squares, killed, *WORDS, "resume=auto"))
    assert steps == []
    assert_alike(whole, killed)  # its log, too


def test_early_stopping_that_has_stopped_stays_stopped(squares, tmp_path):
    words = ("callbacks=early_stopping", "callbacks.early_stopping.patience=1")
    words += ("trainer.max_epochs=9", "optimizer.lr=1e-9", "callbacks.samples=null")
    cfg = tiny_config(squares, tmp_path / "run", *words)
    job = Run(cfg)
    assert job.fit()  # and is killed before its scoring
    ended = job.trainer.current_epoch
    assert ended < 8
    again = Run(tiny_config(squares, tmp_path / "run", *words, "resume=auto"))
    assert again.fit()
    assert again.trainer.global_step == job.trainer.global_step
    longer = ("callbacks.early_stopping.patience=3",)
    more = Run(tiny_config(squares, tmp_path / "run", *words, *longer, "resume=auto"))
    assert more.fit()
    assert more.trainer.current_epoch > ended
