"""A small folder of configurations with parts of its own, for tests of composing and checking."""

from pathlib import Path

PARTS = """
from pathlib import Path


class Part:
    def __init__(self, size: int = 1, name: str = "part"):
        self.size = size


class Fitted:
    def __init__(self, in_features, num_classes=0, size: int = 1):
        self.size = size


class Neck:
    def __init__(self, in_features, width: float = 1.0):
        self.width = width


class Task:
    def __init__(self, name: str, **parts):
        self.name = name


class Metric:
    def __init__(self, index, top: int = 1):
        self.top = top


class Data:
    def __init__(self, layout, root: str | None = None, image_size: int = 32, **parts):
        self.root = root


class Loop:
    def __init__(self, max_epochs: int = 1, **parts):
        self.max_epochs = max_epochs


def read_files(root: Path, split: str):
    return None


def make_files(root: Path, split: str):
    return None


make_files.generates = True
"""

FILES = {
    "config.yaml": """
defaults:
  - _self_
  - backbone: small
  - data: made
  - trainer: short
  - model: null
  - task: ???
  - experiment: null
  - override hydra/job_logging: none
  - override hydra/hydra_logging: none
seed: 0
run_dir: outputs/${task.name}/${now:%Y-%m-%d_%H-%M-%S-%f}
resume: null
allow: [miniparts]
model: {name: null, weights: none, norm: batch, compile: false, channels_last: false}
ema: {decay: 0.9, ramp: 10}
checkpoints: {every_n_train_steps: null, keep_previous: true}
predict: {confidence: 0.25, iou: 0.6, max_detections: 300, flip: false,
          scales: [1.0], window: null, overlap: 0.5, truncation: 1.0, reverse: false}
neck: {_target_: miniparts.Neck, width: 1}
head: {_target_: miniparts.Fitted}
evaluator: {_target_: miniparts.Metric, _partial_: true}
augment: null
optimizer: {_target_: torch.optim.SGD, _partial_: true, lr: 0.1}
scheduler: null
callbacks: {first: {_target_: miniparts.Part}, second: null}
logger: null
hydra:
  run: {dir: "${run_dir}"}
  sweep: {dir: "outputs/multirun/${now:%H-%M-%S-%f}", subdir: "${hydra.job.num}"}
  output_subdir: null
  job: {chdir: false}
""",
    "evaluate.yaml": """
defaults: [_self_, {data: null}]
checkpoint: ???
split: test
run_dir: outputs/evaluate
allow: [miniparts]
data: null
predict: {iou: null, max_detections: null, flip: null,
          scales: null, window: null, overlap: null, truncation: null, reverse: null}
""",
    "predict.yaml": """
checkpoint: ???
source: null
n: null
seed: null
label: null
run_dir: outputs/predict
formats: null
annotations: null
every: 1
frames: null
batch_size: 8
workers: 2
predict: {confidence: null, iou: null, max_detections: null, flip: null,
          scales: null, window: null, overlap: null, truncation: null, reverse: null}
""",
    "backbone/small.yaml": "# A small trunk.\n_target_: miniparts.Part\nsize: 1\nname: small\n",
    "backbone/large.yaml": "_target_: miniparts.Part\nsize: 9\nname: large\n",
    "data/made.yaml": (
        "_target_: miniparts.Data\nroot: made/here\nimage_size: 32\n"
        "layout: {_target_: miniparts.make_files, _partial_: true}\n"
    ),
    "data/files.yaml": (
        "# Files of one's own.\n_target_: miniparts.Data\nroot: ???\nimage_size: 32\n"
        "layout: {_target_: miniparts.read_files, _partial_: true}\n"
    ),
    "trainer/short.yaml": "_target_: miniparts.Loop\nmax_epochs: 1\n",
    "model/big.yaml": (
        "# @package _global_\n# The big one.\ndefaults:\n  - override /backbone: large\n"
        "model: {name: big}\n"
    ),
    "task/finding.yaml": (
        "# @package _global_\n# Finds things.\ndefaults:\n  - override /model: big\n"
        "task: {_target_: miniparts.Task, name: finding}\n"
    ),
    "task/sorting.yaml": "# @package _global_\ntask: {_target_: miniparts.Task, name: sorting}\n",
    "experiment/longer.yaml": "# @package _global_\ntrainer: {max_epochs: 7}\n",
}


def write(folder: Path) -> Path:
    """Write the configurations to ``folder/conf`` and the parts to ``folder/miniparts.py``."""
    for name, text in FILES.items():
        file = folder / "conf" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (folder / "miniparts.py").write_text(PARTS)
    return folder / "conf"
