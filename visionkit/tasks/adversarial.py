"""Training by turns: what all adversarial tasks share."""

import contextlib
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from lightning.pytorch.core.optimizer import do_nothing_closure
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from visionkit.argtypes import Amount, Positive
from visionkit.batch import Batch
from visionkit.errors import ConfigError, TrainingError
from visionkit.interrupts import held_back
from visionkit.metrics.base import Evaluator
from visionkit.models.base import Network
from visionkit.ops.distributed import mean_over_ranks
from visionkit.tasks.base import Task

CRITIC, GENERATOR = 0, 1


class AdversarialTask(Task):
    """A critic and a generator that train by turns, on every batch.

    Lightning counts the critic's steps alone, one for each batch: ``max_steps``, the schedule and
    the averaged weights go by batches, whatever the number of optimizers.

    Args:
        name: of the task.
        model: has ``critic`` and ``generator``, and gives them as :attr:`Network.trained`.
        entry: the plain ``visionkit`` entry of checkpoints.
        optimizer: makes an optimizer from parameter groups, once for each.
        scheduler: makes a schedule from the optimizer and ``total_steps``.
        evaluator: scores the validation split; None where there is none.
        critic_steps: the generator is trained on every so many batches.
        critic_lr: the critic's learning rate over the generator's (Heusel et al. 2017).
        compile: compile the generator with ``torch.compile``.
        channels_last: keep images and weights in NHWC order.
    """

    def __init__(
        self,
        name: str,
        model: Network,
        entry: dict[str, Any],
        optimizer: Callable[..., Optimizer],
        scheduler: Callable[..., LRScheduler] | None = None,
        evaluator: Evaluator | None = None,
        critic_steps: Positive = 1,
        critic_lr: Amount = 1.0,
        compile: bool = False,
        channels_last: bool = False,
    ) -> None:
        super().__init__(name, model, entry, optimizer, scheduler, evaluator)
        self.automatic_optimization = False
        self.critic_steps, self.critic_lr = critic_steps, critic_lr
        self._interrupts: list[int] = []
        if channels_last:
            self.model.to(memory_format=torch.channels_last)
        if compile:
            _, generator = self.model.trained
            generator.compile(dynamic=False)

    @abstractmethod
    def critic_losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Return what the critic is to make small on a batch, float32 scalars.

        Args:
            batch: of training pictures.
            step: batches before this one.
        """

    @abstractmethod
    def generator_losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Return what the generator is to make small; the critic is frozen meanwhile."""

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """Train the critic on a batch, then, if it is its turn, the generator.

        Ctrl-C waits for both: half a batch can't be done again.
        """
        with held_back(self._interrupts):
            self._train_on(batch)

    def on_train_batch_end(self, *args: Any) -> None:
        """Now the batch is done, and counted."""
        if self._interrupts:
            self._interrupts.clear()
            raise KeyboardInterrupt

    def _train_on(self, batch: Batch) -> None:
        step = self.trainer.global_step
        critic, _ = self.model.trained
        losses = self.critic_losses(batch, step)
        self._descend(CRITIC, losses)
        if (step + 1) % self.critic_steps == 0:
            with frozen(critic):
                made = self.generator_losses(batch, step)
                self._descend(GENERATOR, made)
            losses = losses | made
        schedules: Any = self.lr_schedulers() or []
        for schedule in schedules if isinstance(schedules, list) else [schedules]:
            schedule.step()
        self._tell(losses, len(batch))

    def _tell(self, losses: Mapping[str, Tensor], count: int) -> None:
        self.log_dict({f"train/{k}": v.detach() for k, v in losses.items()}, batch_size=count)
        total = torch.stack([v.detach() for v in losses.values()]).sum()
        self.log("train/loss", total, batch_size=count, prog_bar=True)

    def _descend(self, number: int, losses: Mapping[str, Tensor]) -> None:
        """One step of an optimizer.

        Raises:
            TrainingError: a loss isn't finite on one of the ranks; each of them raises it.
        """
        broken = torch.stack([~torch.isfinite(v.detach()) for v in losses.values()]).float()
        broken = mean_over_ranks(broken)
        if broken.any():
            bad = next(k for k, flag in zip(losses, broken.tolist(), strict=True) if flag)
            raise TrainingError(
                f"training: after {self.trainer.global_step} batches the loss {bad!r} isn't "
                "finite; lower optimizer.lr, clip gradients with trainer.gradient_clip_val=10, or "
                "train with trainer.precision=32-true; last.ckpt stays that of the last epoch"
            )
        optimizer: Any = self.optimizers()[number]  # type: ignore[index]
        optimizer.zero_grad()
        self.manual_backward(torch.stack(list(losses.values())).sum())
        if number == CRITIC:
            optimizer.step()
        else:  # past Lightning's count of steps
            self.trainer.strategy.optimizer_step(optimizer.optimizer, do_nothing_closure)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Shorten gradients: here they are free of a mixed precision's scale.

        Raises:
            ConfigError: they aren't, as the optimizer takes it away itself.
        """
        if not self.clip:
            return
        scaled = getattr(self.trainer.precision_plugin, "scaler", None) is not None
        if scaled and getattr(optimizer, "_step_supports_amp_scaling", False):
            raise ConfigError(
                "optimizer.fused: under trainer.precision=16-mixed a fused optimizer's gradients "
                "can't be clipped; set it false, or trainer.gradient_clip_val=0"
            )
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        if self.clip_values:
            nn.utils.clip_grad_value_(parameters, self.clip)
        else:
            nn.utils.clip_grad_norm_(parameters, self.clip)

    def lr_factor(self, number: int) -> float:
        """See :class:`Task`."""
        return self.critic_lr if number == CRITIC else 1.0


@contextlib.contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Let no parameter of a module have a gradient; what passes through it still has."""
    trained = [p for p in module.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def in_full(images: Tensor) -> Any:
    """A context without mixed precision: gradients of gradients need more digits than that has.

    Whether a GPU's float32 products are TF32's is left as it is.
    """
    return torch.autocast(images.device.type, enabled=False)
