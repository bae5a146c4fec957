"""Whole runs, small: what they write, that they can be evaluated, resumed and interrupted."""

import json
import math

import pytest
import torch
from runs import assert_same, interrupted, states
from tiny import make_coco, tiny_config

from visionkit import checkpoint, evaluate, train
from visionkit.compose import compose
from visionkit.errors import CheckpointError


@pytest.fixture(scope="module")
def finished(squares, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    metrics = train.run(tiny_config(squares, folder, "trainer.max_epochs=3", "seed=1"))
    return folder, metrics


def test_a_run_writes_all_it_should(finished):
    folder, metrics = finished
    names = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    expected = {
        "config.yaml",
        "metrics.json",
        "predictions.json",
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
        "samples/epoch_001.jpg",
        "samples/epoch_003.jpg",
    }
    assert expected <= names
    assert any(n.endswith(".png") for n in names), "no plots"
    assert not [n for n in names if ".tmp" in n]
    written = json.loads((folder / "metrics.json").read_text())
    assert written == pytest.approx(metrics, nan_ok=True)
    assert {"AP", "AP50", "AR100", "AP/red", "AP/green", "loss", "seconds"} <= written.keys()
    assert written["images"] == 4
    assert math.isfinite(written["loss"])


def test_evaluation_gives_what_training_printed_to_the_last_digit(finished, tmp_path):
    folder, metrics = finished
    best = folder / "checkpoints" / "best.ckpt"
    words = [f"checkpoint={best}", "split=val", f"run_dir={tmp_path}"]
    again = evaluate.run(compose(words, "evaluate"))
    assert {k: v for k, v in again.items() if k != "seconds"} == {
        k: v for k, v in metrics.items() if k != "seconds"
    }
    assert (tmp_path / "metrics.json").is_file()


def test_best_holds_the_weights_that_scored_best(squares, tmp_path):
    cfg = tiny_config(squares, tmp_path, "trainer.max_epochs=4", "ema.decay=0.5", "logger=csv")
    cfg.optimizer.lr = 0.02
    metrics = train.run(cfg)
    rows = (tmp_path / "csv" / "metrics.csv").read_text().splitlines()
    column = rows[0].split(",").index("val/AP")
    scores = [float(r.split(",")[column]) for r in rows[1:] if r.split(",")[column]]
    assert len(scores) == 4
    assert len(set(scores)) > 1, "a test of nothing: every epoch scored alike"
    last = checkpoint.read(tmp_path / "checkpoints" / "last.ckpt")["callbacks"]["Checkpoints"]
    assert last["best"] == max(scores)
    assert last["best_epoch"] == scores.index(max(scores))
    assert metrics["AP"] == pytest.approx(max(scores), abs=1e-6)


@pytest.mark.parametrize(("where", "workers"), [("batches", 0), ("before", 1)])
def test_resume_equals_a_run_that_never_stopped(squares, tmp_path, finished, where, workers):
    more = f"data.num_workers={workers}"
    first = tiny_config(squares, tmp_path, "trainer.max_epochs=3", "seed=1", more)
    interrupted(first, **{where: 3})  # in the middle of the second epoch's two batches
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["interrupted"] == 1
    content = checkpoint.read(tmp_path / "checkpoints" / "last.ckpt")
    assert content["global_step"] == 3
    again = tiny_config(squares, tmp_path, "trainer.max_epochs=3", "seed=1", "resume=auto", more)
    metrics = train.run(again)
    assert "interrupted" not in metrics
    assert checkpoint.read(tmp_path / "checkpoints" / "last.ckpt")["global_step"] == 6
    assert_same(states(tmp_path), states(finished[0]))


def test_resume_after_an_epoch_equals_a_run_that_never_stopped(squares, tmp_path, finished):
    words = ["trainer.max_epochs=3", "seed=1", "data.num_workers=1"]
    interrupted(tiny_config(squares, tmp_path, *words), before=4)
    last = tmp_path / "checkpoints" / "last.ckpt"
    train.run(tiny_config(squares, tmp_path / "b", *words, f"resume={last}"))
    assert_same(states(tmp_path / "b"), states(finished[0]))


def test_resume_after_a_stop_in_validation(squares, tmp_path, finished):
    interrupted(tiny_config(squares, tmp_path, "trainer.max_epochs=3", "seed=1"), validation=1)
    again = tiny_config(squares, tmp_path, "trainer.max_epochs=3", "seed=1", "resume=auto")
    train.run(again)
    assert_same(states(tmp_path), states(finished[0]))


def test_a_stop_is_marked_where_nothing_can_be_scored(tmp_path):
    root = make_coco(tmp_path / "set", {"train": 8})
    interrupted(tiny_config(root, tmp_path / "run"), batches=1)
    figures = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert figures == {"images": 0, "seconds": 0, "interrupted": 1}


def test_a_stop_of_several_ranks_scores_nothing(squares, tmp_path, monkeypatch, capsys):
    """The others are gone, and would have to help."""
    job = train.Run(tiny_config(squares, tmp_path, "callbacks=null", "trainer.max_epochs=1"))
    assert job.fit()
    monkeypatch.setattr(type(job.trainer), "world_size", 2)
    monkeypatch.setattr(job, "finish", None)
    job.stop()
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"interrupted": 1}
    last = tmp_path / "checkpoints" / "last.ckpt"
    assert f"stopped; go on with resume={last}" in "".join(capsys.readouterr().out.split("\n"))


