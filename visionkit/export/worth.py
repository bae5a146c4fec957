"""Whether a file of eight bits is worth it: smaller, faster, and as good."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

from visionkit.errors import ConfigError, VisionkitError
from visionkit.export.onnx import needed
from visionkit.export.precision import Inputs
from visionkit.runtimes.exported import reason

WARM_UP = 2
ROUNDS = 20


@dataclass(frozen=True)
class Verdict:
    """What a smaller file costs and gives, against the file that it was made of.

    Attributes:
        size: its bytes, in parts of the other's.
        latency: its median latency, likewise.
        drop: by how much its figure is worse; None where none was asked for.
        seconds: the median latencies of both, the other's first.
        figures: of both, likewise.
        kept: whether it is worth it.
        why: in a few words.
    """

    size: float
    latency: float
    drop: float | None
    seconds: tuple[float, float]
    figures: tuple[float, float] | None
    kept: bool
    why: str


def weigh(
    full: Path,
    small: Path,
    examples: Sequence[Inputs],
    score: Callable[[Path], float] | None = None,
    *,
    mode: Literal["max", "min"] = "max",
    most: float = 0.01,
    threads: int | None = None,
    rounds: int = ROUNDS,
) -> Verdict:
    """Compare two ONNX files: their sizes, their latencies side by side, and their figures.

    Args:
        full: the file as it was exported.
        small: what was made of it.
        examples: inputs to time them with, in turn; each round runs both files on the same one, and
            they take turns in going first.
        score: gives the figure of a file, such as its AP; None to leave it out.
        mode: whether larger figures are better (``max``) or smaller ones.
        most: the largest drop that is still worth it.
        threads: of ONNX Runtime; its own choice unless given.
        rounds: that are timed.

    Raises:
        ConfigError: there are no examples, the package onnxruntime isn't there, or it can't run a
            file.
    """
    if not examples:
        raise ConfigError("precision: there are no pictures to time the files with; check the data")
    size = small.stat().st_size / full.stat().st_size
    try:
        seconds = _side_by_side((full, small), examples, threads, rounds)
    except VisionkitError:
        raise
    except Exception as error:  # ONNX Runtime's kinds have no common class
        raise ConfigError(
            f"precision: ONNX Runtime can't run the file ({reason(error)}); take fp32"
        ) from error
    figures = drop = None
    if score is not None:
        figures = score(full), score(small)
        drop = figures[0] - figures[1] if mode == "max" else figures[1] - figures[0]
    latency = seconds[1] / seconds[0]
    faults = [
        *([f"it isn't smaller ({size:.2f} of the size)"] if size >= 1 else []),
        *([f"it isn't faster ({latency:.2f} of the time)"] if latency >= 1 else []),
        # a figure that isn't a number is no better
        *([f"its figure drops by {drop:.4f}"] if drop is not None and not drop <= most else []),
    ]
    good = f"{size:.2f} of the size, {latency:.2f} of the time"
    good += "" if drop is None else f", and the figure drops by {drop:.4f}"
    return Verdict(size, latency, drop, seconds, figures, not faults, "; ".join(faults) or good)


def keep_if_worth_it(full: Path, small: Path, verdict: Verdict) -> None:
    """Put the smaller file in the other's place if it is worth it; else remove it."""
    if verdict.kept:
        os.replace(small, full)
    else:
        small.unlink()


def _side_by_side(
    paths: tuple[Path, Path], examples: Sequence[Inputs], threads: int | None, rounds: int
) -> tuple[float, float]:
    """Median seconds of each of two files."""
    sessions = [_session(path, threads) for path in paths]
    taken: tuple[list[float], list[float]] = [], []
    for n in range(-WARM_UP, rounds):
        inputs = dict(examples[n % len(examples)])
        for which in (0, 1) if n % 2 else (1, 0):
            start = time.perf_counter()
            sessions[which].run(None, inputs)
            if n >= 0:
                taken[which].append(time.perf_counter() - start)
    return median(taken[0]), median(taken[1])


def _session(path: Path, threads: int | None) -> Any:
    onnxruntime = needed("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
