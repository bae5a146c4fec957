"""Exported files are run without torch, and without anything else that training needs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bright import BOX, picture, save
from bright_files import write_onnx

BLOCKED = (
    "torch", "torchvision", "lightning", "pytorch_lightning", "albumentations", "timm", "onnx",
    "onnxscript", "matplotlib", "hydra", "omegaconf", "torchmetrics", "pycocotools",
)  # fmt: skip

_BLOCK = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1].split(","):
            raise ImportError(f"{name} was imported")

sys.meta_path.insert(0, Blocked())
"""
_PREDICT = """
import json
import visionkit

predictor = visionkit.load(sys.argv[2])
(found,) = predictor.predict(sys.argv[3], confidence=0.01)
print(json.dumps({"boxes": found.boxes.tolist(), "names": found.names, "task": predictor.task}))
"""


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _BLOCK + code, ",".join(BLOCKED), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_an_onnx_file_predicts(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    file = write_onnx(tmp_path / "model.onnx")
    image = save(tmp_path / "picture.png", picture(BOX))
    done = python(_PREDICT, str(file), str(image))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "boxes": [list(BOX)],
        "names": ["lamp"],
        "task": "detection",
    }


def test_a_checkpoint_needs_torch_and_so_the_block_works() -> None:
    done = python("import visionkit; visionkit.load('model.ckpt')")
    assert done.returncode == 1
    assert "torch was imported" in done.stderr


def test_importing_visionkit_loads_nothing_of_that() -> None:
    loaded = "import visionkit; print({m.partition('.')[0] for m in sys.modules} & {BLOCKED})"
    done = python(loaded.replace("{BLOCKED}", repr(set(BLOCKED) | {"cv2", "numpy"})))
    assert (done.returncode, done.stdout.strip()) == (0, "set()"), done.stderr
