"""Stop when validation no longer gets better."""

from typing import Any

import lightning
from lightning.pytorch.callbacks import EarlyStopping

from visionkit.argtypes import Amount, Positive


class StopEarly(EarlyStopping):
    """Lightning's early stopping, on the figure that the task's evaluator chooses models by.

    Args:
        patience: validations without an improvement after which training stops.
        min_delta: the least change that counts as one.
    """

    def __init__(self, patience: Positive = 20, min_delta: Amount = 0.0) -> None:
        super().__init__(monitor="loss", mode="min", patience=patience, min_delta=min_delta)
        self._least = min_delta

    def setup(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        """Ask the task what to watch."""
        monitor, mode = _watched(pl_module)
        super().__init__(monitor=monitor, mode=mode, patience=self.patience, min_delta=self._least)
        super().setup(trainer, pl_module, stage)


def _watched(module: Any) -> tuple[str, str]:
    monitor, mode = module.scorer.monitor
    return monitor, mode
