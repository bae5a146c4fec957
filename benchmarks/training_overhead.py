"""What a training run costs beyond the network: its time against bare steps of the same model.

    python benchmarks/training_overhead.py task=detection data=coco data.root=DIR \
        experiment=small_data trainer.max_epochs=6

After each epoch of the run, as many bare steps are taken on a copy of the model with one fixed
batch: forward, backward (of the mean square of the outputs) and optimizer step, nothing else. So
both see the same machine at the same time. The ratio counts loader, augmentation, assignment,
losses, averaging, validation, pictures and checkpoints; images/s are those of both. In the first
epoch workers start and pictures are decoded: the time after it is given apart.
"""

import copy
import dataclasses
import sys
import time
from collections.abc import Iterator
from typing import Any

import lightning
import torch

from visionkit.compose import compose
from visionkit.tasks.optim import parameter_groups
from visionkit.train import Run


class Beside(lightning.Callback):
    """Times each epoch, then as many bare steps."""

    def __init__(self) -> None:
        self.run_times: list[float] = []
        self.bare_times: list[float] = []
        self.images: torch.Tensor | None = None
        self.seen = 0

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == 0:
            self.images = batch.images.clone()

    def on_train_start(self, trainer: Any, module: Any) -> None:
        self.start = time.perf_counter()

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        self.run_times.append(elapsed(self.start))
        assert self.images is not None
        self.seen = trainer.num_training_batches * len(self.images)
        with trainer.precision_plugin.forward_context():
            self.bare_times.append(bare(module, self.images, trainer.num_training_batches))
        self.start = time.perf_counter()


def elapsed(start: float) -> float:
    """Seconds since ``start``, the GPU's work included."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def outputs(raw: Any) -> Iterator[torch.Tensor]:
    """All tensors of a raw output that a gradient can come from."""
    if isinstance(raw, torch.Tensor):
        if raw.requires_grad:
            yield raw
    elif dataclasses.is_dataclass(raw):
        for field in dataclasses.fields(raw):
            yield from outputs(getattr(raw, field.name))


def bare(module: Any, images: torch.Tensor, steps: int) -> float:
    """Seconds that ``steps`` bare steps take."""
    model = copy.deepcopy(module.model).train()
    if module.channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
    keywords = module.make_optimizer.keywords
    optimizer = module.make_optimizer(
        parameter_groups(model, keywords["lr"], keywords.get("weight_decay", 0.0))
    )
    start = time.perf_counter()
    for _ in range(steps):
        loss = sum(x.float().square().mean() for x in outputs(model(images)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return elapsed(start)


def main() -> None:
    """Run the comparison and print it."""
    run = Run(compose(sys.argv[1:]))
    beside = Beside()
    run.trainer.callbacks.append(beside)
    run.fit()
    print("epoch   run s  bare s  ratio")
    for n, (r, b) in enumerate(zip(beside.run_times, beside.bare_times, strict=True), 1):
        print(f"{n:5d} {r:7.2f} {b:7.2f} {r / b:6.3f}")
    rates = [beside.seen * len(t) / sum(t) for t in (beside.run_times, beside.bare_times)]
    print(f"images/s: {rates[0]:.0f} of the run, {rates[1]:.0f} bare")
    # sums, not medians: not every epoch ends with a validation
    if len(beside.run_times) > 1:
        print(f"after epoch 1: {sum(beside.run_times[1:]) / sum(beside.bare_times[1:]):.3f}")
    print(f"whole run: {sum(beside.run_times) / sum(beside.bare_times):.3f}")


if __name__ == "__main__":
    main()
