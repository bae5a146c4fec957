"""What the configurations of the commands beside training may hold; see :mod:`visionkit.schema`."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from visionkit.argtypes import Amount, Count, Positive, Range
from visionkit.schema import (
    Format,
    KeepSection,
    Node,
    PredictSection,
    Root,
    Scales,
    Side,
    Some,
    Truncation,
    Window,
)


@dataclass
class EvaluateRoot:
    """The configuration of an evaluation."""

    checkpoint: str
    split: Literal["train", "val", "test"]
    run_dir: str
    allow: list[str]
    predict: KeepSection
    data: Annotated[Any, Node(optional=True)]
    data_overrides: dict[str, Any] = field(default_factory=dict)
    evaluator_overrides: dict[str, Any] = field(default_factory=dict)


@dataclass
class PredictRoot:
    """The configuration of a prediction: ``source``, or ``n``, ``seed`` and ``label``."""

    checkpoint: str
    source: str | None
    n: Positive | None
    seed: Count | None
    label: str | int | None
    run_dir: str
    formats: Annotated[list[Format], Some(1)] | None
    annotations: str | None
    every: Positive
    frames: Positive | None
    predict: PredictSection
    batch_size: Positive
    workers: Count


@dataclass
class ProofSection:
    """``proof`` of an export: on how much it is proven, and what is allowed; null: as usual."""

    images: Count
    scored: Count | None
    boxes: Amount | None
    scores: Amount | None
    masks: Amount | None
    pictures: Amount | None
    figure: Amount | None


@dataclass
class Int8Section:
    """``int8`` of an export: how its ranges are learned, and when it is kept."""

    images: Positive
    drop: Amount


@dataclass
class BakedSection:
    """``predict`` of an export: what is built into the file; null: as the checkpoint says."""

    confidence: Annotated[float | None, Range(0, 1)]
    iou: Annotated[float | None, Range(0, 1)]
    max_detections: Annotated[int | None, Range(1)]
    flip: bool | None
    scales: Scales | None
    window: Window
    truncation: Annotated[float | None, Truncation]
    reverse: bool | None


@dataclass
class ExportRoot:
    """The configuration of an export."""

    checkpoint: str
    format: Literal["onnx", "program", "openvino"]
    decode: Literal["nms", "topk", "raw"]
    precision: Literal["fp32", "fp16", "int8"]
    dynamic: bool
    aot: bool
    run_dir: str
    allow: list[str]
    split: Literal["auto", "train", "val", "test"]
    proof: ProofSection
    int8: Int8Section
    predict: BakedSection
    data: Annotated[Any, Node(optional=True)]
    data_overrides: dict[str, Any] = field(default_factory=dict)
    evaluator_overrides: dict[str, Any] = field(default_factory=dict)


@dataclass
class BenchmarkRoot:
    """The configuration of a benchmark; null: what is there, and as the checkpoint says."""

    checkpoint: str
    name: str | None
    runtimes: (
        Annotated[list[Literal["eager", "compiled", "onnx", "openvino", "program"]], Some(1)] | None
    )
    sizes: Annotated[list[Side | tuple[Side, Side]], Some(1)] | None
    batch_sizes: Annotated[list[Positive], Some(1)]
    split: Literal["train", "val", "test"] | None
    threads: Positive | None
    device: str | None
    seconds: Annotated[float, Range(0.01)]
    against: list[str]
    run_dir: str
    allow: list[str]
    data: Annotated[Any, Node(optional=True)]
    data_overrides: dict[str, Any] = field(default_factory=dict)
    evaluator_overrides: dict[str, Any] = field(default_factory=dict)


@dataclass
class ServeRoot:
    """The configuration of the service; null: what the machine has, and as the checkpoint says."""

    checkpoint: str
    host: str
    port: Annotated[int, Range(0, 65535)]
    device: str | None
    threads: Positive | None
    workers: Positive | None
    batch_size: Positive
    max_wait_ms: Amount
    max_megabytes: Annotated[float, Range(0.001)]
    max_pixels: Positive
    queue: Positive
    timeout: Annotated[float, Range(0.1)]
    predict: PredictSection


@dataclass
class SamplerSection:
    """``sampler`` of a search: what chooses the next trial's values."""

    name: Literal["tpe", "random"]
    startup: Count


@dataclass
class PrunerSection:
    """``pruner`` of a search: what ends trials that lead nowhere; ``warmup`` in epochs."""

    name: Literal["median", "hyperband", "none"]
    startup: Count
    warmup: Count


@dataclass
class TuneRoot:
    """The configuration of a search, beside that of its training runs."""

    run_dir: str
    space: dict[str, str]
    trials: Positive
    hours: Amount | None
    workers: Positive
    defaults_first: bool
    metric: str | None
    mode: Literal["max", "min"] | None
    sampler: SamplerSection
    pruner: PrunerSection


@dataclass
class RangeTestSection:
    """``lr`` of a finder: the ends of the range test, and when it ends early."""

    low: Annotated[float, Range(1e-12)]
    high: Annotated[float, Range(1e-12)]
    steps: Annotated[int, Range(20)]
    diverged: Annotated[float, Range(1.1)]


@dataclass
class BatchSizeSection:
    """``batch_size`` of a finder: from, to, and what is good enough."""

    low: Positive
    high: Positive
    memory: Annotated[float, Range(0.05, 1)]
    steps: Annotated[int, Range(4)]
    slack: Annotated[float, Range(0, 0.5)]


@dataclass
class FindRoot:
    """The configuration of a finder, beside that of the training run."""

    what: Literal["lr", "batch_size"]
    run_dir: str
    lr: RangeTestSection
    batch_size: BatchSizeSection


@dataclass
class CheckSection:
    """``check`` of a data check: from where on something is told."""

    near: Annotated[int | None, Range(0, 8)]
    few: Count
    imbalance: Annotated[float, Range(1)]
    tiny: Amount
    many: Positive


@dataclass
class CheckRoot:
    """The configuration of a data check."""

    run_dir: str
    allow: list[str]
    threads: Positive | Literal["auto"]
    check: CheckSection
    data: Annotated[Any, Node()]


ROOTS: dict[str, type] = {
    "config": Root,
    "evaluate": EvaluateRoot,
    "predict": PredictRoot,
    "export": ExportRoot,
    "benchmark": BenchmarkRoot,
    "serve": ServeRoot,
    "check_data": CheckRoot,
    "tune": TuneRoot,
    "find": FindRoot,
}
"""The schema of each primary configuration in conf/."""
