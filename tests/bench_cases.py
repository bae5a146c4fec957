"""Runtimes, pictures and times for tests of benchmarks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from visionkit.benchmarking.cases import Case, Memory, Setup, Times
from visionkit.benchmarking.process import Ready, RunnerError
from visionkit.geometry import Image
from visionkit.options import PredictOptions
from visionkit.report import write_picture
from visionkit.runtimes.base import Runtime
from visionkit.sample import ImageMeta

READ, NETWORK, POST = 4.0, 2.0, 1.0
"""Seconds that reading and the parts of a slow runtime take, by a clock of their own."""


class Clock:
    """Stands for the module ``time``."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class SlowFile(Runtime):
    """Stands for an exported file: a network, then results."""

    task, says, classes, canvas = "detection", "boxes", ("lamp",), (64, 64)
    options = PredictOptions(flip=True, scales=(1.0, 0.5), window=(32, 32))

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.seen: list[tuple[tuple[int, ...], tuple[str, ...], PredictOptions]] = []

    def check_options(self, options: PredictOptions) -> None:
        pass

    def run(self, inputs: Any) -> Any:
        self.clock.sleep(NETWORK)
        return inputs

    def predict(self, images: Any, meta: Sequence[ImageMeta], options: PredictOptions) -> list[Any]:
        self.seen.append((images.shape, tuple(Path(m.path).name for m in meta), options))
        self.run(images)
        self.clock.sleep(POST)
        return []

    def make(self, z: Any, labels: Any, truncation: float) -> list[Image]:
        self.seen.append((z.shape, tuple(map(str, labels.argmax(1))), self.options))
        self.run(z)
        return []


class SlowNoise(SlowFile):
    """Likewise, of a file that makes pictures from noise."""

    says, classes, conditional, latent = "noise", ("a", "b"), True, 5


class FakeRunner:
    """Answers at once, as it was told to; everything that was asked is noted.

    Args:
        name: of the runtime.
        path: of its file.
        notes: what was asked, shared among runners.
        fails: ``load``, or the case at which ``when`` fails.
        when: ``warm_up``, ``measure`` or ``memory``.
        dies: whether its process ends with that.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        notes: list[str],
        fails: Case | str | None = None,
        when: str = "warm_up",
        dies: bool = False,
    ) -> None:
        self.setup = Setup(name, path, 1)
        self.notes, self.fails, self.when, self.dies = notes, fails, when, dies
        self.alive = True
        self.case: Case | None = None

    def load(self) -> Ready:
        self._answer("load")
        return Ready(1.5, "cpu")

    def warm_up(self, case: Case, seconds: float) -> float:
        self.case = case
        self._answer("warm_up")
        return 0.25

    def measure(self, case: Case, seconds: float) -> list[Times]:
        self._answer("measure")
        return [Times(0.001, 0.002, 0.003)] * 2

    def memory(self) -> Memory:
        self._answer("memory")
        return Memory(7_000_000, None)

    def _answer(self, what: str) -> None:
        self.notes.append(f"{self.setup.runtime} {what}")
        told = (
            self.fails == "load"
            if what == "load"
            else (self.case, what)
            == (
                self.fails,
                self.when,
            )
        )
        if told:
            self.alive = not self.dies
            raise RunnerError("it has no mind to")


def pictures(folder: Path, count: int) -> list[Path]:
    files = [folder / f"{n}.png" for n in range(count)]
    for file in files:
        write_picture(file, np.full((20, 30, 3), 90, np.uint8))
    return files


def result_row(**changes: Any) -> dict[str, Any]:
    """A row of ``benchmark.json``."""
    return {
        "runtime": "onnx",
        "device": "cpu",
        "height": 64,
        "width": 64,
        "batch": 1,
        "calls": 9,
        "preprocess_ms": 1.0,
        "network_ms": 2.0,
        "postprocess_ms": 0.5,
        "inference_ms": 2.5,
        "inference_p95_ms": 3.0,
        "latency_ms": 3.5,
        "latency_p95_ms": 4.5,
        "pictures_per_second": 400.0,
        "first_call_s": 0.1,
        "load_s": 1.0,
        "file_mb": 2.25,
        "peak_mb": 88.0,
        "gpu_peak_mb": None,
    } | changes


def result(*rows: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """What ``benchmark.json`` holds."""
    return {
        "format": 1,
        "name": "mine",
        "checkpoint": "model.onnx",
        "task": "detection",
        "parameters": None,
        "gflops": {},
        "pictures": "8 drawn ones",
        "split": None,
        "figure": None,
        "scores": {},
        "seconds": 1.0,
        "threads": 2,
        "machine": {"processor": "8086", "cores": 1, "memory_gb": 0.001, "gpu": None, "system": ""},
        "versions": {"python": "3.99"},
        "rows": list(rows),
        "left_out": [],
    } | changes
