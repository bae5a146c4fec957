"""What a configuration may hold.

Parts with a constructor are ``_target_`` nodes, and the constructor is their schema. The rest has
the typed sections below. Nothing here knows a task or a head.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from visionkit.argtypes import Count, Part, Positive, Range

ADDED: dict[str, tuple[str, ...]] = {
    "generator": ("canvas", "channels"),
    "gan": ("generator", "critic", "num_classes"),
    "weighting": ("names",),
    "neck": ("in_features",),
    "head": ("in_features", "num_classes"),
    "evaluator": ("index",),
    "task": (
        "model",
        "entry",
        "optimizer",
        "scheduler",
        "evaluator",
        "compile",
        "channels_last",
    ),
    "data": ("augment", "seed", "epochs"),
    "trainer": (
        "callbacks",
        "logger",
        "plugins",
        "default_root_dir",
        "use_distributed_sampler",
        "enable_checkpointing",
        "enable_model_summary",
        "num_sanity_val_steps",
    ),
}
"""The arguments that the code adds when it builds the node of that name."""


def added_to(where: str) -> tuple[str, ...]:
    """What the code adds to the node at a dotted path: to those of a part as to a whole model's."""
    last = where.rpartition(".")[2] if where.startswith("parts.") else where
    return ADDED.get(last, ())


LIMITS: dict[str, Range] = {
    "optimizer.lr": Range(0),
    "optimizer.weight_decay": Range(0),
    "trainer.accumulate_grad_batches": Range(1),
    "trainer.check_val_every_n_epoch": Range(1),
    "trainer.gradient_clip_val": Range(0),
}
"""Limits of arguments whose constructors, which aren't ours, would take any number."""

NO_FILE = (None, "none", "default", "auto")
FILES = (
    "checkpoint",
    "resume",
    "annotations",
    "model.weights",
    "backbone.weights",
    "evaluator.extractor.backbone.weights",
    "evaluator.extractor.checkpoint",
)


@dataclass(frozen=True)
class Some(Range):
    """Marks a list of at least ``low`` values."""

    def __str__(self) -> str:
        return f"{super().__str__()} of them"

    def check(self, value: Any) -> None:
        """Raise a ValueError for a list that is too short."""
        if isinstance(value, list | tuple) and len(value) < self.low:
            raise ValueError(f"must have {self}, got {list(value)}")


Scales = Annotated[list[Annotated[float, Range(0.25, 4)]], Some(1)]
"""Sizes of a picture, in parts of the canvas."""
Side = Annotated[int, Range(32)]
Window = Literal["none"] | Side | tuple[Side, Side] | None
"""Of windows that slide over a picture: N for a square, or height and width."""
Format = Literal["pictures", "json", "csv", "coco", "yolo", "video"]
"""Of what prediction writes."""
Truncation = Range(0.01, 1)
"""Of the noise that pictures are made from."""


@dataclass(frozen=True)
class Node:
    """Marks a ``_target_`` node, or with ``many`` a mapping of nodes, each of which may be null.

    Where the key ``instead`` has a value, the node must have none.
    """

    optional: bool = False
    many: bool = False
    instead: str | None = None


@dataclass
class ModelSection:
    """``model``: what concerns the network as a whole."""

    name: str | None
    weights: str
    norm: Literal["batch", "group"]
    compile: bool
    channels_last: bool


@dataclass
class PartSection:
    """``parts.NAME``: one of several heads on a backbone, and what its losses are multiplied by."""

    neck: Annotated[Any, Node()]
    head: Annotated[Any, Node()]
    weight: Annotated[float, Range(0)]


@dataclass(frozen=True)
class Sections:
    """Marks a mapping of sections of one kind, or null."""

    kind: type


@dataclass
class EmaSection:
    """``ema``: the averaged weights; ``ramp`` in optimizer steps, ``decay`` 0 switches it off."""

    decay: Part
    ramp: Count


@dataclass
class CheckpointsSection:
    """``checkpoints``: when ``last.ckpt`` is written besides after each epoch, and what is kept."""

    every_n_train_steps: Positive | None
    keep_previous: bool


@dataclass
class OptionsSection:
    """``predict`` of a training run: which predictions are kept."""

    confidence: Annotated[float, Range(0, 1)]
    iou: Annotated[float, Range(0, 1)]
    max_detections: Annotated[int, Range(1)]
    flip: bool
    scales: Scales
    window: Window
    overlap: Annotated[float, Range(0, 0.9)]
    truncation: Annotated[float, Truncation]
    reverse: bool


@dataclass
class PredictSection:
    """``predict``: which predictions are kept; null leaves what the checkpoint says."""

    confidence: Annotated[float | None, Range(0, 1)]
    iou: Annotated[float | None, Range(0, 1)]
    max_detections: Annotated[int | None, Range(1)]
    flip: bool | None
    scales: Scales | None
    window: Window
    overlap: Annotated[float | None, Range(0, 0.9)]
    truncation: Annotated[float | None, Truncation]
    reverse: bool | None


@dataclass
class KeepSection:
    """``predict`` of an evaluation, which looks at every score; null: what the checkpoint says."""

    iou: Annotated[float | None, Range(0, 1)]
    max_detections: Annotated[int | None, Range(1)]
    flip: bool | None
    scales: Scales | None
    window: Window
    overlap: Annotated[float | None, Range(0, 0.9)]
    truncation: Annotated[float | None, Truncation]
    reverse: bool | None


@dataclass
class Root:
    """The configuration of a training run."""

    seed: Annotated[int, Range(0, 2**32 - 1)]
    run_dir: str
    resume: str | None
    allow: list[str]
    model: ModelSection
    ema: EmaSection
    checkpoints: CheckpointsSection
    predict: OptionsSection
    backbone: Annotated[Any, Node()]
    neck: Annotated[Any, Node(instead="parts")]
    head: Annotated[Any, Node(instead="parts")]
    parts: Annotated[Any, Sections(PartSection)]
    weighting: Annotated[Any, Node(optional=True)]
    task: Annotated[Any, Node()]
    evaluator: Annotated[Any, Node()]
    generator: Annotated[Any, Node(optional=True)]
    gan: Annotated[Any, Node(optional=True)]
    data: Annotated[Any, Node()]
    augment: Annotated[Any, Node(optional=True)]
    optimizer: Annotated[Any, Node()]
    scheduler: Annotated[Any, Node(optional=True)]
    trainer: Annotated[Any, Node()]
    callbacks: Annotated[Any, Node(many=True)]
    logger: Annotated[Any, Node(many=True)]
