"""Training at a batch size for a few steps, to see what it takes."""

import multiprocessing
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionkit.data.cores import memory_limits
from visionkit.errors import ConfigError, VisionkitError
from visionkit.finding.batch_size import NO_MEMORY, Measure, Measured

if TYPE_CHECKING:
    import lightning

    from visionkit.batch import Batch

_WARM = 2
_SIDE = 32


def in_a_process(words: Sequence[str], user_dir: str | None, folder: Path, steps: int) -> Measure:
    """Return what measures a size of this training run in a process of its own.

    Args:
        words: of the training run.
        user_dir: ``--config-dir``.
        folder: for what comes of it; the runs leave nothing there.
        steps: at each size.
    """

    def measure(size: int) -> Measured:
        context = multiprocessing.get_context("spawn")
        arguments = (list(words), user_dir, str(folder / "run"), size, steps)
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            try:
                found, lines = pool.submit(_measured, *arguments).result()
            except BrokenProcessPool:
                return Measured(size, why=NO_MEMORY)
        if lines:
            raise ConfigError(lines)
        assert found is not None
        return found

    return measure


def _measured(
    words: list[str], user_dir: str | None, folder: str, size: int, steps: int
) -> tuple[Measured | None, list[str]]:
    """Run in the process: what was measured, or what is wrong, a line each."""
    import sys

    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        return measure_here(words, user_dir, folder, size, steps), []
    except ConfigError as error:
        return None, error.problems
    except VisionkitError as error:
        return None, [str(error)]


def measure_here(
    words: Sequence[str], user_dir: str | None, folder: str, size: int, steps: int
) -> Measured:
    """Train on one batch of a size for a few steps, in this process.

    Where canvases differ from batch to batch it is of the largest. Of several sets it is one batch
    of each, in turn, and the time is that of the slowest.

    Raises:
        VisionkitError: the run can't be built.
    """
    import torch

    from visionkit.benchmarking.process import peak_memory
    from visionkit.finding.bare import bare_run, train_with

    run = bare_run(words, user_dir, folder, {"data.batch_size": size, "data.num_workers": 0})
    varies = run.data.multiscale
    if varies:
        height, width = (round(s * (1 + varies) / _SIDE) * _SIDE for s in run.data.canvas)
        changes = {"data.image_size": [height, width], "data.multiscale": 0.0}
        more = {"data.batch_size": size, "data.num_workers": 0}
        run = bare_run(words, user_dir, folder, changes | more)
    room = _room()
    device = run.trainer.strategy.root_device
    try:
        batches = _one_of_each(run.data.train_dataloader())
        fewest = min(map(len, batches))
        if fewest < size:
            which = "the train split" if len(batches) == 1 else "a set of the train split"
            why = f"{which} has only {fewest} pictures"
            return Measured(size, device=device.type, why=why)
        watcher = _watcher(steps * len(batches))
        run.data.train_dataloader = lambda: _Again(batches, steps)  # type: ignore[method-assign,assignment,return-value]
        train_with(run, watcher)
    except (torch.OutOfMemoryError, MemoryError):
        return Measured(size, device=device.type, why=NO_MEMORY)
    except RuntimeError as error:
        if "allocate memory" not in str(error):  # as torch says on a processor
            raise
        return Measured(size, device=device.type, why=NO_MEMORY)
    memory = peak_memory()
    if device.type == "cuda":
        memory, room = torch.cuda.max_memory_reserved(device), torch.cuda.mem_get_info(device)[1]
    each = [watcher.times[n :: len(batches)][_WARM:] for n in range(len(batches))]
    return Measured(size, memory, max(map(statistics.median, each)), room, device.type)


def _one_of_each(loader: Any) -> "list[Batch]":
    """The first batch; of several sets that of each."""
    from visionkit.data.joint_samplers import AlternatingSampler

    sampler = loader.batch_sampler
    if not isinstance(sampler, AlternatingSampler):
        return [next(iter(loader))]
    keys = sampler.first_of_each()
    return [loader.collate_fn([loader.dataset[key] for key in batch]) for batch in keys]


class _Again:
    """A loader of a few batches, which it gives in turn, each so many times."""

    def __init__(self, batches: "Sequence[Batch]", times: int) -> None:
        self.batches, self.times = batches, times

    def __len__(self) -> int:
        return len(self.batches) * self.times

    def __iter__(self) -> "Iterator[Batch]":
        return iter([*self.batches] * self.times)


def _watcher(steps: int) -> Any:
    """A callback that takes the time of steps, and ends training after so many."""
    import lightning
    import torch

    class Watcher(lightning.Callback):
        def __init__(self) -> None:
            self.times: list[float] = []
            self._start = 0.0

        def _now(self, trainer: "lightning.Trainer") -> float:
            if trainer.strategy.root_device.type == "cuda":
                torch.cuda.synchronize()
            return time.perf_counter()

        def on_train_batch_start(self, trainer: "lightning.Trainer", *_: Any) -> None:
            self._start = self._now(trainer)

        def on_train_batch_end(self, trainer: "lightning.Trainer", *_: Any) -> None:
            self.times.append(self._now(trainer) - self._start)
            if len(self.times) >= steps:
                trainer.should_stop = True

    return Watcher()


def _room() -> int | None:
    """Bytes of main memory that this process may take; None where nobody knows."""
    found = []
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                found.append(int(line.split()[1]) * 1024)
    except (OSError, ValueError):
        pass
    found += [limit - used for limit, used in memory_limits()]
    if not found:
        return None
    from visionkit.benchmarking.process import peak_memory

    return min(found) + (peak_memory() or 0)
