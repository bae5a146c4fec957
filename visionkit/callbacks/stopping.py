"""Stop when validation no longer gets better."""

from typing import Any

import lightning
from lightning.pytorch.callbacks import EarlyStopping

from visionkit.argtypes import Amount, Positive
from visionkit.errors import ConfigError


class StopEarly(EarlyStopping):
    """Lightning's early stopping, on the figure that the task's evaluator chooses models by.

    Args:
        patience: validations without an improvement after which training stops.
        min_delta: the least change that counts as one.
    """

    def __init__(self, patience: Positive = 20, min_delta: Amount = 0.0) -> None:
        self._least = min_delta
        self._watch("loss", "min", patience)

    def _watch(self, monitor: str, mode: str, patience: int) -> None:
        # looked at right after validation, before last.ckpt is written
        super().__init__(
            monitor=monitor,
            mode=mode,
            patience=patience,
            min_delta=self._least,
            check_on_train_epoch_end=False,
        )

    def setup(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        """Ask the task what to watch.

        Raises:
            ConfigError: there is no validation.
        """
        scorer: Any = pl_module.scorer
        if scorer.evaluator is None:
            raise ConfigError(
                "callbacks: early stopping needs a val split, which this set lacks; add one or "
                "choose callbacks=default"
            )
        monitor, mode = scorer.monitor
        self._watch(monitor, mode, self.patience)
        super().setup(trainer, pl_module, stage)

    def on_fit_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Stay stopped, where a run that had stopped is resumed with no more patience."""
        trainer.should_stop = trainer.should_stop or self.wait_count >= self.patience

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue, with the patience that is asked for now."""
        super().load_state_dict(state_dict | {"patience": self.patience})
