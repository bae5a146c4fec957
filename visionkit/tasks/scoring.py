"""Losses and figures over a split: the same code in validation, at the end of training, later."""

import contextlib
import time
import zlib
from collections.abc import Iterable, Iterator

import numpy as np
import torch

from visionkit.batch import Batch
from visionkit.heads.base import Head
from visionkit.metrics.base import Evaluator
from visionkit.models.model import Model
from visionkit.ops.distributed import from_first_rank, gather_objects
from visionkit.ops.nested import map_tensors
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
        """Take losses and results from one pass through the network; return the results.

        What a loss draws by lot depends on the pictures of the batch alone.
        """
        with drawing_by_pictures(batch):
            losses = head.loss(raw, batch)
        for name, value in losses.items():
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


@contextlib.contextmanager
def drawing_by_pictures(batch: Batch) -> Iterator[None]:
    """Let torch's random numbers follow from a batch's image ids; then go on as if none were drawn.

    Concerns the generators of the processor and of the CUDA device that the batch is on.
    """
    ids = np.array([m.image_id for m in batch.meta], np.int64)
    seed = zlib.crc32(ids.tobytes())
    device = batch.images.device
    cuda = [device.index] if device.type == "cuda" else []
    with torch.random.fork_rng(cuda):
        torch.default_generator.manual_seed(seed)
        for index in cuda:
            torch.cuda.default_generators[index].manual_seed(seed)
        yield


@contextlib.contextmanager
def exactly(model: Model, device: torch.device) -> Iterator[None]:
    """Put a model into evaluation mode on a device, in float32 without TensorFloat shortcuts."""
    model.eval().to(device)
    model.to(memory_format=torch.contiguous_format)
    precision = torch.get_float32_matmul_precision()
    convolutions = torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.allow_tf32 = convolutions


@torch.no_grad()
def score(
    model: Model, batches: Iterable[Batch], evaluator: Evaluator, device: torch.device
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
            scorer.update(model.head, model.observe(batch.images), batch)
    figures = scorer.metrics() | from_first_rank(evaluator.details)
    return figures | {"seconds": time.perf_counter() - start}


@torch.no_grad()
def calibrate(model: Model, batches: Iterable[Batch], device: torch.device) -> None:
    """Let the head fit its confidence to a split, seen by all ranks together.

    Args:
        model: is put into evaluation mode and moved to ``device``.
        batches: this rank's part of the split.
        device: to compute on.
    """
    seen = []
    with exactly(model, device):
        for batch in batches:
            raw = model.observe(batch.images.to(device, non_blocking=True))
            seen.append((map_tensors(raw, torch.Tensor.cpu), batch.without_pixels()))
    seen = [pair for part in gather_objects(seen) for pair in part]
    model.to("cpu")
    model.head.calibrate([raw for raw, _ in seen], [batch for _, batch in seen])
    model.to(device)
