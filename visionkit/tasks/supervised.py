"""Training with targets: whatever the head, its losses are summed and its results are scored."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from visionkit.argtypes import Amount, Count
from visionkit.batch import Batch
from visionkit.metrics.base import Evaluator
from visionkit.models.model import Model
from visionkit.results import Result
from visionkit.tasks.base import Task
from visionkit.tasks.optim import parameter_groups


class SupervisedTask(Task):
    """One backbone, one head, one evaluator.

    Args:
        name: of the task.
        model: a :class:`visionkit.models.model.Model`.
        entry: the plain ``visionkit`` entry of checkpoints.
        optimizer: makes an optimizer from parameter groups.
        scheduler: makes a schedule from the optimizer and ``total_steps``; None for a constant
            rate.
        evaluator: scores the validation split; None where there is none.
        l1: weight of the sum of absolute weights in the loss.
        l2: weight of half the sum of squared weights in the loss (unlike decoupled weight decay).
        reference_batch: learning rates are multiplied by the total batch over this; 0 for never.
        compile: compile the network with ``torch.compile``.
        channels_last: keep images and weights in NHWC order.
    """

    def __init__(
        self,
        name: str,
        model: Model,
        entry: dict[str, Any],
        optimizer: Callable[..., Optimizer],
        scheduler: Callable[..., LRScheduler] | None = None,
        evaluator: Evaluator | None = None,
        l1: Amount = 0.0,
        l2: Amount = 0.0,
        reference_batch: Count = 0,
        compile: bool = False,
        channels_last: bool = False,
    ) -> None:
        super().__init__(name, model, entry, optimizer, scheduler, evaluator)
        self.model: Model
        self.l1, self.l2, self.reference_batch = l1, l2, reference_batch
        self.channels_last = channels_last
        if channels_last:
            self.model.to(memory_format=torch.channels_last)
        # kept out of the module's children, so that a checkpoint's names are the plain model's
        self._forward: list[Callable[[Tensor], Any]] = [
            torch.compile(model, dynamic=False) if compile else model
        ]
        self._decayed: list[Tensor] | None = None

    def raw(self, batch: Batch) -> Any:
        """Run the network once."""
        return self._forward[0](self._images(batch))

    def _images(self, batch: Batch) -> Tensor:
        if self.channels_last:
            return batch.images.contiguous(memory_format=torch.channels_last)
        return batch.images

    def cost(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a training batch, and what is logged of it."""
        losses = self.model.head.loss(self.raw(batch), batch)
        return torch.stack(list(losses.values())).sum(), losses

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the total loss of a batch."""
        total, losses = self.cost(batch)
        if self.l1 or self.l2:
            losses["penalty"] = self._penalty()
            total = total + losses["penalty"]
        logged = {f"train/{k}": v.detach() for k, v in losses.items()}
        self.log_dict(logged, batch_size=len(batch))
        self.log("train/loss", total.detach(), batch_size=len(batch), prog_bar=True)
        return total

    def _penalty(self) -> Tensor:
        if self._decayed is None:
            groups = parameter_groups(self.model, 1.0, 1.0)
            self._decayed = [p for g in groups if g["matrix"] for p in g["params"]]
        absolute = torch.stack([p.abs().sum() for p in self._decayed]).sum()
        squares = torch.stack([p.square().sum() for p in self._decayed]).sum()
        return self.l1 * absolute + self.l2 / 2 * squares

    def judge(self, batch: Batch) -> tuple[dict[str, Tensor], list[Result]]:
        """Return losses and results from one pass through the network."""
        return self.model.weigh(self.raw(batch), batch)

    def lr_factor(self, number: int) -> float:
        """Grow with the total batch, if asked to."""
        if not self.reference_batch:
            return 1.0
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        total = data.batch_size * self.trainer.world_size * self.trainer.accumulate_grad_batches
        return float(total) / self.reference_batch
