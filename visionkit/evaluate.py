"""Evaluation of a checkpoint by configuration."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from rich.console import Console

from visionkit import report
from visionkit.build import build, expect, plain
from visionkit.checkpoint import Loaded, load_model
from visionkit.data.datamodule import DataModule
from visionkit.errors import CheckpointError, ConfigError, DataError
from visionkit.options import options_from
from visionkit.tasks.scoring import make_evaluator, score

_FROM_CHECKPOINTS = ("visionkit.data", "visionkit.metrics", "visionkit.backbones")
"""What data and evaluators of a checkpoint may be built from."""


def run(cfg: DictConfig) -> dict[str, float]:
    """Score a checkpoint on a split exactly as its training did, and write the report.

    Args:
        cfg: a composed ``evaluate`` configuration.

    Returns:
        What ``metrics.json`` says.

    Raises:
        VisionkitError: anything the person can mend.
    """
    settings: dict[str, Any] = plain(cfg)
    path, split, folder = settings["checkpoint"], settings["split"], Path(settings["run_dir"])
    loaded = load_model(path)
    if loaded.evaluator is None:
        raise CheckpointError(f"{path}: its task has no evaluator; give another checkpoint")
    # what a checkpoint names comes from narrower places than what a person names
    where = {"packages": _FROM_CHECKPOINTS, "allow": settings["allow"]}
    chosen = {"allow": settings["allow"]} if settings.get("data") else where
    node = data_config(loaded, settings)
    data: DataModule = expect(build(node, "data", **chosen), DataModule, "data")
    info = data.read(split)
    data.need(split)
    loaded.model.check(info)
    if info.classes != loaded.classes:
        raise DataError(
            f"data.root: {data.root} has the classes {_names(info.classes)}, the checkpoint has "
            f"{_names(loaded.classes)}; give a data set with the same classes in the same order"
        )
    trained = options_from(loaded.predict | {"confidence": None})  # it looks at every score
    loaded.model.set_options(options_from(settings["predict"], trained), data.canvas)
    _check_direction(loaded, node, loaded.model.options.reverse)
    changes = settings.get("evaluator_overrides") or {}
    scores = {"allow": settings["allow"]} if changes else where
    factory = build(_changed(loaded.evaluator, changes), "evaluator", **scores)
    evaluator = make_evaluator(factory, data, split)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    folder.mkdir(parents=True, exist_ok=True)  # before the work: it may not be possible
    metrics = score(loaded.model, data.eval_dataloader(split), evaluator, device)
    console = Console()
    console.print(f"{path} on the {split} split:", highlight=False, soft_wrap=True)
    report.write_metrics(folder, metrics)
    report.print_table(metrics, console)
    evaluator.report(folder)
    console.print(f"everything is in {folder}", highlight=False, soft_wrap=True)
    return metrics


def data_config(loaded: Loaded, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The data to evaluate on: the checkpoint's own, unless the settings say otherwise.

    Other data are still seen on the checkpoint's canvas.
    """
    chosen = settings.get("data")
    changes = settings.get("data_overrides") or {}
    if chosen is None:
        return _changed(loaded.data, changes)
    return _changed({**chosen, "image_size": list(loaded.canvas)}, changes)


def _changed(node: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A plain node with some of its values, also of nodes inside it, exchanged."""
    changed = dict(node)
    for key, value in changes.items():
        inner = changed.get(key)
        if isinstance(inner, Mapping) and isinstance(value, Mapping) and "_target_" not in value:
            value = _changed(inner, value)
        changed[key] = value
    return changed


def _check_direction(loaded: Loaded, data: Mapping[str, Any], reverse: bool) -> None:
    """See to it that pictures are turned the way that they lie.

    Raises:
        ConfigError: as it says.
    """
    now, then = (bool((node.get("layout") or {}).get("reverse")) for node in (data, loaded.data))
    if (now != then) != reverse:
        raise ConfigError(
            "predict.reverse: to be scored the other way, the data must be turned round, too; give "
            "both predict.reverse=true and data.layout.reverse=true, or neither"
        )


def _names(classes: tuple[str, ...]) -> str:
    shown = ", ".join(classes[:5])
    return f"{shown} ... ({len(classes)})" if len(classes) > 5 else shown
