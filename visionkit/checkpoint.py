"""Self-contained checkpoints: a model can be rebuilt from the file alone, anywhere."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from torch import Tensor

from visionkit.backbones.norms import group_norms
from visionkit.checkpoint_io import AtomicCheckpointIO, load
from visionkit.errors import CheckpointError, ConfigError
from visionkit.models.base import Network
from visionkit.models.build import build_network
from visionkit.options import PredictOptions

log = logging.getLogger(__name__)

FORMAT = 1
PARTS = (
    "visionkit.backbones",
    "visionkit.necks",
    "visionkit.heads",
    "visionkit.losses",
    "visionkit.generators",
    "visionkit.models.gan",
    "visionkit.models.translation",
)
"""What a checkpoint may build from: nothing that reads, writes or runs."""

_ENTRY = ("task", "spec", "classes", "preprocess", "data", "evaluator", "predict")
_NODES = ("backbone", "neck", "head", "generator", "gan", "parts", "weighting")
_MAY_DIFFER = ("head.", "heads.", "weighting.")
"""How the names of tensors begin that a model needn't share with the one that it starts from."""
_VERSIONS = ("visionkit", "torch", "torchvision", "lightning", "timm")


@dataclass(frozen=True)
class Loaded:
    """A model as it was evaluated, with what must be known to use it.

    Attributes:
        model: in evaluation mode, with averaged weights where there are any.
        classes: names by label.
        canvas: height and width.
        task: such as ``detection``.
        data: the training run's data configuration, plain.
        evaluator: the training run's evaluator configuration, plain.
        predict: the training run's options, see :class:`PredictOptions`.
        parts: of a joint network, the names of each part's classes by label.
    """

    model: Network
    classes: tuple[str, ...]
    canvas: tuple[int, int]
    task: str
    data: dict[str, Any]
    evaluator: dict[str, Any] | None
    predict: dict[str, Any]
    parts: dict[str, tuple[str, ...]] = field(default_factory=dict)


