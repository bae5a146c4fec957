"""Whole models from files: visionkit's own checkpoints, and detectors that torchvision trained."""

import hashlib
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from visionkit import checkpoint
from visionkit.backbones.base import IMAGENET_MEAN, IMAGENET_STD
from visionkit.errors import CheckpointError
from visionkit.models.base import Network
from visionkit.models.model import Model

log = logging.getLogger(__name__)

_NAMES = (
    (r"backbone\.body\.", "backbone.net."),
    (r"backbone\.fpn\.inner_blocks\.", "neck.laterals."),
    (r"backbone\.fpn\.layer_blocks\.", "neck.smooth."),
    (r"rpn\.head\.conv\.(\d+)\.0\.", r"head.rpn.conv.\1."),
    (r"rpn\.head\.conv\.(?=weight|bias)", "head.rpn.conv.0."),  # files of before 2022
    (r"rpn\.head\.cls_logits\.", "head.rpn.objectness."),
    (r"rpn\.head\.bbox_pred\.", "head.rpn.deltas."),
    (r"roi_heads\.box_head\.fc6\.", "head.stages.0.trunk.1."),
    (r"roi_heads\.box_head\.fc7\.", "head.stages.0.trunk.3."),
    (r"roi_heads\.box_head\.", "head.stages.0.trunk."),
    (r"roi_heads\.box_predictor\.cls_score\.", "head.stages.0.classes."),
    (r"roi_heads\.box_predictor\.bbox_pred\.", "head.stages.0.boxes."),
)
"""How torchvision's names begin, and ours."""
_OTHER_HEADS = r"roi_heads\.(mask|keypoint)_"
_CLASS_LAYERS = r"head\.stages\.\d+\.(classes|boxes)\."
_MAY_LACK = rf"{_CLASS_LAYERS}|head\.stages\.[1-9]|.*\.num_batches_tracked$"
"""What of ours may stay as it is: the layers of the classes, and a cascade's later stages."""
_SHARED = 4
"""Rows of the layer of the boxes where all classes share them."""
_MARKS = ("rpn.head.cls_logits.weight", "roi_heads.box_predictor.cls_score.weight")
_WITHOUT_EPS = ("258fb6c6", "bf2d0c1e", "fc266e95")
"""How the SHA-256 begins of torchvision's first COCO files of Faster, Mask and Keypoint R-CNN."""
_BODIES = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    *("resnext50_32x4d", "wide_resnet50_2"),
)


def start_from(model: Network, path: str | Path, classes: Sequence[str] = ()) -> None:
    """Fill a whole model from a file; the layers of the classes may differ.

    The file is a visionkit checkpoint, or the state dict of torchvision's Faster R-CNN with a
    ResNet and its pyramid: ``fasterrcnn_resnet50_fpn`` for ``model=faster_rcnn``,
    ``fasterrcnn_resnet50_fpn_v2`` for ``model=faster_rcnn_v2``, with ``backbone=resnet50``. Mask
    and Keypoint R-CNN of the same build will do, what they have beyond boxes is passed over. Such
    a model then finds what torchvision's finds in the same tensor. The layers of its classes are
    taken where their number is the model's, or, from a file with torchvision's 91 COCO categories,
    where all ``classes`` are among these.

    Torchvision's COCO files of 2019 (``fasterrcnn_resnet50_fpn_coco-258fb6c6.pth`` and those of
    Mask and Keypoint R-CNN) are known by their bytes: they want norms without an epsilon, and
    copies that were saved anew don't get that.

    Args:
        model: as built.
        path: the file.
        classes: names by label.

    Raises:
        CheckpointError: the file is neither, or is of a model with other parts.
    """
    path = Path(path)
    state = _detector(path)
    if state is None:
        checkpoint.start_from(model, path)
    elif not isinstance(model, Model):
        raise CheckpointError(
            f"{path}: holds a detector of torchvision's, which only a network with boxes alone can "
            "take; give a visionkit checkpoint of this one"
        )
    else:
        _load_detector(model, state, path, classes)


