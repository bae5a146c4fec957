"""Training with targets: whatever the head, its losses are summed and its results are scored."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from visionkit.argtypes import Amount, Count
from visionkit.batch import Batch
from visionkit.build import call, expect
from visionkit.errors import ConfigError
from visionkit.metrics.base import Evaluator
from visionkit.models.model import Model
from visionkit.results import Result
from visionkit.tasks.base import Task
from visionkit.tasks.optim import parameter_groups
from visionkit.tasks.scoring import Scorer


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
        super().__init__(name, model, entry)
        self.model: Model
        self.make_optimizer, self.make_scheduler = optimizer, scheduler
        self.l1, self.l2, self.reference_batch = l1, l2, reference_batch
        self.channels_last = channels_last
        if channels_last:
            self.model.to(memory_format=torch.channels_last)
        # kept out of the module's children, so that a checkpoint's names are the plain model's
        self._forward: list[Callable[[Tensor], Any]] = [
            torch.compile(model, dynamic=False) if compile else model
        ]
        self.scorer = Scorer(evaluator)
        self._decayed: list[Tensor] | None = None
        self.last_results: tuple[Batch, list[Result]] | None = None

    def raw(self, batch: Batch) -> Any:
        """Run the network once."""
        images = batch.images
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        return self._forward[0](images)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the total loss of a batch."""
        losses = self.model.head.loss(self.raw(batch), batch)
        if self.l1 or self.l2:
            losses["penalty"] = self._penalty()
        total = torch.stack(list(losses.values())).sum()
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

    def on_validation_epoch_start(self) -> None:
        """Forget the last epoch's results."""
        self.scorer.reset()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Take losses and results of a batch from one pass through the network."""
        results = self.scorer.update(self.model.head, self.raw(batch), batch)
        self.last_results = (batch, results)

    def on_validation_epoch_end(self) -> None:
        """Score the whole split, once over all ranks."""
        metrics = self.scorer.metrics()
        monitor = self.scorer.monitor[0]
        figures = {k: v for k, v in metrics.items() if k != "images"}
        # a loss and a figure may share a name, as Dice's do
        parts = {f"{k}_loss" if k in figures else k: v for k, v in self.scorer.losses.items()}
        logged = {f"val/{k}": v for k, v in (figures | parts).items()}
        self.log_dict(logged, batch_size=1)
        self.last_results = None  # it would keep the batch in memory
        self.log(monitor, metrics[monitor], prog_bar=True, logger=False, batch_size=1)

    def configure_optimizers(self) -> Mapping[str, Any]:  # type: ignore[override]
        """Build optimizer and schedule over :func:`parameter_groups`."""
        keywords = getattr(self.make_optimizer, "keywords", {})
        lr = float(keywords.get("lr", 1e-3)) * self._batch_factor()
        groups = parameter_groups(self.model, lr, float(keywords.get("weight_decay", 0.0)))
        optimizer = expect(call(self.make_optimizer, "optimizer", groups), Optimizer, "optimizer")
        if self.make_scheduler is None:
            return {"optimizer": optimizer}
        steps = self.trainer.estimated_stepping_batches
        if math.isinf(steps):
            raise ConfigError("trainer.max_epochs: the schedule has no end; give max_epochs")
        schedule = call(self.make_scheduler, "scheduler", optimizer, total_steps=int(steps))
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _batch_factor(self) -> float:
        if not self.reference_batch:
            return 1.0
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        total = data.batch_size * self.trainer.world_size * self.trainer.accumulate_grad_batches
        return float(total) / self.reference_batch
