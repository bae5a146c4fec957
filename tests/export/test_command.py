"""``visionkit export``: from a checkpoint file to a proven file, or to one clear line."""

import json
from pathlib import Path

import pytest
import torch
from tiny import tiny_classifier

import visionkit
from visionkit import cli
from visionkit.build import plain
from visionkit.checkpoint import entry
from visionkit.export import command
from visionkit.models.model import build_model
from visionkit.subjects import FileSubject


@pytest.fixture(scope="module")
def checkpoint(folders, tmp_path_factory) -> Path:
    """A network at random, as a training run would have saved it."""
    config = plain(tiny_classifier(folders, "unused"))
    torch.manual_seed(0)
    spec = {name: config[name] for name in ("backbone", "neck", "head")}
    model = build_model(spec, 2).eval()
    with torch.no_grad():
        model.head.classes.weight.mul_(10)
    data = {k: v for k, v in config["data"].items() if k != "augment"}
    about = entry(
        "classification", spec, model, ("green", "red"), (32, 32), data, config["evaluator"],
        config["predict"],
    )  # fmt: skip
    path = tmp_path_factory.mktemp("run") / "best.ckpt"
    state = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({"visionkit": about, "state_dict": state, "epoch": 3}, path)
    return path


def export(checkpoint, folder, *words):
    words = [f"checkpoint={checkpoint}", f"run_dir={folder}", "proof.images=2", *words]
    return cli.main(["export", *words])


def test_a_file_is_proven_before_it_gets_its_name(checkpoint, tmp_path, capsys):
    assert export(checkpoint, tmp_path) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.onnx", "parity.json"]
    written = json.loads((tmp_path / "parity.json").read_text())
    assert written["passed"]
    assert written["file"] == str(tmp_path / "model.onnx")
    assert "proven on pictures of the data" in capsys.readouterr().out
    about = visionkit.load(tmp_path / "model.onnx").runtime.about
    assert about.run["checkpoint"] == "best.ckpt"
    assert about.run["epoch"] == 3
    assert len(about.run["sha256"]) == 64
    assert about.classes == ("green", "red")


def test_a_file_that_says_something_else_fails(checkpoint, tmp_path, capsys, monkeypatch):
    def build_another(loaded, *args, **named):
        weight = loaded.model.head.classes.weight
        before = weight.detach().clone()
        weight.data.mul_(2)
        try:
            return build(loaded, *args, **named)
        finally:
            weight.data.copy_(before)

    build = command.build_file
    monkeypatch.setattr(command, "build_file", build_another)
    assert export(checkpoint, tmp_path, "dynamic=false") == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["parity.json", "unproven.onnx"]
    written = json.loads((tmp_path / "parity.json").read_text())
    assert written["file"] == str(tmp_path / "unproven.onnx")
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "it isn't the model of its checkpoint" in error


def test_what_an_earlier_run_left_is_no_part_of_the_next(checkpoint, tmp_path):
    for name in ("unproven.bin", "unproven.onnx", "parity.json", "int8.json", "model.bin"):
        (tmp_path / name).write_text("old")
    words = ["dynamic=false", "proof.images=0", "proof.scored=0"]
    assert export(checkpoint, tmp_path, *words) == 0
    # of an OpenVINO file
    assert (tmp_path / "model.bin").read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.bin", "model.onnx"]


def test_eight_bits_are_scored_as_evaluation_does(checkpoint, tmp_path, monkeypatch):
    asked = []

    def follow(subject, options, canvas):
        asked.append(options.confidence)
        before(subject, options, canvas)

    before = FileSubject.follow
    monkeypatch.setattr(FileSubject, "follow", follow)
    words = ["precision=int8", "int8.images=2", "dynamic=false", "predict.confidence=0.25"]
    assert export(checkpoint, tmp_path, *words) == 0
    assert asked == [0.001, 0.001]


def test_no_proof_where_none_is_wanted(checkpoint, tmp_path, capsys):
    words = ["format=program", "dynamic=false", "proof.images=0", "proof.scored=0"]
    assert export(checkpoint, tmp_path, "data.root=nowhere", *words) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.json", "model.pt2"]
    out = " ".join(capsys.readouterr().out.split())
    assert "one picture at a time on the training run's canvas" in out
    assert "not proven" in out


def test_eight_bits_are_kept_or_not_but_told(checkpoint, tmp_path, capsys):
    assert export(checkpoint, tmp_path, "precision=int8", "int8.images=4") == 0
    verdict = json.loads((tmp_path / "int8.json").read_text())
    about = visionkit.load(tmp_path / "model.onnx").runtime.about
    assert about.precision == ("int8" if verdict["kept"] else "fp32")
    assert verdict["why"] in " ".join(capsys.readouterr().out.split())
    assert not (tmp_path / "int8.onnx").exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["format=program", "precision=fp16"], "precision: fp16 is for format=onnx and openvino"),
        (["aot=true"], "aot: only format=program"),
        (["data.root=nowhere"], "nowhere"),
        (["format=tflite"], "format"),
        (["predict.window=64"], "predict.window"),
        (["precision=int8", "proof.scored=0"], "proof: nothing of a file in int8 is judged"),
    ],
)
def test_what_cannot_be_is_one_line(checkpoint, tmp_path, capsys, words, line):
    assert export(checkpoint, tmp_path / "out", *words) == 2
    error = capsys.readouterr().err
    assert line in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
