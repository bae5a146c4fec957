"""OpenVINO files from ONNX files."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")

from onnx_cases import ABOUT, outputs, pictures, small_detector

from visionkit.about import from_plain, from_strings
from visionkit.errors import CheckpointError, ConfigError
from visionkit.export.openvino import to_openvino
from visionkit.export.precision import to_fp16
from visionkit.runtimes.openvino import ENTRY


def test_a_converted_file_computes_the_same(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    source = small_detector(tmp_path / "a.onnx")
    to_openvino(source, tmp_path / "a.xml")
    core = openvino.Core()
    compiled = core.compile_model(
        tmp_path / "a.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    )
    for count, side in ((1, 16), (3, 24)):
        images = pictures(count, side=side)
        found = compiled({"images": images})
        for name, wanted in zip(("scores", "best", "boxes"), outputs(source, images), strict=True):
            np.testing.assert_allclose(found[name], wanted, atol=1e-5)


def test_a_converted_file_says_what_it_is(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    source = small_detector(tmp_path / "a.onnx")
    about = to_openvino(source, tmp_path / "a.xml")
    model = openvino.Core().read_model(tmp_path / "a.xml")
    said = json.loads(model.get_rt_info([ENTRY]).astype(str))
    wanted = from_strings(ABOUT.strings(), "it")
    assert from_plain(said, "a.xml") == about == wanted
    to_fp16(source, source)
    assert to_openvino(source, tmp_path / "b.xml") == replace(wanted, precision="fp16")


def test_weights_keep_their_digits(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    source = small_detector(tmp_path / "a.onnx", width=64)
    to_openvino(source, tmp_path / "a.xml")
    assert (tmp_path / "a.bin").stat().st_size > 4 * 64 * 64 * 9


def test_openvino_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ConfigError, match=r"openvino; pip install 'visionkit\[openvino\]'"):
        to_openvino(small_detector(tmp_path / "a.onnx"), tmp_path / "a.xml")


def test_only_exported_files_are_converted(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    with pytest.raises(CheckpointError, match=r"absent.onnx: no such file"):
        to_openvino(tmp_path / "absent.onnx", tmp_path / "a.xml")