def entry(
    task: str,
    spec: Mapping[str, Any],
    model: Network,
    classes: tuple[str, ...],
    canvas: tuple[int, int],
    data: Mapping[str, Any],
    evaluator: Mapping[str, Any] | None,
    predict: Mapping[str, Any],
    grey: bool = False,
    part_classes: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """Make the plain ``visionkit`` entry of a checkpoint.

    Args:
        task: its name.
        spec: plain nodes ``backbone``, ``neck`` and ``head``, and those of a GAN.
        model: built from it; gives mean and std.
        classes: names by label.
        canvas: height and width.
        data: plain data configuration.
        evaluator: plain evaluator configuration.
        predict: which predictions are kept.
        grey: whether all pictures are grey.
        part_classes: names by label of each part of a joint network.
    """
    parts: dict[str, Any] = {name: dict(spec[name]) for name in _NODES if spec.get(name)}
    parts["backbone"]["weights"] = "none"  # the checkpoint has them
    parts["grouped"] = list(model.grouped)
    mean, std = model.statistics
    return {
        "format": FORMAT,
        "task": task,
        "spec": parts,
        "classes": list(classes),
        "parts": {name: list(names) for name, names in (part_classes or {}).items()},
        "preprocess": {
            "canvas": list(canvas),
            "mean": list(mean),
            "std": list(std),
            "grey": grey,
        },
        "data": dict(data),
        "evaluator": None if evaluator is None else _with_places(evaluator),
        "predict": dict(predict),
        "versions": {name: version_of(name) for name in _VERSIONS},
    }


def _with_places(node: Mapping[str, Any]) -> dict[str, Any]:
    """A plain node whose files, as far as they are there, are named from the root."""
    found: dict[str, Any] = {}
    for key, value in node.items():
        if isinstance(value, Mapping):
            value = _with_places(value)
        elif key in ("weights", "checkpoint") and isinstance(value, str) and Path(value).is_file():
            value = str(Path(value).absolute())
        found[str(key)] = value
    return found


def version_of(package: str) -> str:
    """The version of an installed package, ``unknown`` if there is none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def read(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint file as plain data and tensors.

    Raises:
        CheckpointError: it isn't there, is damaged, or isn't a visionkit checkpoint.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint; check the path")
    content = load(path)
    if not isinstance(content, dict) or not isinstance(content.get("visionkit"), dict):
        raise CheckpointError(
            f"{path}: not a visionkit checkpoint (it has no visionkit entry); weights of other "
            "makes go in by backbone.weights=FILE"
        )
    found = content["visionkit"].get("format")
    if found != FORMAT:
        raise CheckpointError(
            f"{path}: checkpoint format {found}, this visionkit reads {FORMAT}; "
            f"use the visionkit that wrote it ({content['visionkit'].get('versions')})"
        )
    lacking = [k for k in _ENTRY if k not in content["visionkit"]]
    lacking += [] if "state_dict" in content else ["state_dict"]
    if lacking:
        raise CheckpointError(
            f"{path}: a damaged visionkit checkpoint, it lacks {', '.join(lacking)}; "
            "give another file"
        )
    return content


def model_state(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """The model's tensors in a checkpoint's content: the average where there is one."""
    average = content["ema"]["model"] if "ema" in content else {}
    return trained_state(content) | average


def trained_state(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """The model's tensors in a checkpoint's content, as training left them."""
    state = content["state_dict"]
    return {k.removeprefix("model."): v for k, v in state.items() if k.startswith("model.")}


def load_model(path: str | Path, content: Mapping[str, Any] | None = None) -> Loaded:
    """Rebuild the model of a checkpoint, ready to predict.

    Args:
        path: of the file.
        content: as :func:`read` gives it, where it has been read.

    Raises:
        CheckpointError: the file is no visionkit checkpoint or doesn't fit this version.
    """
    content = read(path) if content is None else content
    about = content["visionkit"]
    classes = tuple(about["classes"])
    parts = {name: tuple(names) for name, names in about.get("parts", {}).items()}
    counts = {name: len(names) for name, names in parts.items()}
    try:
        height, width = about["preprocess"]["canvas"]
        channels = 1 if about["preprocess"].get("grey") else 3
        model = build_network(
            about["spec"], counts or len(classes), (height, width), channels, packages=PARTS
        )
        model.load_state_dict(model_state(content))
        predict = {f.name: about["predict"].get(f.name, f.default) for f in fields(PredictOptions)}
    except (ConfigError, RuntimeError, KeyError) as error:
        reason = str(error).strip().splitlines()
        raise CheckpointError(
            f"{path}: its model can't be rebuilt ({' '.join(reason[:2])}); "
            f"use the visionkit that wrote it ({about.get('versions', {}).get('visionkit')})"
        ) from error
    model.set_statistics(about["preprocess"]["mean"], about["preprocess"]["std"])
    return Loaded(
        model=model.eval(),
        classes=classes,
        canvas=(height, width),
        task=about["task"],
        data=about["data"],
        evaluator=about["evaluator"],
        predict=predict,
        parts=parts,
    )


def start_from(model: Network, path: str | Path) -> None:
    """Fill a whole model from a visionkit checkpoint; the class layers may differ.

    Raises:
        CheckpointError: the file is no visionkit checkpoint, or its model has other parts.
    """
    content = read(path)
    grouped = content["visionkit"]["spec"].get("grouped", ())
    for name in set(grouped) - set(model.grouped):
        if not hasattr(model, name):
            raise CheckpointError(
                f"{path}: has the part {name}, which this model hasn't; choose the model that it "
                "was trained with, or take its backbone by backbone.weights"
            )
        group_norms(getattr(model, name))
    model.grouped = tuple(grouped)
    state, own = model_state(content), model.state_dict()
    fits = {k: v for k, v in state.items() if k in own and own[k].shape == v.shape}
    unlike = next((k for k in own if k not in fits and not k.startswith(_MAY_DIFFER)), None)
    if unlike is not None or len(fits) < len(own) / 2:
        such = f", not {unlike}" if unlike else ""
        raise CheckpointError(
            f"{path}: only {len(fits)} of the model's {len(own)} tensors are in it{such}; "
            "choose the model that it was trained with, or take its backbone by backbone.weights"
        )
    model.load_state_dict(fits, strict=False)
    about = content["visionkit"]["preprocess"]
    model.set_statistics(about["mean"], about["std"])
    log.info("%s: %d of the model's %d tensors loaded", path, len(fits), len(own))


def replace_model(path: str | Path, model: Network) -> None:
    """Put the tensors of ``model`` into a checkpoint file, in the place of those it evaluates.

    Raises:
        CheckpointError: it can't be read or written; the old file stays whole.
    """
    content = read(path)
    state = {k: v.detach().cpu() for k, v in model.state_dict().items()}
    if "ema" in content:
        content["ema"]["model"] = state
    else:
        content["state_dict"] |= {f"model.{k}": v for k, v in state.items()}
    AtomicCheckpointIO().save_checkpoint(content, path)
