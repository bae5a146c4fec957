"""Setups that take turns, and what is made of their times."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from visionkit.benchmarking.cases import Case, Memory, Setup, Times
from visionkit.benchmarking.process import Ready, RunnerError

ROUNDS = 6
"""Turns of each setup in each case."""


class Runner(Protocol):
    """See :class:`visionkit.benchmarking.process.Runner`."""

    @property
    def setup(self) -> Setup: ...  # noqa: D102

    @property
    def alive(self) -> bool: ...  # noqa: D102

    def load(self) -> Ready: ...  # noqa: D102

    def warm_up(self, case: Case, seconds: float) -> float: ...  # noqa: D102

    def measure(self, case: Case, seconds: float) -> list[Times]: ...  # noqa: D102

    def memory(self) -> Memory: ...  # noqa: D102


@dataclass(frozen=True)
class Row:
    """What was measured of one setup in one case. Times are medians unless they say otherwise.

    Attributes:
        runtime: see :class:`visionkit.benchmarking.cases.Setup`.
        device: where it computes.
        height: of the canvas.
        width: likewise.
        batch: pictures of a call.
        calls: that were timed.
        preprocess_ms: see :class:`visionkit.benchmarking.cases.Times`, as for the next two.
        network_ms: of all the batch, as all times are.
        postprocess_ms: likewise.
        inference_ms: network and postprocess.
        inference_p95_ms: what 95 of 100 calls stay below.
        latency_ms: from files to results.
        latency_p95_ms: what 95 of 100 calls stay below.
        pictures_per_second: that are inferred; reading goes on beside it.
        first_call_s: the first call's seconds; it compiles where something does.
        load_s: seconds until the model was there, Python's start and libraries included.
        file_mb: the model's files, in 10^6 bytes.
        peak_mb: main memory that its process has had at most by then, or None.
        gpu_peak_mb: likewise of a GPU's memory that torch looks after.
    """

    runtime: str
    device: str
    height: int
    width: int
    batch: int
    calls: int
    preprocess_ms: float
    network_ms: float
    postprocess_ms: float
    inference_ms: float
    inference_p95_ms: float
    latency_ms: float
    latency_p95_ms: float
    pictures_per_second: float
    first_call_s: float
    load_s: float
    file_mb: float
    peak_mb: float | None
    gpu_peak_mb: float | None


def measure(
    runners: Sequence[Runner],
    cases: Sequence[Case],
    seconds: float,
    tell: Callable[[str], object] = lambda line: None,
) -> tuple[list[Row], list[str]]:
    """Measure every case in every setup.

    Cases come by growing size of the whole batch, so that the memory that a process has had at most
    is that of the case. In each, all setups warm up; then they take turns, every other time the
    other way round, so that whatever else the machine does meets them alike.

    Args:
        runners: of the setups; that of one which fails goes on with other cases if it is alive.
        cases: in any order.
        seconds: for which each setup is timed in each case.
        tell: is given a line about what is being done.

    Returns:
        The rows, by size, batch and setup, and a line for what couldn't be measured.
    """
    failed: list[str] = []
    loaded: list[tuple[Runner, Ready]] = []
    for runner in runners:
        try:
            loaded.append((runner, runner.load()))
        except RunnerError as error:
            failed.append(f"{runner.setup.runtime}: {error}")
    rows: list[Row] = []
    for case in sorted(cases, key=lambda c: (c.height * c.width * c.batch, c.canvas)):
        tell(f"measuring {case}")
        of_case = _Turns(case, seconds)
        of_case.take([pair for pair in loaded if pair[0].alive])
        rows += of_case.rows
        failed += of_case.failed
    rows.sort(key=lambda r: (r.height * r.width, r.height, r.batch))  # setups stay in order
    return rows, failed


class _Turns:
    """One case in all setups."""

    def __init__(self, case: Case, seconds: float) -> None:
        self.case, self.seconds = case, seconds
        self.rows: list[Row] = []
        self.failed: list[str] = []

    def take(self, loaded: Sequence[tuple[Runner, Ready]]) -> None:
        """Warm up, take turns, and keep the rows."""
        block = self.seconds / ROUNDS
        first: dict[str, float] = {}
        for runner, _ in loaded:
            try:
                first[runner.setup.runtime] = runner.warm_up(self.case, block)
            except RunnerError as error:
                self._note(runner, error)
        left = [pair for pair in loaded if pair[0].setup.runtime in first]
        times: dict[str, list[Times]] = {name: [] for name in first}
        for turn in range(ROUNDS):
            for pair in list(reversed(left) if turn % 2 else left):
                try:
                    times[pair[0].setup.runtime] += pair[0].measure(self.case, block)
                except RunnerError as error:
                    self._note(pair[0], error)
                    left.remove(pair)
        for runner, ready in left:
            name = runner.setup.runtime
            try:
                memory = runner.memory()
            except RunnerError as error:
                self._note(runner, error)
            else:
                self.rows.append(
                    row(runner.setup, self.case, times[name], memory, ready, first[name])
                )

    def _note(self, runner: Runner, error: RunnerError) -> None:
        self.failed.append(f"{runner.setup.runtime} at {self.case}: {error}")


def row(
    setup: Setup,
    case: Case,
    times: Sequence[Times],
    memory: Memory,
    ready: Ready,
    first_call: float,
) -> Row:
    """Sum up the times of one setup in one case, of which there is at least one."""
    parts = 1000 * np.array(times, np.float64)
    inference, whole = parts[:, 1:].sum(1), parts.sum(1)
    median = float(np.median(inference))
    preprocess, network, postprocess = np.median(parts, 0).tolist()
    return Row(
        runtime=setup.runtime,
        device=ready.device,
        height=case.height,
        width=case.width,
        batch=case.batch,
        calls=len(times),
        preprocess_ms=preprocess,
        network_ms=network,
        postprocess_ms=postprocess,
        inference_ms=median,
        inference_p95_ms=float(np.percentile(inference, 95)),
        latency_ms=float(np.median(whole)),
        latency_p95_ms=float(np.percentile(whole, 95)),
        pictures_per_second=1000 * case.batch / median,
        first_call_s=first_call,
        load_s=ready.seconds,
        file_mb=bytes_of(setup.path) / 1e6,
        peak_mb=None if memory.main is None else memory.main / 1e6,
        gpu_peak_mb=None if memory.gpu is None else memory.gpu / 1e6,
    )


def bytes_of(path: Path) -> int:
    """The size of a model: of its file, and of the one beside it that holds its weights."""
    beside = {".onnx": path.with_name(f"{path.name}.data"), ".xml": path.with_suffix(".bin")}
    weights = beside.get(path.suffix.lower())
    there = weights is not None and weights.is_file()
    return path.stat().st_size + (weights.stat().st_size if weights and there else 0)
