"""What can be evaluated: a checkpoint's network, or an exported file."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from visionkit.about import JOINT, About
from visionkit.batch import Batch
from visionkit.checkpoint import Loaded, load_model
from visionkit.data.index import DataInfo
from visionkit.errors import ConfigError
from visionkit.metrics.base import Evaluator
from visionkit.options import PredictOptions
from visionkit.predictor import FILES, load_runtime
from visionkit.runtimes.base import Runtime
from visionkit.tasks.scoring import score, score_runtime

_KINDS = {"pictures": ("pairs", "unpaired"), "noise": ("classes", "images")}
"""What the pictures of a set must be labelled with, by what is said of them, where they differ."""


class Subject(ABC):
    """Something trained, as evaluation sees it.

    Attributes:
        kind: ``checkpoint`` or ``file``, for messages.
        classes: names by label.
        canvas: height and width that it was trained on.
        data: the training run's data configuration, plain.
        evaluator: the training run's evaluator configuration, plain; None if there is none.
        predict: the options of the training run, or those given to the export.
    """

    kind: str
    classes: tuple[str, ...]
    canvas: tuple[int, int]
    data: Mapping[str, Any]
    evaluator: Mapping[str, Any] | None
    predict: Mapping[str, Any]

    @abstractmethod
    def check(self, info: DataInfo) -> None:
        """Refuse data of another kind.

        Raises:
            ConfigError: as it says.
        """

    @abstractmethod
    def follow(self, options: PredictOptions, canvas: tuple[int, int]) -> None:
        """Check options, on a canvas of (height, width), and follow them from now on.

        Raises:
            ConfigError: they can't be followed.
        """

    @abstractmethod
    def score(self, batches: Iterable[Batch], evaluator: Evaluator) -> dict[str, float]:
        """Return the figures over a split, their details, and ``images`` and ``seconds``."""


class CheckpointSubject(Subject):
    """The network of a checkpoint.

    Args:
        loaded: see :class:`visionkit.checkpoint.Loaded`.
    """

    kind = "checkpoint"

    def __init__(self, loaded: Loaded) -> None:
        self.model = loaded.model
        self.classes, self.canvas = loaded.classes, loaded.canvas
        self.data, self.evaluator, self.predict = loaded.data, loaded.evaluator, loaded.predict

    def check(self, info: DataInfo) -> None:
        """See :class:`Subject`."""
        self.model.check(info)

    def follow(self, options: PredictOptions, canvas: tuple[int, int]) -> None:
        """See :class:`Subject`."""
        self.model.set_options(options, canvas)

    def score(self, batches: Iterable[Batch], evaluator: Evaluator) -> dict[str, float]:
        """See :class:`Subject`. The loss is among the figures."""
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return score(self.model, batches, evaluator, device)


class FileSubject(Subject):
    """An exported file. It knows no loss.

    Args:
        runtime: of the file.
        about: what the file says of itself.
        name: of the file, for messages.
    """

    kind = "file"

    def __init__(self, runtime: Runtime, about: About, name: str) -> None:
        self.runtime, self.about, self.name = runtime, about, name
        self.options = runtime.options
        self.classes, self.canvas = about.classes, about.canvas
        self.data, self.evaluator, self.predict = about.data, about.evaluator, about.predict

    def check(self, info: DataInfo) -> None:
        """See :class:`Subject`."""
        if self.about.says != JOINT:
            _check(self.about, info, self.name)
            return
        lacking = [name for name in self.about.parts if name not in info.parts]
        if lacking:
            there = ", ".join(info.parts) or info.kind
            raise ConfigError(
                f"data: {self.name} wants labels for {lacking[0]}, this set has {there}; choose "
                "another data="
            )
        for name in self.about.parts:
            _check(self.about.part(name), info.parts[name], f"{self.name}, {name},")

    def follow(self, options: PredictOptions, canvas: tuple[int, int]) -> None:
        """See :class:`Subject`. A canvas that isn't taken is refused with the first batch."""
        self.runtime.check_options(options)
        self.options = options

    def score(self, batches: Iterable[Batch], evaluator: Evaluator) -> dict[str, float]:
        """See :class:`Subject`."""
        return score_runtime(self.runtime, self.options, batches, evaluator)


def _check(about: About, info: DataInfo, name: str) -> None:
    """Refuse data of another kind than a file, or a part of one, answers with.

    Raises:
        ConfigError: as it says.
    """
    kinds = _KINDS.get(about.says, (about.says,))
    if about.says == "noise" and about.conditional:
        kinds = ("classes",)
    if info.kind not in kinds:
        raise ConfigError(
            f"data: this set is labelled with {info.kind}, {name} wants {' or '.join(kinds)}; "
            "choose another data="
        )
    if about.says == "classes" and about.exclusive and not info.exclusive:
        raise ConfigError(
            f"data: pictures of this set may have several classes, {name} says one of each; "
            "choose another data="
        )


def load_subject(path: str | Path) -> Subject:
    """Load what is to be evaluated.

    Args:
        path: of a checkpoint, or of an exported file, whose name ends as one of
            :data:`visionkit.predictor.FILES`.

    Raises:
        CheckpointError: the file is missing, damaged, or of another kind.
    """
    if Path(path).suffix.lower() in FILES:
        runtime: Any = load_runtime(path)
        return FileSubject(runtime, runtime.about, str(path))
    return CheckpointSubject(load_model(path))
