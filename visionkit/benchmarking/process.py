"""A process of its own for each runtime.

So the threads of one don't compete with those of another, memory can be told apart, and one that
fails takes nothing with it.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, cast

from visionkit.benchmarking.cases import Case, Memory, Setup, Times
from visionkit.targets import first_line


class RunnerError(Exception):
    """A runtime can't do what was asked of it; the message says why in one line."""


class Ready(NamedTuple):
    """What a process says when its model is loaded.

    Attributes:
        seconds: that it took, Python's start and libraries included.
        device: where it computes.
    """

    seconds: float
    device: str


class Runner:
    """A setup in its process; every method waits for the process's answer, :meth:`load` first.

    Args:
        setup: what to load.
        files: pictures for it, see :class:`visionkit.benchmarking.stages.Stages`.

    Raises:
        RunnerError: by every method, where the runtime refuses or its process has ended.
    """

    def __init__(self, setup: Setup, files: Sequence[Path]) -> None:
        self.setup = setup
        context = multiprocessing.get_context("spawn")
        self._pipe, self._theirs = context.Pipe()
        arguments = (self._theirs, setup, tuple(files))
        self._process = context.Process(target=_serve, args=arguments, daemon=True)

    @property
    def alive(self) -> bool:
        """Whether more can be asked of it."""
        return self._process.is_alive()

    def load(self) -> Ready:
        """Start the process and load the model."""
        start = time.perf_counter()
        self._process.start()
        self._theirs.close()  # so that the process's end is told
        device = cast(str, self._ask("load"))
        return Ready(time.perf_counter() - start, device)

    def warm_up(self, case: Case, seconds: float) -> float:
        """See :meth:`visionkit.benchmarking.stages.Stages.warm_up`."""
        return cast(float, self._ask("warm_up", case, seconds))

    def measure(self, case: Case, seconds: float) -> list[Times]:
        """See :meth:`visionkit.benchmarking.stages.Stages.measure`."""
        return cast(list[Times], self._ask("measure", case, seconds))

    def memory(self) -> Memory:
        """What its process has needed at most so far."""
        return cast(Memory, self._ask("memory"))

    def close(self) -> None:
        """End the process, if it was started."""
        self._pipe.close()
        if self._process.pid is None:
            return
        self._process.join(1)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _ask(self, what: str, *arguments: Any) -> Any:
        try:
            self._pipe.send((what, arguments))
            answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            self._process.join(5)
            code = self._process.exitcode
            why = " by the system, perhaps for want of memory" if code == -signal.SIGKILL else ""
            raise RunnerError(f"its process was ended{why} (exit code {code})") from error
        if isinstance(answer, RunnerError):
            raise answer
        return answer


class _Work:
    """What can be asked of a process, by name."""

    def __init__(self, setup: Setup, files: Sequence[Path]) -> None:
        self.setup, self.files = setup, files

    def load(self) -> str:
        from visionkit.benchmarking.stages import Stages
        from visionkit.predictor import load_runtime

        _limit_threads(self.setup.threads)
        runtime: Any = load_runtime(self.setup.path, self.setup.device, self.setup.threads)
        if self.setup.runtime == "compiled":
            from visionkit.benchmarking.networks import compile_network

            compile_network(runtime.model)
        self.stages = Stages(runtime, self.files)
        return str(getattr(runtime, "device", "cpu"))

    def warm_up(self, case: Case, seconds: float) -> float:
        if self.setup.runtime == "compiled":
            import torch

            torch.compiler.reset()  # each size has a graph of its own, and few are kept
        return self.stages.warm_up(case, seconds)

    def measure(self, case: Case, seconds: float) -> list[Times]:
        return self.stages.measure(case, seconds)

    def memory(self) -> Memory:
        return Memory(peak_memory(), _peak_of_gpu())


def _serve(pipe: Connection, setup: Setup, files: Sequence[Path]) -> None:
    """Answer until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    work = _Work(setup, files)
    while True:
        try:
            what, arguments = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer = getattr(work, what)(*arguments)
        except Exception as error:
            answer = RunnerError(first_line(error))
        with contextlib.suppress(OSError):  # whoever asked has gone
            pipe.send(answer)


def _limit_threads(count: int) -> None:
    """Let every library of this process use so many threads; they aren't loaded yet."""
    import cv2

    os.environ["OMP_NUM_THREADS"] = str(count)
    cv2.setNumThreads(count)


def peak_memory() -> int | None:
    """Bytes of main memory that this process has had at most; None where nobody knows."""
    status = Path("/proc/self/status")
    if status.is_file():  # not getrusage: what it says begins with the peak of the parent
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _peak_of_gpu() -> int | None:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    return int(torch.cuda.max_memory_allocated())
