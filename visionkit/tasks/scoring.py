"""Losses and figures over a split: the same code in validation, at the end of training, later."""

import time
from collections.abc import Iterable

import torch

from visionkit.batch import Batch
from visionkit.heads.base import Head
from visionkit.metrics.base import Evaluator
from visionkit.models.model import Model
from visionkit.ops.distributed import from_first_rank, gather_objects
from visionkit.results import Result


class Scorer:
    """Collects what a head says of batch after batch.

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
        self._losses: dict[str, float] = {}
        self.losses: dict[str, float] = {}
        self._images = 0
        if self.evaluator is not None:
            self.evaluator.reset()

    def update(self, head: Head, raw: object, batch: Batch) -> list[Result]:
        """Take losses and results from one pass through the network; return the results."""
        for name, value in head.loss(raw, batch).items():
            self._losses[name] = self._losses.get(name, 0.0) + float(value) * len(batch)
        self._images += len(batch)
        results = head.predict(raw, batch)
        if self.evaluator is not None:
            self.evaluator.update([m.image_id for m in batch.meta], results)
        return results

    def metrics(self) -> dict[str, float]:
        """The figures over all ranks, with ``loss`` and ``images``."""
        parts: list[tuple[dict[str, float], int]] = gather_objects((self._losses, self._images))
        images = sum(n for _, n in parts)
        names = dict.fromkeys(name for losses, _ in parts for name in losses)
        losses = {n: sum(p.get(n, 0.0) for p, _ in parts) / max(1, images) for n in names}
        figures: dict[str, float] = {}
        if self.evaluator is not None:
            self.evaluator.merge(gather_objects(self.evaluator.state()))
            figures |= from_first_rank(self.evaluator.compute)
        self.losses = losses
        return figures | {"loss": sum(losses.values()), "images": float(images)}


@torch.no_grad()
def score(
    model: Model, batches: Iterable[Batch], evaluator: Evaluator, device: torch.device
) -> dict[str, float]:
    """Evaluate a model in float32 and return its figures, with ``seconds``.

    Args:
        model: is put into evaluation mode and moved to ``device``.
        batches: a split, each picture once.
        evaluator: built for that split.
        device: to compute on.
    """
    start = time.perf_counter()
    model.eval().to(device)
    model.to(memory_format=torch.contiguous_format)
    scorer = Scorer(evaluator)
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        for cpu_batch in batches:
            batch = cpu_batch.to(device, non_blocking=True)
            scorer.update(model.head, model(batch.images), batch)
    finally:
        torch.set_float32_matmul_precision(precision)
    return scorer.metrics() | {"seconds": time.perf_counter() - start}
