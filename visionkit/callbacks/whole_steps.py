"""Ctrl-C between optimizer steps."""

import contextlib
from typing import Any

import lightning
from torch.optim import Optimizer

from visionkit.interrupts import held_back


class WholeSteps(lightning.Callback):
    """Lets Ctrl-C wait until a step is whole and logged; a second one doesn't wait.

    A step in the middle has changed some weights and not others, and would be done again by a run
    that goes on. Tasks that take their own steps see to this themselves.
    """

    def __init__(self) -> None:
        self._interrupts: list[int] = []
        self._held = contextlib.ExitStack()

    def on_before_optimizer_step(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        optimizer: Optimizer,
    ) -> None:
        """From here on it waits: what was worked out so far may be thrown away."""
        if pl_module.automatic_optimization:
            self._held.close()
            self._held.enter_context(held_back(self._interrupts))

    def on_train_batch_start(self, *args: Any) -> None:
        """The batch before this one is counted and logged."""
        self._let_through()

    def on_validation_start(self, *args: Any) -> None:
        """See :meth:`on_train_batch_start`."""
        self._let_through()

    def on_train_epoch_end(self, *args: Any) -> None:
        """See :meth:`on_train_batch_start`."""
        self._let_through()

    def _let_through(self) -> None:
        self._held.close()
        if self._interrupts:
            self._interrupts.clear()
            raise KeyboardInterrupt

    def on_exception(self, *args: Any) -> None:
        """Nothing waits any more."""
        self._held.close()
        self._interrupts.clear()