def test_a_finished_run_can_be_resumed_for_more_epochs_elsewhere(squares, tmp_path, finished):
    last = finished[0] / "checkpoints" / "last.ckpt"
    words = ["trainer.max_epochs=3", "seed=1", f"resume={last}"]
    metrics = train.run(tiny_config(squares, tmp_path, *words))  # nothing left to train
    assert metrics["AP"] == finished[1]["AP"]
    words[0] = "trainer.max_epochs=4"
    train.run(tiny_config(squares, tmp_path, *words))
    assert checkpoint.read(tmp_path / "checkpoints" / "last.ckpt")["global_step"] == 8


@pytest.mark.parametrize(
    ("which", "words", "message"),
    [
        ("best.ckpt", [], "not the state of its training"),
        ("last.ckpt", ["head.bins=4"], "are not this model's"),
        ("garbage.ckpt", [], "not a checkpoint, or a damaged one"),
    ],
)
def test_a_checkpoint_that_cannot_be_resumed_is_refused(
    squares, tmp_path, finished, which, words, message
):
    file = finished[0] / "checkpoints" / which
    if which == "garbage.ckpt":
        file = tmp_path / which
        file.write_bytes(b"no checkpoint")
    with pytest.raises(CheckpointError, match=message) as caught:
        train.run(tiny_config(squares, tmp_path / "run", f"resume={file}", *words))
    assert "\n" not in str(caught.value)


def test_early_stopping(squares, tmp_path):
    words = ["callbacks=early_stopping", "callbacks.early_stopping.patience=1"]
    cfg = tiny_config(squares, tmp_path, *words, "trainer.max_epochs=20", "optimizer.lr=1e-9")
    train.run(cfg)
    content = checkpoint.read(tmp_path / "checkpoints" / "last.ckpt")
    assert content["epoch"] < 5


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_other_optimizers_penalties_and_absent_parts(squares, tmp_path, optimizer):
    words = [f"optimizer={optimizer}", "task.l1=1e-5", "task.l2=1e-4", "model.channels_last=true"]
    words += ["scheduler=null", "augment=null", "callbacks=null", "ema.decay=0"]
    cfg = tiny_config(squares, tmp_path, *words, "trainer.max_epochs=1")
    assert math.isfinite(train.run(cfg)["loss"])
    assert "ema" not in checkpoint.read(tmp_path / "checkpoints" / "last.ckpt")


def test_max_steps_ends_the_run_and_its_schedule(squares, tmp_path):
    cfg = tiny_config(squares, tmp_path, "trainer.max_steps=3", "trainer.max_epochs=100")
    job = train.Run(cfg)
    assert job.fit()
    assert job.trainer.global_step == 3
    assert job.trainer.train_dataloader.batch_sampler.epochs == 2
    assert job.trainer.lr_scheduler_configs[0].scheduler.get_last_lr()[0] < 0.1 * cfg.optimizer.lr


def test_a_set_without_val_and_test_is_trained_on(tmp_path):
    root = make_coco(tmp_path / "set", {"train": 4})
    metrics = train.run(tiny_config(root, tmp_path / "run", "trainer.max_epochs=1"))
    assert metrics["images"] == 0
    assert (tmp_path / "run" / "metrics.json").exists()
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()


def test_a_run_starts_from_another_checkpoint(squares, tmp_path, finished):
    best = finished[0] / "checkpoints" / "best.ckpt"
    job = train.Run(tiny_config(squares, tmp_path, f"model.weights={best}"))
    theirs = checkpoint.load_model(best).model.state_dict()
    assert all(torch.equal(v, theirs[k]) for k, v in job.model.state_dict().items())


@pytest.mark.slow
def test_a_compiled_run(squares, tmp_path):
    words = ["model.compile=true", "trainer.max_epochs=1"]
    assert math.isfinite(train.run(tiny_config(squares, tmp_path, *words))["loss"])


def test_the_last_epoch_is_validated_whatever_the_interval(squares, tmp_path):
    words = ["trainer.max_epochs=3", "trainer.check_val_every_n_epoch=2", "logger=csv"]
    train.run(tiny_config(squares, tmp_path, *words))
    written = sorted(p.name for p in (tmp_path / "samples").iterdir())
    assert written == ["epoch_002.jpg", "epoch_003.jpg"]
    last = checkpoint.read(tmp_path / "checkpoints" / "last.ckpt")
    assert last["callbacks"]["Checkpoints"]["best_epoch"] in (1, 2)
