"""Whole segmentation runs, small: the same frame as detection's, another head."""

import csv
import json

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from runs import assert_same, interrupted, states
from small_masks import CLASSES, make_masks
from tiny import tiny_config

import visionkit
from visionkit import evaluate, predict, train
from visionkit.compose import compose
from visionkit.data.masks import read_masks
from visionkit.errors import ConfigError, DataError
from visionkit.results import VOID


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    return make_masks(tmp_path_factory.mktemp("streets"))


def tiny_words(root, run_dir):
    return [
        "task=segmentation",
        "data=masks",
        f"data.root={root}",
        f"run_dir={run_dir}",
        "data.image_size=64",
        "data.batch_size=4",
        "data.num_workers=0",
        "backbone.width=0.125",
        "backbone.depth=0.1",
        "head.pyramid=16",
        "head.width=16",
        "trainer=cpu",
        "trainer.max_epochs=2",
        "logger=none",
        "ema.ramp=2",
    ]


def tiny_segmenter(root, run_dir, *overrides):
    """A segmentation run of a second or two."""
    return compose([*tiny_words(root, run_dir), *overrides])


@pytest.fixture(scope="module")
def finished(streets, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    words = [
        "trainer.max_epochs=40",
        "ema.decay=0.5",
        "optimizer.lr=0.01",
        "optimizer.weight_decay=0",
    ]
    words += ["trainer.check_val_every_n_epoch=10", "augment=none", "data.batch_size=2"]
    return folder, train.run(tiny_segmenter(streets, folder, *words))


def test_a_run_learns_and_writes_all_it_should(finished):
    folder, metrics = finished
    single = {"miou", "pixel_accuracy", "mean_accuracy", "dice", "boundary_f1", "loss", "images"}
    assert single <= set(metrics)
    assert {f"iou/{name}" for name in CLASSES} <= set(metrics)
    assert metrics["miou"] > 0.8
    names = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    expected = {"config.yaml", "metrics.json", "checkpoints/best.ckpt", "samples/epoch_040.jpg"}
    assert expected | {"confusion_matrix.png", "classes.csv", "pictures.csv"} <= names
    assert json.loads((folder / "metrics.json").read_text())["miou"] == metrics["miou"]


def test_a_loss_and_a_figure_of_one_name_are_both_logged(streets, tmp_path):
    words = ["logger=csv", "trainer.max_epochs=1", "head.loss.dice=1"]
    metrics = train.run(tiny_segmenter(streets, tmp_path, *words))
    (file,) = tmp_path.rglob("metrics.csv")
    with file.open() as lines:
        logged = {k: float(v) for row in csv.DictReader(lines) for k, v in row.items() if v}
    assert logged["val/dice"] == pytest.approx(metrics["dice"])
    assert 0 < logged["val/dice_loss"] < logged["val/loss"]
    assert logged["val/dice_loss"] != pytest.approx(metrics["dice"])


def test_evaluation_repeats_the_figures_of_training(finished, tmp_path):
    folder, metrics = finished
    best = folder / "checkpoints" / "best.ckpt"
    words = [f"checkpoint={best}", "split=val", f"run_dir={tmp_path}"]
    again = evaluate.run(compose(words, "evaluate"))
    assert {k: v for k, v in again.items() if k != "seconds"} == {
        k: v for k, v in metrics.items() if k != "seconds"
    }
    views = ["predict.flip=true", "predict.scales=[1.0,1.5]", "predict.window=48"]
    seen = evaluate.run(compose([*words, *views], "evaluate"))
    assert seen["loss"] != metrics["loss"]
    assert seen["miou"] > 0.6


def test_prediction_says_what_evaluation_scores(finished, streets, tmp_path):
    folder, metrics = finished
    best = folder / "checkpoints" / "best.ckpt"
    index = read_masks(streets, "val")
    files = [index.path(i) for i in range(len(index))]
    words = [f"checkpoint={best}", f"source={streets}/images/val", f"run_dir={tmp_path}"]
    told = predict.run(compose(words, "predict"))
    assert told["images"] == len(index)
    right = total = 0
    records = json.loads((tmp_path / "predictions.json").read_text())
    results = visionkit.load(best).predict(files)
    for i, (record, result) in enumerate(zip(records, results, strict=True)):
        with Image.open(tmp_path / record["mask"]) as file:
            assert file.mode == "P"
            labels = np.asarray(file)
        assert (labels == result.labels).all()
        truth = index.mask(i)
        right += int((labels == truth)[truth != VOID].sum())
        total += int((truth != VOID).sum())
    assert right / total == metrics["pixel_accuracy"]


def test_windows_see_large_pictures_at_their_own_size(finished, streets):
    folder, _ = finished
    model = visionkit.load(folder / "checkpoints" / "best.ckpt")
    image = cv2.imread(f"{streets}/images/val/0.png")[..., ::-1]
    four = np.ascontiguousarray(np.tile(image, (2, 2, 1)))
    result = model.predict(four, window=48, overlap=0.5)[0]
    assert result.labels.shape == four.shape[:2]
    truth = np.tile(read_masks(streets, "val").mask(0), (2, 2))
    assert (result.labels == truth)[truth != VOID].mean() > 0.8


@pytest.mark.parametrize("where", [{"batches": 3}, {"within": 3}])
def test_resume_goes_on_as_if_never_stopped(streets, tmp_path, where):
    # an interrupted step has already changed what batch norms remember
    words = ["head.dropout=0.3", "seed=3", "augment.window=[32,48]", "model.norm=batch"]
    train.run(tiny_segmenter(streets, tmp_path / "whole", *words))
    interrupted(tiny_segmenter(streets, tmp_path / "two", *words), **where)
    train.run(tiny_segmenter(streets, tmp_path / "two", *words, "resume=auto"))
    assert_same(states(tmp_path / "two"), states(tmp_path / "whole"))


def test_a_set_that_is_void_throughout_is_refused(tmp_path):
    root = make_masks(tmp_path / "set")
    for file in (root / "masks").rglob("*.png"):
        Image.fromarray(np.full((48, 48), VOID, np.uint8)).save(file)
    with pytest.raises(DataError, match="train split: "):
        train.run(tiny_segmenter(root, tmp_path / "run"))


def test_a_picture_without_any_label_trains_among_others(tmp_path):
    root = make_masks(tmp_path / "set", {"train": 3, "val": 1})
    for i in range(2):
        Image.fromarray(np.full((48, 48), VOID, np.uint8)).save(root / f"masks/train/{i}.png")
    words = ["data.batch_size=1", "data.image_size=[33,47]"]
    words += [f"head.loss.{name}=1" for name in ("dice", "lovasz", "focal", "ohem")]
    metrics = train.run(tiny_segmenter(root, tmp_path / "run", *words))
    assert np.isfinite(metrics["loss"])
    state = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert all(bool(torch.isfinite(v).all()) for v in state.values())


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["head.loss.cross_entropy=0", "head.loss.dice=0"], r"head.loss: .*gain"),
        (["augment=detection"], r"augment: .*augment=segmentation"),
        (["predict.scales=[0.01]"], r"predict.scales"),
        (["predict.window=8"], r"predict.window"),
        (["predict.overlap=1"], r"predict.overlap"),
        (["head.strides=[64]"], r"head.*stride"),
        (["augment.scale=[2,1]"], r"augment.scale"),
        (["augment.window=[0,5]"], r"augment.window"),
    ],
)
def test_what_does_not_fit_is_said(streets, tmp_path, words, line):
    with pytest.raises(ConfigError, match=line):
        train.run(tiny_segmenter(streets, tmp_path, *words))


def test_views_that_the_network_cannot_take_are_refused_before_training(streets, tmp_path):
    words = ["backbone=inception_v3", "data.image_size=96", "predict.scales=[0.25,1.0]"]
    words = [w for w in tiny_words(streets, tmp_path) if "backbone" not in w] + words
    with pytest.raises(ConfigError, match=r"predict: the network can't look at 24 x 24 pixels"):
        train.Run(compose(words))


def test_masks_do_not_go_under_another_task(streets, squares, tmp_path):
    with pytest.raises(ConfigError, match="labelled with boxes, FpnHead learns masks"):
        train.run(tiny_segmenter(squares, tmp_path, "data=coco", "augment=none"))
    with pytest.raises(ConfigError, match="labelled with masks, YoloHead learns boxes"):
        words = ["data=masks", f"data.root={streets}", "augment=none"]
        train.run(tiny_config(squares, tmp_path, *words))
    with pytest.raises(ConfigError, match=r"predict.window: "):
        train.Run(tiny_config(squares, tmp_path, "predict.window=32"))
