"""What is given, and the runtimes that it can be measured in."""

from pathlib import Path

import pytest
from bright_files import ABOUT, write_onnx
from tiny import make_model

import visionkit.checkpoint
from visionkit.benchmarking import given as given_module
from visionkit.benchmarking.cases import Setup
from visionkit.benchmarking.given import Given, open_given, setups
from visionkit.checkpoint import Loaded
from visionkit.errors import CheckpointError, ConfigError


@pytest.fixture
def checkpoint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Given:
    """One whose exports are empty files."""
    made: list[tuple[str, str]] = []

    def build_file(loaded, path, kind, **options):
        assert options["predict"] == {"flip": False, "scales": [1.0], "window": "none"}
        made.append((kind, path.name))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(kind.encode())

    monkeypatch.setattr("visionkit.export.build.build_file", build_file)
    monkeypatch.setattr(
        "visionkit.export.openvino.to_openvino",
        lambda source, target: target.write_bytes(source.read_bytes()),
    )
    monkeypatch.setattr(given_module, "find_spec", lambda name: name)
    loaded = Loaded(make_model(), ("a", "b"), (64, 96), "detection", {}, None, {})
    found = Given(tmp_path / "best.ckpt", "best", "detection", "boxes", (64, 96), loaded)
    object.__setattr__(found, "made", made)
    return found


def test_a_checkpoint_runs_everywhere_and_is_exported_once(
    checkpoint: Given, tmp_path: Path
) -> None:
    told: list[str] = []
    folder = tmp_path / "exports"
    found, left_out = setups(checkpoint, None, folder, 2, "cpu", told.append)
    assert left_out == []
    assert found == [
        Setup("eager", checkpoint.path, 2, "cpu"),
        Setup("compiled", checkpoint.path, 2, "cpu"),
        Setup("onnx", folder / "model.onnx", 2, "cpu"),
        Setup("openvino", folder / "model.xml", 2, "cpu"),
        Setup("program", folder / "model.pt2", 2, "cpu"),
    ]
    assert checkpoint.made == [("onnx", "model.onnx"), ("program", "model.pt2")]
    assert len(told) == 3


def test_only_what_is_wanted_is_made(checkpoint: Given, tmp_path: Path) -> None:
    found, _ = setups(checkpoint, ["openvino", "eager"], tmp_path / "exports", 2)
    assert [setup.runtime for setup in found] == ["eager", "openvino"]
    assert checkpoint.made == [("onnx", "model.onnx")]


def test_what_is_not_installed_is_left_out_and_told(
    checkpoint: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = ("onnxruntime", "openvino")
    monkeypatch.setattr(given_module, "find_spec", lambda name: None if name in absent else name)
    found, left_out = setups(checkpoint, None, tmp_path / "exports", 2)
    assert [setup.runtime for setup in found] == ["eager", "compiled", "program"]
    assert left_out == [
        "onnx: it needs the package onnxruntime; pip install 'visionkit[export]'",
        "openvino: it needs the package openvino; pip install 'visionkit[export,openvino]'",
    ]


def test_what_cannot_be_exported_is_told(
    checkpoint: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args, **options):
        raise ConfigError("format: there is no such operator")

    monkeypatch.setattr("visionkit.export.build.build_file", refuse)
    found, left_out = setups(checkpoint, ["eager", "onnx"], tmp_path, 2)
    assert [setup.runtime for setup in found] == ["eager"]
    assert left_out == ["onnx: format: there is no such operator"]

    def fail(*args, **options):
        raise RuntimeError("no symbol\nand a long trace")

    monkeypatch.setattr("visionkit.export.build.build_file", fail)
    assert setups(checkpoint, ["onnx"], tmp_path, 2) == ([], ["onnx: RuntimeError: no symbol"])


def test_a_file_is_run_by_its_own_runtime(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    path = write_onnx(tmp_path / "bright.onnx")
    given = open_given(path)
    assert given == Given(path, "bright", "detection", "boxes", ABOUT.canvas)
    for wanted in (None, ["onnx"]):
        assert setups(given, wanted, tmp_path, 3) == ([Setup("onnx", path, 3)], [])
    with pytest.raises(ConfigError, match=r"run by onnx alone, not by eager, program"):
        setups(given, ["eager", "onnx", "program"], tmp_path, 3)


@pytest.mark.parametrize("name", ["model.onnx", "best.ckpt"])
def test_a_file_that_is_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match="check the path"):
        open_given(tmp_path / name)


def test_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = Loaded(make_model(), ("a", "b"), (64, 96), "detection", {}, None, {})
    monkeypatch.setattr(visionkit.checkpoint, "load_model", lambda path: loaded)
    run = tmp_path / "my_run" / "checkpoints" / "best.ckpt"
    assert open_given(run).name == "my_run"
    assert open_given(tmp_path / "best.ckpt").name == "best"
    assert open_given(run, "nano").name == "nano"
    assert open_given(run).loaded is loaded