def _detector(path: Path) -> dict[str, Tensor] | None:
    """The tensors of a file that holds a Faster R-CNN of torchvision's, None for any other."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # what is wrong with it is said where a checkpoint is expected
        return None
    if not isinstance(content, Mapping) or "visionkit" in content:
        return None
    for key in ("model", "state_dict"):
        if isinstance(content.get(key), Mapping):
            content = content[key]
    for prefix in ("", "module.", "model."):
        if all(prefix + mark in content for mark in _MARKS):
            return {
                key.removeprefix(prefix): value
                for key, value in content.items()
                if isinstance(value, Tensor)
            }
    return None


def _load_detector(
    model: Model, state: Mapping[str, Tensor], path: Path, classes: Sequence[str]
) -> None:
    own = model.state_dict()
    theirs = {k: v for k, v in state.items() if not re.match(_OTHER_HEADS, k)}
    named = dict(zip(_our_names(theirs), theirs.values(), strict=True))
    last = {k: v for k, v in named.items() if re.match(_CLASS_LAYERS, k)}
    fits = {k: v for k, v in named.items() if k in own and own[k].shape == v.shape}
    homeless = [k for k, name in zip(theirs, named, strict=True) if name not in fits | last]
    lacking = [k for k in own if k not in named and not re.match(_MAY_LACK, k)]
    if homeless or lacking:
        raise CheckpointError(f"{path}: {_unlike(theirs, own, homeless, lacking)}")
    fits |= _class_layers(last, own, path, classes)
    model.load_state_dict(fits, strict=False)
    if "backbone.body.bn1.num_batches_tracked" not in theirs:
        _repay_eps(model, path)
    model.backbone.mean, model.backbone.std = IMAGENET_MEAN, IMAGENET_STD
    model.normalise.set(IMAGENET_MEAN, IMAGENET_STD)
    learned = [k for k in own if not k.endswith("num_batches_tracked")]
    taken = sum(k in fits for k in learned)
    log.info("%s: %d of the model's %d tensors loaded", path, taken, len(learned))


def _our_names(theirs: Mapping[str, Tensor]) -> list[str]:
    # without norms, newer files have a 0 in the names of the pyramid's convolutions
    bare = not any(k.startswith("backbone.fpn.inner_blocks.0.1.") for k in theirs)
    names = []
    for key in theirs:
        if bare:
            key = re.sub(r"^(backbone\.fpn\.\w+_blocks\.\d+)\.0\.", r"\1.", key)
        for start, ours in _NAMES:
            key, changed = re.subn(f"^{start}", ours, key)
            if changed:
                break
        names.append(key)
    return names


def _class_layers(
    last: Mapping[str, Tensor], own: Mapping[str, Tensor], path: Path, classes: Sequence[str]
) -> dict[str, Tensor]:
    """Those of the layers of the classes that fit, cut to the model's classes where need be."""
    scores = last["head.stages.0.classes.weight"]
    rows = _coco_rows(classes) if len(scores) == len(_coco_names()) else None
    found = {}
    for name, tensor in last.items():
        if rows is not None and len(tensor) % len(scores) == 0:
            tensor = tensor.view(len(scores), -1, *tensor.shape[1:])[rows].flatten(0, 1)
        if name in own and tensor.shape == own[name].shape:
            found[name] = tensor
    left: dict[str, list[str]] = {}
    for name in sorted(last.keys() - found.keys()):
        why = f"made for {len(scores) - 1} classes"
        if ".boxes." in name and len(last[name]) > len(own[name]) == _SHARED:
            why = "its classes have boxes of their own, with head.class_agnostic they share them"
        elif ".boxes." in name and len(own[name]) > len(last[name]) == _SHARED:
            why = "its classes share their boxes, without head.class_agnostic they don't"
        left.setdefault(why, []).append(name)
    for why, names in left.items():
        what = ", ".join(names)
        log.warning("%s: %s; %s don't fit this model's and stay at random", path, why, what)
    return found


def _coco_rows(classes: Sequence[str]) -> list[int] | None:
    """Background's row and those of ``classes`` in torchvision's COCO models, if they know all."""
    known = _coco_names()
    if not classes or not set(classes) <= set(known[1:]):
        return None
    return [0, *(known.index(name) for name in classes)]


def _coco_names() -> list[str]:
    weights = torchvision.models.detection.FasterRCNN_ResNet50_FPN_Weights.COCO_V1
    names: list[str] = weights.meta["categories"]
    return names


def _unlike(
    theirs: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
    homeless: Sequence[str],
    lacking: Sequence[str],
) -> str:
    body = _body(theirs)
    if body is None:
        return (
            "a Faster R-CNN of torchvision's whose backbone and pyramid have no like here; take "
            "its backbone by backbone.weights=FILE"
        )
    version = "" if "roi_heads.box_head.fc6.weight" in theirs else "_v2"
    if homeless:
        what = f"{len(homeless)} of its {len(theirs)} tensors have no place in this model, such as "
        what += homeless[0]
    else:
        what = f"it lacks {len(lacking)} of this model's {len(own)} tensors, such as {lacking[0]}"
    return (
        f"torchvision's Faster R-CNN{version.replace('_', ' ')} on {body}; {what}; choose "
        f"model=faster_rcnn{version} backbone={body}, with neck and head as they come"
    )


def _body(theirs: Mapping[str, Tensor]) -> str | None:
    """Which classifier of torchvision's has the shapes of a detector's body."""
    start = "backbone.body."
    found = {k.removeprefix(start): v.shape for k, v in theirs.items() if k.startswith(start)}
    for name in _BODIES:
        with torch.device("meta"):
            net = torchvision.models.get_model(name)
        shapes = {k: v.shape for k, v in net.state_dict().items() if not k.startswith("fc.")}
        counts = {k for k in shapes if k.endswith("num_batches_tracked")}
        if {k: v for k, v in shapes.items() if k in found or k not in counts} == found:
            return name
    return None


def _repay_eps(model: Model, path: Path) -> None:
    """Undo the epsilon of the norms for the published files that were trained without.

    Torchvision sets it to 0 when it loads one of them; here the scales make up for it, so that a
    checkpoint of this model says all.
    """
    if not _sha256(path).startswith(_WITHOUT_EPS):
        return
    for module in model.backbone.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_var is not None:
            spread = module.running_var.double()
            module.weight.data *= ((spread + module.eps) / spread).sqrt().float()


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
