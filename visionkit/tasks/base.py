"""What every task is: a network that is trained, scored, and says of itself what it is."""

import math
import os
from collections.abc import Callable
from typing import Any

import lightning
import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from visionkit.batch import Batch
from visionkit.build import call, expect
from visionkit.errors import CheckpointError, ConfigError
from visionkit.metrics.base import Evaluator
from visionkit.models.base import Network
from visionkit.results import Result
from visionkit.tasks.optim import parameter_groups
from visionkit.tasks.scoring import Scorer


class Task(lightning.LightningModule):
    """A Lightning module around ``model``.

    Args:
        name: of the task, such as ``detection``.
        model: the network.
        entry: the plain ``visionkit`` entry of checkpoints, see :mod:`visionkit.checkpoint`.
        optimizer: makes an optimizer from parameter groups.
        scheduler: makes a schedule from the optimizer and ``total_steps``; None for a constant
            rate.
        evaluator: scores the validation split; None where there is none.

    Attributes:
        last_results: the last validation batch, and what was said of it.
        clip: of a task that takes its own steps: gradients are shortened to this length; 0 never.
        clip_values: whether instead each of their values is held within ``clip`` of 0.
    """

    clip: float = 0.0
    clip_values: bool = False

    def __init__(
        self,
        name: str,
        model: Network,
        entry: dict[str, Any],
        optimizer: Callable[..., Optimizer],
        scheduler: Callable[..., LRScheduler] | None = None,
        evaluator: Evaluator | None = None,
    ) -> None:
        super().__init__()
        self.name, self.model, self.entry = name, model, entry
        self.make_optimizer, self.make_scheduler = optimizer, scheduler
        self.scorer = Scorer(evaluator)
        self.last_results: tuple[Batch, list[Result]] | None = None

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed dropout and its like by the step, so that a resumed run goes on alike."""
        seed = int(os.environ.get("PL_GLOBAL_SEED", "0"))
        words = (seed, self.current_epoch, batch_idx, self.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(words).generate_state(1)[0]))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Make the checkpoint speak for itself."""
        checkpoint["visionkit"] = self.entry

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """See that what the task keeps beside the model is there: the model was compared before.

        Raises:
            CheckpointError: it isn't, or there is more.
        """
        own, theirs = self.state_dict().keys(), checkpoint["state_dict"].keys()
        unlike = sorted(k for k in own ^ theirs if not k.startswith("model."))
        if unlike:
            raise CheckpointError(
                f"resume: {unlike[0]!r} is in the task or in the checkpoint, not in both; resume "
                "with the task and the visionkit it was trained with, or start anew from its "
                "weights with model.weights"
            )

    def on_validation_epoch_start(self) -> None:
        """Forget the last epoch's results."""
        self.scorer.reset()

    def judge(self, batch: Batch) -> tuple[dict[str, torch.Tensor], list[Result]]:
        """Return losses and results of a validation batch."""
        return self.model.judge(batch)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Take losses and results of a batch."""
        losses, results = self.judge(batch)
        self.scorer.update(losses, results, batch)
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

    def configure_optimizers(self) -> Any:
        """Build an optimizer and a schedule for each part that trains by turns."""
        made = [self._optimizer(part, i) for i, part in enumerate(self.model.trained)]
        return made[0] if len(made) == 1 else made

    def _optimizer(self, part: nn.Module, number: int) -> dict[str, Any]:
        """Build them over :func:`parameter_groups`."""
        keywords = getattr(self.make_optimizer, "keywords", {})
        lr = float(keywords.get("lr", 1e-3)) * self.lr_factor(number)
        groups = parameter_groups(part, lr, float(keywords.get("weight_decay", 0.0)))
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

    def lr_factor(self, number: int) -> float:
        """What the learning rate of a part that trains by turns is multiplied by."""
        return 1.0
