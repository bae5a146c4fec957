"""OpenVINO's files."""

import json
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bright import BOX, picture
from bright_files import ABOUT, SINGLE, write_onnx

from visionkit import load
from visionkit.errors import CheckpointError, ConfigError
from visionkit.runtimes.openvino import OpenvinoRuntime

openvino: Any = pytest.importorskip("openvino")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two models, each as ``.onnx`` and as ``.xml``: to convert takes a second."""
    folder = tmp_path_factory.mktemp("models")
    for name, about in (("any", ABOUT), ("single", SINGLE)):
        model = openvino.convert_model(write_onnx(folder / f"{name}.onnx", about))
        model.set_rt_info(json.dumps(asdict(about)), ["visionkit"])
        openvino.save_model(model, folder / f"{name}.xml", compress_to_fp16=False)
    return folder


@pytest.fixture
def file(models: Path, tmp_path: Path) -> Path:
    """An ``.xml`` file, with its ``.bin``, that a test may break."""
    for suffix in (".xml", ".bin"):
        shutil.copy(models / f"any{suffix}", tmp_path / f"model{suffix}")
    return tmp_path / "model.xml"


@pytest.mark.parametrize("name", ["any", "single"])
def test_the_same_results_as_from_the_onnx_file(name: str, models: Path) -> None:
    images = [picture(BOX), picture(None), picture((3, 5, 40, 30), (90, 50))]
    mine = load(models / f"{name}.xml").predict(images, confidence=0.01)
    wanted = load(models / f"{name}.onnx").predict(images, confidence=0.01)
    assert [len(r) for r in mine] == [1, 0, 1]
    for one, other in zip(mine, wanted, strict=True):
        np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-4)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-6)
        assert one.names == other.names


def test_any_canvas_and_any_number_of_threads(file: Path) -> None:
    runtime = OpenvinoRuntime(file, "cpu", threads=1)
    for shape in ((1, 3, 64, 64), (3, 3, 40, 90)):
        outputs = runtime.run({"images": np.full(shape, 255, np.uint8)})
        assert outputs["boxes"].tolist() == [[[0, 0, shape[3], shape[2]]]] * shape[0]
        assert outputs["labels"].dtype == np.int64
    assert runtime.network.get_property("INFERENCE_NUM_THREADS") == 1


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("missing", "no such file; check the path"),
        ("weights", r"a damaged one \(.*bin file.*with its \.bin beside it"),
        ("cut", "not an OpenVINO file, or a damaged one"),
        ("text", r"a damaged one \(it is no XML\)"),
        ("empty", r"a damaged one \(it is no XML\)"),
    ],
)
def test_files_that_are_no_model(
    how: str, told: str, file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if how == "missing":
        file.unlink()
    elif how == "weights":
        file.with_suffix(".bin").unlink()
    else:
        file.write_bytes({"cut": file.read_bytes()[:400], "text": b"hello", "empty": b""}[how])
    with pytest.raises(CheckpointError, match=rf"model\.xml: .*{told}") as caught:
        load(file)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("entry", "told"), [("", "visionkit didn't export this file"), ("{", "can't be read")]
)
def test_files_of_others(entry: str, told: str, file: Path, tmp_path: Path) -> None:
    model = openvino.Core().read_model(file)
    model.set_rt_info(entry, ["visionkit"])
    openvino.save_model(model, tmp_path / "theirs.xml", compress_to_fp16=False)
    with pytest.raises(CheckpointError, match=rf"theirs\.xml: .*{told}"):
        load(tmp_path / "theirs.xml")


def test_devices_and_a_missing_package(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"^device: OpenVINO has no tpu here, it has .*cpu"):
        load(file, "tpu")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ConfigError, match=r"openvino; pip install 'visionkit\[openvino\]'"):
        load(file)


@pytest.mark.skipif(sys.platform != "linux", reason="its stack is left alone elsewhere")
def test_signals_keep_their_stack(models: Path) -> None:
    """OpenVINO exchanges it, and unmaps its own later: the next signal then ended the process."""
    code = (
        "import faulthandler, sys; faulthandler.enable()\n"
        "from visionkit.runtimes import openvino, signal_stack as of\n"
        "def stack():\n"
        "    found = of._Stack(); of.ctypes.CDLL(None).sigaltstack(None, of.ctypes.byref(found))\n"
        "    return found.place, found.flags, found.size\n"
        "before = stack()\n"
        "runtime = openvino.OpenvinoRuntime(sys.argv[1])\n"
        "assert before[0] and stack() == before, (before, stack())\n"
    )
    words = [sys.executable, "-c", code, str(models / "any.xml")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
