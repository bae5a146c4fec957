"""``.onnx`` files through ONNX Runtime."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bright import BOX, FakeLoaded, picture, save
from bright_files import ABOUT, SINGLE, onnx_model, write_onnx

from visionkit import load
from visionkit.errors import CheckpointError, ConfigError
from visionkit.predictor import Predictor
from visionkit.runtimes.network import NetworkRuntime
from visionkit.runtimes.onnx import OnnxRuntime

pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("about", [ABOUT, SINGLE])
def test_it_is_loaded_as_a_checkpoint_is(about: Any, tmp_path: Path) -> None:
    file = write_onnx(tmp_path / "model.onnx", about)
    sources = [picture(BOX), picture(None), picture((3, 5, 40, 30), (90, 50))]
    paths = [save(tmp_path / f"{i}.png", image) for i, image in enumerate(sources)]
    network = Predictor(NetworkRuntime(FakeLoaded(), "cpu"))
    for confidence in (0.01, 0.2):
        mine = load(file).predict(paths, confidence=confidence)
        wanted = network.predict(paths, confidence=confidence)
        assert [len(r) for r in mine] == [len(r) for r in wanted]
        for one, other in zip(mine, wanted, strict=True):
            np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-3)
            np.testing.assert_allclose(one.scores, other.scores, atol=1e-6)
            assert one.names == other.names
    assert mine[0].boxes.tolist() == []  # its score is .1
    assert load(file).options.confidence == 0.25


def test_options_that_are_built_in_are_refused_at_once(tmp_path: Path) -> None:
    predictor = load(write_onnx(tmp_path / "model.onnx"), "cpu")
    with pytest.raises(ConfigError, match=r"predict\.iou: .*model\.onnx was exported with 0\.7"):
        predictor.stream(picture(BOX), iou=0.5)


def test_any_canvas_and_any_number_of_threads(tmp_path: Path) -> None:
    runtime = OnnxRuntime(write_onnx(tmp_path / "model.onnx"), "cpu", threads=1)
    for shape in ((1, 3, 64, 64), (3, 3, 40, 90)):
        images = np.full(shape, 255, np.uint8)
        outputs = runtime.run({"images": images})
        assert outputs["boxes"].tolist() == [[[0, 0, shape[3], shape[2]]]] * shape[0]
    assert runtime.session.get_session_options().intra_op_num_threads == 1


def broken(tmp_path: Path, how: str) -> Path:
    file = write_onnx(tmp_path / "model.onnx")
    content = file.read_bytes()
    if how == "missing":
        file.unlink()
    else:
        file.write_bytes({"empty": b"", "text": b"hello", "cut": content[:400]}[how])
    return file


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("missing", "no such file; check the path"),
        ("empty", r"not an ONNX file that can be run, or a damaged one \(.*No graph"),
        ("text", r"a damaged one \(.*Protobuf parsing failed"),
        ("cut", r"a damaged one \(.*Protobuf parsing failed"),
    ],
)
def test_files_that_are_no_model(
    how: str, told: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = broken(tmp_path, how)
    with pytest.raises(CheckpointError, match=rf"model\.onnx: .*{told}") as caught:
        load(file)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_files_of_others(tmp_path: Path) -> None:
    model = onnx_model()
    del model.metadata_props[:]
    (tmp_path / "theirs.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match=r"theirs\.onnx: visionkit didn't export this file"):
        load(tmp_path / "theirs.onnx")
    newer = write_onnx(tmp_path / "newer.onnx", replace(ABOUT, format=2))
    with pytest.raises(CheckpointError, match=r"newer\.onnx: export format 2"):
        load(newer)


def test_weights_that_no_longer_lie_beside_the_file(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model, file = onnx_model(), tmp_path / "model.onnx"
    weights = onnx.numpy_helper.from_array(np.zeros((64, 64), np.float32), "weights")
    model.graph.initializer.append(weights)
    node = onnx.helper.make_node("ReduceMax", ["weights"], ["more"], keepdims=0)
    model.graph.node.append(node)
    model.graph.output.append(onnx.helper.make_tensor_value_info("more", 1, []))
    beside = {"save_as_external_data": True, "location": "model.onnx.data", "size_threshold": 100}
    onnx.save(model, str(file), **beside)
    assert len(load(file).predict(picture(BOX), confidence=0.01)[0]) == 1
    (tmp_path / "model.onnx.data").unlink()
    with pytest.raises(CheckpointError, match=r"model\.onnx.data.*a \.data file that lay beside"):
        load(file)


def test_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    file = write_onnx(tmp_path / "model.onnx")
    for wrong in ("tpu", "cuda:one"):
        with pytest.raises(ConfigError, match=rf"^device: .* cpu, cuda or cuda:N, got {wrong}"):
            load(file, wrong)
    available = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    with monkeypatch.context() as patch:
        patch.setattr(onnxruntime, "get_available_providers", lambda: available[1:])
        with pytest.raises(ConfigError, match=r"^device: .*install onnxruntime-gpu"):
            load(file, "cuda")
    asked = []

    class Session:
        def __init__(self, path: str, settings: Any, providers: Any) -> None:
            asked.append(providers)

        def get_providers(self) -> list[str]:
            return available[1:]  # as where the drivers are missing

        def get_modelmeta(self) -> Any:
            return type("Meta", (), {"custom_metadata_map": ABOUT.strings()})

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: available)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    with pytest.raises(ConfigError, match=r"^device: ONNX Runtime can't use cuda:1 here"):
        load(file, "cuda:1")
    load(file)
    load(file, "cpu")
    first, second, third = asked
    assert first[0] == ("CUDAExecutionProvider", {"device_id": 1, "use_tf32": 0})
    assert second[0][1]["device_id"] == 0
    assert third == ["CPUExecutionProvider"]


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_onnx(tmp_path / "model.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r"onnxruntime; pip install 'visionkit\[export\]'"):
        load(file)
