"""Whole classification runs, small: the same frame as detection's, another head."""

import json

import numpy as np
import pytest
import torch
from runs import assert_same, interrupted, states
from tiny import tiny_classifier, tiny_config

import visionkit
from visionkit import checkpoint, evaluate, predict, train
from visionkit.compose import compose
from visionkit.errors import ConfigError


@pytest.fixture(scope="module")
def finished(folders, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    words = ["trainer.max_epochs=6", "seed=1", "head.calibrate=true", "ema.decay=0.5"]
    return folder, train.run(tiny_classifier(folders, folder, *words))


def test_a_run_learns_and_writes_all_it_should(finished):
    folder, metrics = finished
    assert {"accuracy", "top5", "macro_f1", "ece", "loss", "images", "seconds"} <= set(metrics)
    assert metrics["accuracy"] == 1.0
    assert {"f1/red", "f1/green"} <= set(metrics)
    names = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    expected = {"config.yaml", "metrics.json", "checkpoints/best.ckpt", "samples/epoch_006.jpg"}
    assert expected | {"confusion_matrix.png", "reliability.png"} <= names
    assert json.loads((folder / "metrics.json").read_text())["accuracy"] == 1.0


def test_the_temperature_is_in_the_checkpoint(finished):
    folder, _ = finished
    state = checkpoint.model_state(checkpoint.read(folder / "checkpoints" / "best.ckpt"))
    assert state["head.temperature"] != 1.0


def test_evaluation_repeats_the_figures_of_training(finished, tmp_path):
    folder, metrics = finished
    best = folder / "checkpoints" / "best.ckpt"
    words = [f"checkpoint={best}", "split=val", f"run_dir={tmp_path}"]
    again = evaluate.run(compose(words, "evaluate"))
    assert {k: v for k, v in again.items() if k != "seconds"} == {
        k: v for k, v in metrics.items() if k != "seconds"
    }
    flipped = evaluate.run(compose([*words, "predict.flip=true"], "evaluate"))
    assert flipped["loss"] != metrics["loss"]


def test_prediction(finished, folders, tmp_path):
    folder, _ = finished
    best = folder / "checkpoints" / "best.ckpt"
    model = visionkit.load(best)
    model.runtime.model.head.temperature.fill_(1.0)  # mirrored pictures are averaged before it
    pictures = sorted((folders / "val").rglob("*.png"))
    results = model.predict(pictures)
    assert [r.name for r in results] == [p.parent.name for p in pictures]
    assert results[0].probabilities.sum() == pytest.approx(1)
    mirrored = model.predict([np.ascontiguousarray(visionkit_image(p)[:, ::-1]) for p in pictures])
    both = model.predict(pictures, flip=True)
    for one, other, mean in zip(results, mirrored, both, strict=True):
        expected = (one.probabilities + other.probabilities) / 2
        assert mean.probabilities == pytest.approx(expected, abs=1e-5)
    told = predict.run(
        compose(
            [f"checkpoint={best}", f"source={folders}/val/red", f"run_dir={tmp_path}"], "predict"
        )
    )
    assert told["images"] == 3 and "objects" not in told
    records = json.loads((tmp_path / "predictions.json").read_text())
    assert [r["names"] for r in records] == [["red"]] * 3


def visionkit_image(path):
    from visionkit.geometry import read_image

    return read_image(path)


def test_balanced_sampling_and_mixing_run(folders, tmp_path):
    words = ["data.sampling=balanced", "augment.mixup=0.2", "augment.cutmix=1.0"]
    words += ["augment.mix_probability=1.0", "head.class_weights=balanced"]
    metrics = train.run(tiny_classifier(folders, tmp_path, *words))
    assert np.isfinite(metrics["loss"])


def test_a_backbone_moves_between_tasks(folders, squares, tmp_path):
    csp = ["backbone=csp", "backbone.width=0.125", "backbone.depth=0.1"]
    train.run(tiny_classifier(folders, tmp_path / "first", *csp, "trainer.max_epochs=1"))
    best = tmp_path / "first" / "checkpoints" / "best.ckpt"
    words = [f"backbone.weights={best}", "trainer.max_steps=0"]
    job = train.Run(tiny_config(squares, tmp_path / "detection", *words))
    state = checkpoint.model_state(checkpoint.read(best))
    own = job.model.backbone.state_dict()
    assert own and all(torch.equal(v, state[f"backbone.{k}"]) for k, v in own.items())
    metrics = train.run(tiny_config(squares, tmp_path / "there", "trainer.max_epochs=1"))
    assert metrics["images"] == 4
    there = tmp_path / "there" / "checkpoints" / "best.ckpt"
    words = [*csp, f"backbone.weights={there}"]
    back = train.Run(tiny_classifier(folders, tmp_path / "back", *words))
    state = checkpoint.model_state(checkpoint.read(there))
    own = back.model.backbone.state_dict()
    assert all(torch.equal(v, state[f"backbone.{k}"]) for k, v in own.items())


def test_what_does_not_fit_is_said(folders, squares, tmp_path):
    with pytest.raises(ConfigError, match=r"augment: .*augment=classification"):
        train.run(tiny_classifier(folders, tmp_path, "augment=detection"))
    with pytest.raises(ConfigError, match=r"augment: .*augment=detection"):
        train.run(tiny_config(squares, tmp_path, "augment=classification"))
    with pytest.raises(ConfigError, match=r"predict.flip"):
        train.Run(tiny_config(squares, tmp_path, "predict.flip=true"))
    with pytest.raises(ConfigError, match=r"head.calibrate: the set has no val split"):
        words = ["head.calibrate=true", "data.layout.validation=0"]
        train.Run(tiny_classifier(folders / "train", tmp_path, *words))
    with pytest.raises(ConfigError, match=r"callbacks: early stopping needs a val split"):
        words = ["callbacks=early_stopping", "data.layout.validation=0"]
        train.run(tiny_classifier(folders / "train", tmp_path, *words))


@pytest.mark.parametrize("where", [{"batches": 4}, {"before": 4}, {"within": 4}])
def test_resume_with_chance_in_network_and_mixing(folders, tmp_path, where):
    """Interrupted between steps, or in the middle of one, whose start must leave no trace."""
    words = ["head.dropout=0.3", "augment.mixup=0.5", "augment.cutmix=0.5", "seed=3"]
    train.run(tiny_classifier(folders, tmp_path / "whole", *words))
    interrupted(tiny_classifier(folders, tmp_path / "two", *words), **where)
    train.run(tiny_classifier(folders, tmp_path / "two", *words, "resume=auto"))
    assert_same(states(tmp_path / "two"), states(tmp_path / "whole"))


def test_an_interrupted_run_keeps_its_last_checkpoint_uncalibrated(folders, tmp_path):
    interrupted(tiny_classifier(folders, tmp_path, "head.calibrate=true"), batches=1)
    content = checkpoint.read(tmp_path / "checkpoints" / "last.ckpt")
    assert checkpoint.model_state(content)["head.temperature"] == 1


@pytest.mark.parametrize("task", ["classification", "detection"])
def test_task_and_data_that_do_not_fit(task, folders, squares, tmp_path):
    made = tiny_classifier(squares, tmp_path, "data=coco", "augment=none")
    if task == "detection":
        made = tiny_config(folders, tmp_path, "data=folder", "augment=none")
    with pytest.raises(ConfigError, match="data: "):
        train.run(made)
