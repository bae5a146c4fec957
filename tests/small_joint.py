"""Small joint networks, batches and sets, for tests of several heads on one backbone."""

import json
from pathlib import Path
from typing import Any

import torch
from tiny import CSP, HEAD, NECK, make_batch, make_coco, make_label_batch, make_mask_batch

from visionkit.batch import Batch, JointTargets
from visionkit.compose import compose
from visionkit.models.joint import JointModel, build_joint

PARTS = {
    "detection": {"neck": NECK, "head": HEAD, "weight": 1.0},
    "segmentation": {
        "neck": {"_target_": "visionkit.necks.identity.Identity"},
        "head": {
            "_target_": "visionkit.heads.segmentation.fpn.FpnHead",
            "width": 16,
            "loss": {"_target_": "visionkit.losses.segmentation.SegmentationLoss"},
        },
        "weight": 1.0,
    },
    "classification": {
        "neck": {"_target_": "visionkit.necks.identity.Identity"},
        "head": {
            "_target_": "visionkit.heads.classification.ClassificationHead",
            "activation": "sigmoid",
            "loss": "bce",
        },
        "weight": 1.0,
    },
}
CLASSES = {"detection": 2, "segmentation": 3, "classification": 4}


def make_joint(*names: str, seed: int = 0, **spec: Any) -> JointModel:
    """A tiny network with the named parts, or with all."""
    torch.manual_seed(seed)
    parts = {name: PARTS[name] for name in names or PARTS}
    return build_joint({"backbone": CSP, "parts": parts, **spec}, CLASSES)


def make_joint_batch(*names: str) -> Batch:
    """Two pictures of noise with targets for the named parts, or for all."""
    parts = {
        "detection": make_batch([[[8, 8, 40, 40]], []], [[1], []]),
        "segmentation": make_mask_batch(CLASSES["segmentation"]),
        "classification": make_label_batch([[0, 2], []], CLASSES["classification"]),
    }
    first = parts["detection"]
    targets = JointTargets({name: parts[name].targets for name in names or parts})
    return Batch(first.images, targets, first.meta)


def make_joint_set(root: Path, splits: dict[str, int] | None = None) -> Path:
    """Red and green squares in COCO's format, whose outlines are their boxes."""
    make_coco(root, splits)
    for file in (root / "annotations").iterdir():
        content = json.loads(file.read_text())
        for entry in content["annotations"]:
            x, y, w, h = entry["bbox"]
            entry["segmentation"] = [[x, y, x + w, y, x + w, y + h, x, y + h]]
        file.write_text(json.dumps(content))
    return root


def joint_config(root: Path, run_dir: Path, *overrides: str) -> Any:
    """A run of a second or two with boxes and masks of the same pictures."""
    return compose(
        [
            "task=multitask",
            "data=joint_coco",
            f"data.root={root}",
            f"run_dir={run_dir}",
            "data.image_size=64",
            "data.batch_size=4",
            "data.num_workers=0",
            "backbone.width=0.125",
            "backbone.depth=0.1",
            "trainer=cpu",
            "trainer.max_epochs=2",
            "logger=none",
            "callbacks=null",
            "ema.ramp=2",
            *overrides,
        ]
    )


SMALL = ("parts.detection.neck.out_channels=[16,24,32]", "parts.detection.head.bins=8")
"""Of runs that have the part ``detection``."""
