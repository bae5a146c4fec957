"""Evaluation of a checkpoint or an exported file by configuration."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig
from rich.console import Console

from visionkit import report
from visionkit.build import build, expect, plain
from visionkit.data.datamodule import DataModule
from visionkit.data.index import Index
from visionkit.data.joint import only_parts, part_names
from visionkit.errors import CheckpointError, ConfigError, DataError
from visionkit.options import options_from
from visionkit.subjects import Subject, load_subject
from visionkit.tasks.scoring import make_evaluator

_OWN = ("visionkit.data", "visionkit.metrics", "visionkit.backbones")
"""What the data and the evaluator that a checkpoint or file names may be built from."""


def run(cfg: DictConfig) -> dict[str, float]:
    """Score a checkpoint or a file on a split exactly as its training did, and write the report.

    An exported file has all figures but the loss.

    Args:
        cfg: a composed ``evaluate`` configuration.

    Returns:
        What ``metrics.json`` says.

    Raises:
        VisionkitError: anything the person can mend.
    """
    settings: dict[str, Any] = plain(cfg)
    path, split, folder = settings["checkpoint"], settings["split"], Path(settings["run_dir"])
    subject = load_subject(path)
    if subject.evaluator is None:
        raise CheckpointError(f"{path}: its task has no evaluator; give another {subject.kind}")
    truth = open_data(subject, settings, split)
    # it looks at every score
    trained = options_from({**subject.predict, "confidence": None})
    options = options_from(settings["predict"], trained)
    subject.follow(options, truth.data.canvas)
    _check_direction(subject, truth.node, options.reverse)
    evaluator = make_evaluator(evaluator_of(subject, settings), truth.data, split)
    folder.mkdir(parents=True, exist_ok=True)  # before the work: it may not be possible
    metrics = subject.score(truth.data.eval_dataloader(split), evaluator)
    console = Console()
    console.print(f"{path} on the {split} split:", highlight=False, soft_wrap=True)
    report.write_metrics(folder, metrics)
    report.print_table(metrics, console, evaluator.parts)
    evaluator.report(folder)
    console.print(f"everything is in {folder}", highlight=False, soft_wrap=True)
    return metrics


@dataclass(frozen=True)
class Truth:
    """What something trained is compared with.

    Attributes:
        data: has read the split.
        split: its name.
        node: the configuration of the data, plain.
    """

    data: DataModule
    split: str
    node: Mapping[str, Any]

    @property
    def index(self) -> Index:
        """The split."""
        return self.data.need(self.split)

    def leave_only(self, places: Sequence[int]) -> None:
        """Take all pictures of the split away but those at some places."""
        keep = np.isin(np.arange(len(self.index)), places)
        self.data.splits[self.split] = self.index.only(keep)


def open_data(subject: Subject, settings: Mapping[str, Any], *splits: str) -> Truth:
    """Open the data to evaluate on, and see that they suit.

    Args:
        subject: what is evaluated.
        settings: of an ``evaluate`` configuration, plain: ``data``, ``data_overrides`` and
            ``allow``.
        splits: of which the first that is there is taken.

    Raises:
        VisionkitError: there is no such split, or the data have other classes or are of another
            kind.
    """
    node = data_config(subject, settings)
    made = build(node, "data", **_from_where(settings, "data"))
    data: DataModule = expect(made, DataModule, "data")
    info = data.read(*splits)
    split = next((name for name in splits if name in data.splits), splits[0])
    data.need(split)
    subject.check(info)
    if info.classes != subject.classes:
        raise DataError(
            f"data.root: {data.root} has the classes {_names(info.classes)}, the {subject.kind} "
            f"has {_names(subject.classes)}; give a data set with the same classes in the same "
            "order"
        )
    return Truth(data, split, node)


def evaluator_of(subject: Subject, settings: Mapping[str, Any]) -> Callable[..., Any]:
    """Return what builds the evaluator of a split: as in training, unless the settings change it.

    Args:
        subject: one that has an evaluator.
        settings: of an ``evaluate`` configuration, plain: ``evaluator_overrides`` and ``allow``.
    """
    node = _changed(subject.evaluator or {}, settings.get("evaluator_overrides") or {})
    where = _from_where(settings, "evaluator_overrides")
    factory: Callable[..., Any] = build(node, "evaluator", **where)
    return factory


def _from_where(settings: Mapping[str, Any], given: str) -> dict[str, Any]:
    """What a checkpoint or file names comes from narrower places than what a person names."""
    narrow = {} if settings.get(given) else {"packages": _OWN}
    return {"allow": settings["allow"], **narrow}


def data_config(subject: Subject, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The data to evaluate on: the checkpoint's own, unless the settings say otherwise.

    Other data are still seen on the checkpoint's canvas.
    """
    chosen = settings.get("data")
    changes = settings.get("data_overrides") or {}
    if chosen is None:
        return _changed(subject.data, changes)
    names = part_names(subject.data)
    mine = only_parts(chosen, names) if names else chosen
    return _changed({**mine, "image_size": list(subject.canvas)}, changes)


def _changed(node: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A plain node with some of its values, also of nodes inside it, exchanged."""
    changed = dict(node)
    for key, value in changes.items():
        inner = changed.get(key)
        if isinstance(inner, Mapping) and isinstance(value, Mapping) and "_target_" not in value:
            value = _changed(inner, value)
        changed[key] = value
    return changed


def _check_direction(subject: Subject, data: Mapping[str, Any], reverse: bool) -> None:
    """See to it that pictures are turned the way that they lie.

    Raises:
        ConfigError: as it says.
    """
    now, then = (bool((node.get("layout") or {}).get("reverse")) for node in (data, subject.data))
    if (now != then) != reverse:
        raise ConfigError(
            "predict.reverse: to be scored the other way, the data must be turned round, too; give "
            "both predict.reverse=true and data.layout.reverse=true, or neither"
        )


def _names(classes: tuple[str, ...]) -> str:
    shown = ", ".join(classes[:5])
    return f"{shown} ... ({len(classes)})" if len(classes) > 5 else shown
