"""The whole proof: a checkpoint, its file, and the set that it was trained on."""

import io
import json
from dataclasses import replace

import pytest
import torch
from rich.console import Console
from tiny import tiny_classifier

from visionkit.build import plain
from visionkit.checkpoint import Loaded
from visionkit.errors import DataError, ParityError
from visionkit.export.build import build_file
from visionkit.export.proof import prove_file
from visionkit.models.model import build_model
from visionkit.predictor import load_runtime

SETTINGS = {
    "split": "auto",
    "allow": [],
    "data": None,
    "data_overrides": {},
    "evaluator_overrides": {},
    "proof": {"images": 4, "scored": None, "boxes": None, "scores": None, "figure": None},
}


@pytest.fixture(scope="module")
def loaded(folders) -> Loaded:
    """A network at random, as a training run would have left it."""
    config = plain(tiny_classifier(folders, "unused"))
    torch.manual_seed(0)
    model = build_model({name: config[name] for name in ("backbone", "neck", "head")}, 2).eval()
    with torch.no_grad():
        model.head.classes.weight.mul_(10)  # so that it is of some opinion
    return Loaded(
        model,
        ("green", "red"),
        (32, 32),
        "classification",
        {k: v for k, v in config["data"].items() if k != "augment"},
        config["evaluator"],
        config["predict"],
    )


@pytest.fixture(scope="module")
def file(loaded, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    build_file(loaded, path)
    return load_runtime(path)


def proven(loaded, file, folder, **changes):
    console = Console(file=io.StringIO(), width=140)
    settings = SETTINGS | changes
    settings["proof"] = SETTINGS["proof"] | changes.get("proof", {})
    try:
        return prove_file(loaded, file, settings, folder, console)
    finally:
        proven.text = console.file.getvalue()


def test_an_export_is_proven(loaded, file, tmp_path):
    found = proven(loaded, file, tmp_path)
    assert found.problem is None
    written = json.loads((tmp_path / "parity.json").read_text())
    assert written["passed"]
    assert written["precision"] == "fp32"
    assert [row["batch"] for row in written["rows"]] == [1, 3] * (len(written["rows"]) // 2)
    shapes = {tuple(row["canvas"]) for row in written["rows"]}
    assert len(shapes) == 5
    assert all(row["pictures"] == 4 for row in written["rows"])
    assert all(row["probabilities"] < 1e-4 for row in written["rows"])
    assert written["figures"]["split"] == "val"  # there is no test split
    assert written["figures"]["images"] == 6
    assert written["figures"]["monitor"] == "accuracy"
    assert written["figures"]["difference"]["accuracy"] == 0
    assert "val split (6)" in proven.text


def test_other_weights_are_found_out(loaded, file, tmp_path):
    weight = loaded.model.head.classes.weight
    before = weight.detach().clone()
    with torch.no_grad():
        weight.mul_(1.5)  # the classes stay
    try:
        with pytest.raises(ParityError) as raised:
            proven(loaded, file, tmp_path)
        line = str(raised.value)
        assert "\n" not in line
        assert "model.onnx: it isn't the model of its checkpoint: probabilities differ by" in line
        assert ".png on a canvas of" in line
        assert line.endswith("don't use the file, or allow more with proof.scores=")
        assert raised.value.exit_code == 2
        assert not json.loads((tmp_path / "parity.json").read_text())["passed"]
        assert "worst picture" in proven.text
        allowed = {"scores": 1.0, "figure": 1.0}
        found = proven(loaded, file, tmp_path, split="train", proof=allowed | {"scored": 5})
        assert found.scores.split == "train"
        assert found.scores.images == 5
        assert proven(loaded, file, tmp_path, proof=allowed | {"scored": 0}).scores is None
    finally:
        with torch.no_grad():
            weight.copy_(before)


def test_data_that_are_elsewhere_now(loaded, file, tmp_path):
    with pytest.raises(DataError, match="gone"):
        proven(loaded, file, tmp_path, data_overrides={"root": str(tmp_path / "gone")})
    turned = replace(loaded, classes=("red", "green"))
    with pytest.raises(DataError, match="the checkpoint has red, green"):
        proven(turned, file, tmp_path)


def test_the_split_alone(loaded, file, tmp_path):
    found = proven(loaded, file, tmp_path, proof={"images": 0})
    assert found.rows == ()
    assert found.scores.checkpoint == found.scores.file


def test_without_an_evaluator_only_pictures_are_compared(loaded, file, tmp_path):
    found = proven(replace(loaded, evaluator=None), file, tmp_path)
    assert found.scores is None
    assert found.rows
