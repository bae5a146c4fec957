"""How long the parts of a prediction take. No torch, unless the runtime has it."""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from visionkit.benchmarking.cases import Case, Times
from visionkit.options import PredictOptions
from visionkit.runtimes.base import Runtime, latents, one_hot
from visionkit.sources import read_samples

Work = tuple[Any, Any]
"""What a runtime is given, see :func:`work_for`."""
WARM_UP = 3
"""Calls at least."""
_PASSES = ("observe", "translate", "generate")
"""What each kind of :class:`visionkit.models.base.Network` calls its way through the layers."""


class Stages:
    """A runtime at work, with a clock between its parts.

    A call does what prediction does, by the same functions: pictures are read from their files (the
    system has them in memory by then), letterboxed and stacked; the runtime runs on them; results
    are made of its outputs. Each picture is looked at once: windows, scales and mirror images of
    the training run's options are left out.

    Args:
        runtime: its method that runs the network is wrapped.
        files: pictures that are taken in turn; none for one that makes pictures from noise.
    """

    def __init__(self, runtime: Runtime, files: Sequence[Path]) -> None:
        self.runtime = runtime
        self.options = one_look(runtime.options)
        self._files = itertools.cycle(files)
        self._network = Watch(*_network_of(runtime), _wait_for(runtime))

    def call(self, case: Case) -> Times:
        """Predict for one batch."""
        start = time.perf_counter()
        work = work_for(self.runtime, case, self._files)
        ready = time.perf_counter()
        self._network.seconds = 0.0
        do(self.runtime, work, self.options)
        spent = time.perf_counter() - ready
        return Times(ready - start, self._network.seconds, spent - self._network.seconds)

    def warm_up(self, case: Case, seconds: float) -> float:
        """Call until times have settled, and return the seconds of the first call.

        Args:
            case: what will be measured.
            seconds: at least, after the first call, which may compile.
        """
        start = time.perf_counter()
        self.call(case)
        first = time.perf_counter()
        calls = 1
        while calls < WARM_UP or time.perf_counter() - first < seconds:
            self.call(case)
            calls += 1
        return first - start

    def measure(self, case: Case, seconds: float) -> list[Times]:
        """Call for so long, and return what each call took.

        The first one, which finds the caches as others left them, counts only if it is alone.
        """
        end = time.perf_counter() + seconds
        found = [self.call(case)]
        while time.perf_counter() < end:
            found.append(self.call(case))
        return found[1:] or found


def one_look(options: PredictOptions) -> PredictOptions:
    """The same options, with one look at each picture, on the model's canvas."""
    return replace(options, flip=False, scales=(1.0,), window=None)


def work_for(runtime: Runtime, case: Case, files: Iterator[Path]) -> Work:
    """Read and letterbox the pictures of a batch; or draw noise, where pictures are made of it.

    Args:
        runtime: that is going to work.
        case: how many, and how large.
        files: pictures without end; none is taken where noise is drawn.

    Returns:
        Canvases [B, 3, H, W] uint8 with the meta of each, or noise with classes.
    """
    if runtime.samples:
        seeds, count = range(case.batch), len(runtime.classes)
        labels = one_hot([s % count for s in seeds], count) if runtime.conditional else None
        return latents(seeds, runtime.latent), labels
    samples = [s for s, _ in read_samples(itertools.islice(files, case.batch), case.canvas)]
    images = np.stack([sample.image.transpose(2, 0, 1) for sample in samples])
    return images, [sample.meta for sample in samples]


def do(runtime: Runtime, work: Work, options: PredictOptions) -> list[Any]:
    """Let a runtime do what :func:`work_for` gave."""
    first, second = work
    if runtime.samples:
        return runtime.make(first, second, options.truncation)
    return runtime.predict(first, second, options)


class Watch:
    """Adds up the seconds that calls of a method take.

    Args:
        owner: its method of that name is replaced by one that is timed.
        name: of the method.
        wait: waits until what was asked for is done.

    Attributes:
        seconds: so far; to be set to 0 by whoever reads them.
    """

    def __init__(self, owner: Any, name: str, wait: Callable[[], object]) -> None:
        self.seconds = 0.0
        method = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            result = method(*args, **kwargs)
            wait()
            self.seconds += time.perf_counter() - start
            return result

        setattr(owner, name, timed)


def _network_of(runtime: Any) -> tuple[Any, str]:
    """The object, and its method, that runs the network of a runtime."""
    if hasattr(runtime, "run"):  # an exported file
        return runtime, "run"
    return runtime.model, next(name for name in _PASSES if hasattr(runtime.model, name))


def _wait_for(runtime: Any) -> Callable[[], object]:
    """What waits for the runtime's device: Python goes on while a GPU computes."""
    if getattr(getattr(runtime, "device", None), "type", "cpu") != "cuda":
        return lambda: None  # NumPy's arrays are there when they are given
    import torch

    return torch.cuda.synchronize
