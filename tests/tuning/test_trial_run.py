"""A training run as a trial of a study."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import make_folders

from visionkit import train
from visionkit.callbacks.trial import PrunedError, Trial
from visionkit.compose import compose
from visionkit.errors import ConfigError
from visionkit.tuning.request import read_request
from visionkit.tuning.study import Study
from visionkit.tuning.trials import train_words

optuna = pytest.importorskip("optuna")
ABOUT = {"metric": "accuracy", "mode": "max", "epochs": 2, "seed": 0, "gpus": 0}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return make_folders(tmp_path_factory.mktemp("folders"))


@pytest.fixture
def words(folders, tmp_path):
    return [
        *("task=classification", "backbone=lenet", "data=folder", f"data.root={folders}"),
        *("data.image_size=32", "data.batch_size=4", "data.num_workers=0", "trainer=cpu"),
        *("trainer.max_epochs=2", "logger=none", "ema.ramp=2"),
        *("space.optimizer.lr=log(1e-4, 0.1)", f"run_dir={tmp_path / 'a study, with=signs'}"),
        *("pruner.startup=1", "pruner.warmup=0", "trials=2"),
    ]


def begun(words, **about):
    study = Study(read_request(words), ABOUT | about)
    number, _ = study.next()
    return study, number, compose(train_words(study, study.trial(number)))


def test_figures_are_noted_by_epoch(words):
    study, number, cfg = begun(words)
    metrics = train.run(cfg)
    noted = study.trial(number).intermediate_values
    assert list(noted) == [1, 2]
    assert max(noted.values()) == metrics["accuracy"]  # there is no test split
    assert Path(cfg.run_dir) == study.folder_of(number)


def test_every_validation_of_an_epoch_counts(words, monkeypatch):
    seen = []
    note = Trial._note
    monkeypatch.setattr(
        Trial, "_note", lambda self, *given: seen.append(given[::2]) or note(self, *given)
    )
    _, _, cfg = begun([*words, "+trainer.val_check_interval=0.34", "trainer.max_epochs=1"])
    train.run(cfg)
    assert seen == [(1, False), (1, False), (1, True)]  # 3 batches; one judgement


def test_a_run_that_leads_nowhere_ends_unscored(words):
    study, number, cfg = begun(words)
    for _ in range(3):
        study.study.add_trial(
            optuna.trial.create_trial(
                params={"optimizer.lr": 0.01},
                distributions=study.distributions,
                value=2.0,
                intermediate_values={1: 2.0, 2: 2.0},
            )
        )
    with pytest.raises(PrunedError, match=r"accuracy of trial 0 is .* after epoch 1"):
        train.run(cfg)
    trial = study.trial(number)
    assert list(trial.intermediate_values) == [1]
    assert trial.user_attrs == {"pruned": 1}
    folder = study.folder_of(number)
    assert (folder / "checkpoints" / "best.ckpt").is_file()
    assert not (folder / "metrics.json").exists()


def test_a_figure_that_validation_does_not_give(words):
    _, _, cfg = begun([*words, "metric=acuracy", "mode=max"])
    with pytest.raises(ConfigError, match=r"metric: validation gives no 'acuracy'; there are: .*"):
        train.run(cfg)


@pytest.mark.slow  # three processes that load everything
def test_a_search_from_the_command_line(words, tmp_path):
    command = [sys.executable, "-m", "visionkit", "tune", *words, "trials=1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 trial: 1 trained to the end" in done.stdout
    lines = done.stdout.splitlines()
    (again,) = [line for line in lines if line.startswith("to train it again: ")]
    assert shlex.split(again)[4:6] == ["visionkit", "train"]
    folder = tmp_path / "a study, with=signs"
    recipe = compose(["experiment=best"], user_dir=folder)
    assert recipe.task.name == "classification"
    # nothing is left to do
    command = [sys.executable, "-m", "visionkit", "tune", f"run_dir={folder}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "1 trial, of which 1 had begun before" in done.stdout
