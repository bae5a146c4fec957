"""Losses and figures over a split: the same code in validation, at the end of training, later."""

import contextlib
import inspect
import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from visionkit.batch import Batch
from visionkit.build import call, expect
from visionkit.data.datamodule import DataModule
from visionkit.errors import ConfigError
from visionkit.metrics.base import Evaluator
from visionkit.models.base import Network
from visionkit.ops.distributed import from_first_rank, gather_objects
from visionkit.ops.nested import map_tensors
from visionkit.options import PredictOptions
from visionkit.results import Generated, Result
from visionkit.runtimes.base import Runtime, latents
from visionkit.runtimes.torch_math import full_precision


class Scorer:
    """Collects what a network says of batch after batch.

    Args:
        evaluator: scores the results; None to collect losses only.

    Attributes:
        losses: the parts of the loss, from the last :meth:`metrics`.
    """

    def __init__(self, evaluator: Evaluator | None) -> None:
        self.evaluator = evaluator
        self.reset()

    @property
    def monitor(self) -> tuple[str, str]:
        """The figure that says how good a model is, and ``max`` or ``min``."""
        if self.evaluator is None:
            return "loss", "min"
        return self.evaluator.monitor, self.evaluator.mode

    def reset(self) -> None:
        """Forget everything."""
        self._losses: dict[str, list[tuple[float, int]]] = {}
        self.losses: dict[str, float] = {}
        self._images = 0
        if self.evaluator is not None:
            self.evaluator.reset()

    def update(self, losses: Mapping[str, Tensor], results: Sequence[Result], batch: Batch) -> None:
        """Take what a network says of a batch."""
        for name, value in losses.items():
            self._losses.setdefault(name, []).append((float(value) * len(batch), len(batch)))
        self._images += len(batch)
        if self.evaluator is not None:
            self.evaluator.update([m.image_id for m in batch.meta], results)

    def metrics(self) -> dict[str, float]:
        """The figures over all ranks, with ``loss`` and ``images``."""
        parts = gather_objects((self._losses, self._images))
        images = sum(n for _, n in parts)
        names = dict.fromkeys(name for losses, _ in parts for name in losses)
        # rounded once, whichever rank saw which batch; some pictures may lack some of the losses
        each = {n: [pair for p, _ in parts for pair in p.get(n, ())] for n in names}
        losses = {n: math.fsum(v for v, _ in s) / sum(k for _, k in s) for n, s in each.items()}
        figures: dict[str, float] = {}
        if self.evaluator is not None:
            self.evaluator.merge(gather_objects(self.evaluator.state()))
            figures |= from_first_rank(self.evaluator.compute)
        self.losses = losses
        return figures | {"loss": sum(losses.values()), "images": float(images)}


@contextlib.contextmanager
def exactly(model: Network, device: torch.device) -> Iterator[None]:
    """Put a model into evaluation mode on a device, and compute in :func:`full_precision`."""
    model.eval().to(device)
    model.to(memory_format=torch.contiguous_format)
    with full_precision():
        yield


def make_evaluator(factory: Callable[..., Any], data: DataModule, split: str) -> Evaluator:
    """Build the evaluator of a split.

    Args:
        factory: from configuration; one with a parameter ``train`` is also given the index of the
            training split, None where the set has none.
        data: has the split, or can read it.
        split: its name.
    """
    given: dict[str, Any] = {"index": data.need(split)}
    if "train" in inspect.signature(factory).parameters:
        data.read("train")
        given["train"] = data.splits.get("train")
    return expect(call(factory, "evaluator", **given), Evaluator, "evaluator")  # type: ignore[no-any-return]


@torch.no_grad()
def score(
    model: Network, batches: Iterable[Batch], evaluator: Evaluator, device: torch.device
) -> dict[str, float]:
    """Evaluate a model in float32 and return its figures and their details, with ``seconds``.

    Args:
        model: is put into evaluation mode and moved to ``device``.
        batches: a split, each picture once.
        evaluator: built for that split.
        device: to compute on.
    """
    start = time.perf_counter()
    evaluator.detailed = True
    scorer = Scorer(evaluator)
    with exactly(model, device):
        for cpu_batch in batches:
            batch = cpu_batch.to(device, non_blocking=True)
            losses, results = model.judge(batch)
            scorer.update(losses, results, batch)
    figures = scorer.metrics() | from_first_rank(evaluator.details)
    return figures | {"seconds": time.perf_counter() - start}


def answers(runtime: Runtime, batch: Batch, options: PredictOptions) -> list[Result]:
    """Return what a runtime says of a batch, as evaluation asks.

    Of a runtime that makes pictures from noise, a picture is wanted for each real one: its id is
    the seed, and its classes are asked for, where any can be.

    Args:
        runtime: whatever computes.
        batch: on the CPU.
        options: ones that the runtime can follow.
    """
    if not runtime.samples:
        return runtime.predict(np.ascontiguousarray(batch.images.numpy()), batch.meta, options)
    wanted = batch.labels.values.float().numpy() if runtime.conditional else None
    seeds = [m.image_id for m in batch.meta]
    made = runtime.make(latents(seeds, runtime.latent), wanted, options.truncation)
    known = [None] * len(made) if wanted is None else wanted.argmax(1).tolist()
    return [
        Generated(picture, label=label, seed=seed)
        for picture, label, seed in zip(made, known, seeds, strict=True)
    ]


def score_runtime(
    runtime: Runtime, options: PredictOptions, batches: Iterable[Batch], evaluator: Evaluator
) -> dict[str, float]:
    """Evaluate what :func:`score` can't: an exported file, which has no loss.

    Args:
        runtime: of the file.
        options: ones that it can follow.
        batches: a split, each picture once.
        evaluator: built for that split.

    Returns:
        The figures and their details, with ``images`` and ``seconds``.
    """
    start = time.perf_counter()
    evaluator.detailed = True
    scorer = Scorer(evaluator)
    with full_precision():
        for batch in batches:
            scorer.update({}, answers(runtime, batch, options), batch)
    figures = scorer.metrics() | from_first_rank(evaluator.details)
    del figures["loss"]
    return figures | {"seconds": time.perf_counter() - start}


def check_calibrates(model: Network, settings: Mapping[str, Any], splits: Collection[str]) -> None:
    """Refuse heads that want to fit their confidence, where there is nothing to fit it to.

    Args:
        model: the network.
        settings: of the training run, plain.
        splits: names of those that the data have.

    Raises:
        ConfigError: as it says.
    """
    if not model.calibrates or "val" in splits:
        return
    parts = (settings.get("parts") or {}).items()
    asking = [f"parts.{name}." for name, part in parts if part["head"].get("calibrate")]
    raise ConfigError(
        f"{asking[0] if asking else ''}head.calibrate: the set has no val split to fit the "
        "confidence to; add one or set it false"
    )


@torch.no_grad()
def calibrate(model: Network, batches: Iterable[Batch], device: torch.device) -> None:
    """Let heads fit their confidence to a split, seen by all ranks together.

    Args:
        model: is put into evaluation mode and moved to ``device``.
        batches: this rank's part of the split.
        device: to compute on.
    """
    seen = []
    with exactly(model, device):
        for batch in batches:
            found = model.to_calibrate(batch.to(device, non_blocking=True))
            if found is not None:
                raw, wanted = found
                seen.append((map_tensors(raw, torch.Tensor.cpu), wanted.without_pixels().to("cpu")))
    seen = [pair for part in gather_objects(seen) for pair in part]
    model.to("cpu")
    model.calibrate([raw for raw, _ in seen], [batch for _, batch in seen])
    model.to(device)
