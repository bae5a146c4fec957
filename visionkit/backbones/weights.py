"""Weights from files of several makes into a backbone."""

import logging
import re
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from visionkit.backbones.base import Backbone
from visionkit.backbones.norms import group_norms
from visionkit.errors import CheckpointError
from visionkit.targets import first_line

log = logging.getLogger(__name__)

_PREFIXES = ("", "module.", "backbone.", "backbone.net.", "backbone.body.", "model.", "net.")
"""With ``features.`` after them: torchvision's detectors leave that out of a MobileNet's names."""


def load_weights(backbone: Backbone, path: str | Path) -> int:
    """Fill a backbone from a file and say how many tensors matched.

    The file is a state dict of torchvision or timm (``.pth``, ``.pt``, ``.safetensors``), or a
    visionkit checkpoint, whose backbone (and whose mean and std) is taken. Tensors of the file
    that belong to no backbone, such as a classifier's, are passed over.

    Returns:
        The number of tensors taken.

    Raises:
        CheckpointError: the file can't be read, no tensor matches, or shapes clash.
    """
    state, about = _read(Path(path))
    if about and "backbone" in about.get("spec", {}).get("grouped", ()):
        group_norms(backbone)
        backbone.grouped = True
    own = {_canonical(_without_net(k)): (k, v) for k, v in backbone.state_dict().items()}
    best: dict[str, tuple[str, Tensor]] = {}
    for prefix, start in product(_PREFIXES, ("", "features.")):
        found = {
            name: (key, tensor)
            for key, tensor in state.items()
            if key.startswith(prefix)
            and (name := _canonical(start + key.removeprefix(prefix))) in own
        }
        if len(found) > len(best):
            best = found
    if not best:
        raise CheckpointError(
            f"{path}: none of its {len(state)} tensors belongs to this backbone (the file's first "
            f"is {next(iter(state), 'none')!r}, the backbone's {next(iter(own))!r}); "
            "choose the backbone that the file was made with"
        )
    best = {n: (k, backbone.fit_weight(own[n][0], t)) for n, (k, t) in best.items()}
    clashes = [
        (key, tuple(tensor.shape), tuple(own[name][1].shape))
        for name, (key, tensor) in best.items()
        if tensor.shape != own[name][1].shape
    ]
    if clashes:
        key, theirs, ours = clashes[0]
        raise CheckpointError(
            f"{path}: {len(clashes)} of {len(best)} tensors have other shapes than the backbone's "
            f"({key}: {list(theirs)} in the file, {list(ours)} here); "
            "choose the backbone that the file was made with"
        )
    backbone.load_state_dict(
        {own[name][0]: tensor for name, (_, tensor) in best.items()}, strict=False
    )
    if about:
        preprocess = about["preprocess"]
        backbone.mean, backbone.std = tuple(preprocess["mean"]), tuple(preprocess["std"])
    learned = [n for n, (k, _) in own.items() if not k.endswith("num_batches_tracked")]
    matched = sum(name in best for name in learned)
    log.info("%s: %d of the backbone's %d tensors loaded", path, matched, len(learned))
    if matched < len(learned):
        missing = next(own[name][0] for name in learned if name not in best)
        log.warning(
            "%s: %d tensors stay at random, such as %s", path, len(learned) - matched, missing
        )
    return matched


def _without_net(key: str) -> str:
    return key.removeprefix("net.")


def _canonical(key: str) -> str:
    """Spell a tensor's name as all its makers would.

    Timm's feature extractors write ``stages_0`` where the network itself writes ``stages.0``, and
    some of torchvision's published files are older than its layers' names (DenseNet, ViT).
    """
    key = re.sub(r"(denselayer\d+\.(?:norm|conv))\.(\d)", r"\1\2", key)
    key = key.replace("mlp.linear_1.", "mlp.0.").replace("mlp.linear_2.", "mlp.3.")
    return key.replace(".", "_")


def _read(path: Path) -> tuple[Mapping[str, Tensor], Mapping[str, Any] | None]:
    """The tensors of a file, and what a visionkit checkpoint says of itself."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such weight file; check backbone.weights")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        from visionkit.checkpoint_io import unreadable

        reason = first_line(error) if path.suffix == ".safetensors" else unreadable(path)
        raise CheckpointError(
            f"{path}: not a weight file that can be read ({reason}); give a file saved from "
            "state_dict()"
        ) from error
    if isinstance(content, Mapping) and "visionkit" in content:
        from visionkit.checkpoint import model_state

        try:
            state, about = model_state(content), content["visionkit"]
            about["preprocess"]
        except (KeyError, TypeError) as error:
            raise CheckpointError(
                f"{path}: a damaged visionkit checkpoint, it lacks {error}; give another file"
            ) from error
        ours = {
            k.removeprefix("backbone."): v for k, v in state.items() if k.startswith("backbone.")
        }
        return ours, about
    for key in ("state_dict", "model", "state_dict_ema"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not any(isinstance(v, Tensor) for v in content.values()):
        raise CheckpointError(f"{path}: holds no state dict; give a file saved from state_dict()")
    return {k: v for k, v in content.items() if isinstance(v, Tensor)}, None
