"""Whether a file of eight bits is worth it: smaller, faster, and as good."""

import math
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

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
        drop: by how much its figure is worse, of several the one that loses most; None where none
            was asked for.
        seconds: the median latencies of both, the other's first.
        figures: of both, likewise.
        kept: whether it is worth it.
        why: in a few words.
        figure: the name of the figure; None where none was asked for.
    """

    size: float
    latency: float
    drop: float | None
    seconds: tuple[float, float]
    figures: tuple[float, float] | None
    kept: bool
    why: str
    figure: str | None = None


def weigh(
    full: Path,
    small: Path,
    examples: Sequence[Inputs],
    score: Callable[[Path], Mapping[str, float]] | None = None,
    *,
    falling: Collection[str] = (),
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
        score: gives the figures of a file by name, such as its AP; None to leave them out. The one
            that loses most decides.
        falling: those that get better as they fall.
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
    name = figures = drop = None
    what = "figure"
    if score is not None:
        both = score(full), score(small)
        drops = {k: (b - v) if k in falling else (v - b) for k, v, b in _pairs(*both)}
        # one that isn't a number is the worst
        name = max(drops, key=lambda k: drops[k] if math.isfinite(drops[k]) else math.inf)
        drop, figures = drops[name], (both[0][name], both[1][name])
        what = "figure" if len(drops) == 1 else name
    latency = seconds[1] / seconds[0]
    faults = [
        *([f"it isn't smaller ({size:.2f} of the size)"] if size >= 1 else []),
        *([f"it isn't faster ({latency:.2f} of the time)"] if latency >= 1 else []),
        # a figure that isn't a number is no better
        *([f"its {what} drops by {drop:.4f}"] if drop is not None and not drop <= most else []),
    ]
    good = f"{size:.2f} of the size, {latency:.2f} of the time"
    good += "" if drop is None else f", and the {what} drops by {drop:.4f}"
    said = "; ".join(faults) or good
    return Verdict(size, latency, drop, seconds, figures, not faults, said, name)


def _pairs(
    one: Mapping[str, float], other: Mapping[str, float]
) -> Iterator[tuple[str, float, float]]:
    return ((name, value, other[name]) for name, value in one.items())


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
