"""A moving average of the weights."""

import math
from typing import Any

import lightning
import torch
from torch import Tensor

from visionkit.models.base import Network
from visionkit.ops.distributed import placed
from visionkit.tasks.base import Task


class Ema(lightning.Callback):
    """Keeps an exponential moving average of the weights and puts it in place for evaluation.

    Of a network that trains by turns it is only of the part that is evaluated
    (:attr:`visionkit.models.base.Network.averaged`).

    The decay is ramped: ``decay * (1 - exp(-updates / ramp))``, so that the average forgets the
    random start. It counts optimizer updates. Integer buffers are copied.

    Args:
        decay: 0..1; 0 switches the average off.
        ramp: updates after which the decay has reached 63 % of its value; 0 for no ramp.
    """

    def __init__(self, decay: float = 0.999, ramp: float = 100) -> None:
        self.decay, self.ramp = decay, ramp
        self.updates = 0
        self.average: dict[str, Tensor] = {}
        self._aside: dict[str, Tensor] | None = None
        self._step = -1

    def on_fit_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Begin with the weights as they are, unless a checkpoint was loaded."""
        state = _evaluated(pl_module)
        if self.average:
            self.average = {k: placed(v, state[k]) for k, v in self.average.items()}
        else:
            self.average = {k: v.detach().clone() for k, v in state.items()}

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Remember the step that training goes on from."""
        self._step = trainer.global_step

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *args: Any
    ) -> None:
        """Take in the weights if the optimizer has stepped."""
        self._take_in(trainer, pl_module)

    def _take_in(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if not self.decay or trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        self.updates += 1
        decay = self.decay * (1 - math.exp(-self.updates / self.ramp) if self.ramp else 1)
        state = _evaluated(pl_module)
        floats: dict[type, list[str]] = {}  # what is cut up over ranks apart from what is whole
        for k, v in state.items():
            if v.is_floating_point():
                floats.setdefault(type(v), []).append(k)
            else:
                self.average[k].copy_(v)
        for names in floats.values():
            torch._foreach_lerp_(
                [self.average[k] for k in names], [state[k] for k in names], 1 - decay
            )

    def on_validation_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Evaluate the average; keep the weights aside."""
        if self.decay and self.updates and self._aside is None:
            self._aside = {k: v.detach().clone() for k, v in _evaluated(pl_module).items()}
            _put(pl_module, self.average)

    def on_validation_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Put the weights back."""
        self.restore(pl_module)

    def on_exception(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        exception: BaseException,
    ) -> None:
        """Put the weights back."""
        self.restore(pl_module)

    def restore(self, pl_module: lightning.LightningModule) -> None:
        """Put the weights back that were kept aside."""
        if self._aside is not None:
            _put(pl_module, self._aside)
            self._aside = None

    def on_save_checkpoint(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        checkpoint: dict[str, Any],
    ) -> None:
        """Add the average as ``ema``; put the weights, not the average, into ``state_dict``."""
        if self._aside is None:
            self._take_in(trainer, pl_module)  # an interrupt may come between step and average
        if self.decay and self.updates:
            checkpoint["ema"] = {"updates": self.updates, "model": self.average}
        if self._aside is not None:
            for k, v in self._aside.items():
                checkpoint["state_dict"][f"model.{k}"] = v

    def on_load_checkpoint(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        checkpoint: dict[str, Any],
    ) -> None:
        """Continue the average."""
        if "ema" in checkpoint:
            self.updates = checkpoint["ema"]["updates"]
            self.average = {k: v.clone() for k, v in checkpoint["ema"]["model"].items()}


def _evaluated(module: lightning.LightningModule) -> dict[str, Tensor]:
    """The tensors whose average is evaluated, by their names in the model."""
    model = _model(module)
    return {k: v for k, v in model.state_dict().items() if k.startswith(model.averaged)}


def _put(module: lightning.LightningModule, tensors: dict[str, Tensor]) -> None:
    model = _model(module)
    model.load_state_dict(tensors, strict=not model.averaged)


def _model(module: lightning.LightningModule) -> Network:
    assert isinstance(module, Task)
    return module.model
