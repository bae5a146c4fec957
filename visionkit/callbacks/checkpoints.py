"""Which moments of a run are kept on disk."""

import math
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn

from visionkit.errors import CheckpointError, TrainingError


class Checkpoints(lightning.Callback):
    """``last.ckpt`` after every epoch, to resume; ``best.ckpt`` when the monitor improves.

    An interrupt or error saves ``last.ckpt`` once more where it is, unless the weights are ruined.

    Args:
        folder: of the files.
        monitor: name of the figure.
        mode: ``max`` or ``min``.
    """

    def __init__(self, folder: str | Path, monitor: str, mode: str) -> None:
        self.folder = Path(folder)
        self.monitor, self.mode = monitor, mode
        self.best = -math.inf if mode == "max" else math.inf
        self.best_epoch = -1
        self._last_step = -1
        self._statistics: list[Tensor] = []
        self._before: list[Tensor] = []

    @property
    def last_path(self) -> Path:
        """To resume from."""
        return self.folder / "last.ckpt"

    @property
    def best_path(self) -> Path:
        """To use."""
        return self.folder / "best.ckpt"

    @property
    def to_score(self) -> Path | None:
        """The best checkpoint of this run, else its last; the folder may hold another run's."""
        if self.best_epoch >= 0 and self.best_path.exists():
            return self.best_path
        return self.last_path if self._last_step >= 0 else None

    def on_train_epoch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """See to it that the last epoch is validated, whatever ``check_val_every_n_epoch`` says."""
        if trainer.check_val_every_n_epoch and trainer.current_epoch + 1 == trainer.max_epochs:
            trainer.check_val_every_n_epoch = 1

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Find the norms' running statistics, which a step changes before its weights."""
        norms = [m for m in pl_module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        self._statistics = [b for norm in norms for b in norm.buffers()]
        self._before = []

    @torch.no_grad()
    def on_train_batch_start(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Remember them, should the step be interrupted."""
        if self._before:
            torch._foreach_copy_(self._before, self._statistics)
        else:
            self._before = [b.clone() for b in self._statistics]

    def on_validation_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Save while the weights that were evaluated are in place.

        Only now is the figure known: callbacks' ``on_validation_epoch_end`` runs before the task's.
        """
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        value = float(trainer.callback_metrics.get(self.monitor, math.nan))
        better = value > self.best if self.mode == "max" else value < self.best
        if better or self.best_epoch < 0 or not self.best_path.exists():
            self.best = value if better else self.best
            self.best_epoch = trainer.current_epoch
            trainer.save_checkpoint(self.best_path, weights_only=True)

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Save all that resuming needs."""
        self._save_last(trainer)

    def on_train_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Where ``max_steps`` ended training before any validation, the last is the best."""
        if self.best_epoch < 0 and trainer.global_step > 0:
            self.best_epoch = trainer.current_epoch
            trainer.save_checkpoint(self.best_path, weights_only=True)

    def _save_last(self, trainer: lightning.Trainer) -> None:
        self._last_step = trainer.global_step
        trainer.save_checkpoint(self.last_path)

    def on_exception(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        exception: BaseException,
    ) -> None:
        """Lose nothing that was learned since the last save."""
        useless = isinstance(exception, CheckpointError | TrainingError)
        if useless or trainer.global_step == self._last_step:
            return
        alone = trainer.world_size > 1 and not isinstance(exception, KeyboardInterrupt)
        if trainer.global_step > 0 and not alone:  # saving waits for the other ranks
            progress: Any = trainer.fit_loop.epoch_loop.batch_progress
            if progress.current.processed > progress.current.completed:
                progress.increment_completed()  # its step is done: don't do it again
            elif progress.current.started > progress.current.processed and self._before:
                with torch.no_grad():  # it will be done again
                    torch._foreach_copy_(self._statistics, self._before)
            self._save_last(trainer)

    def state_dict(self) -> dict[str, Any]:
        """Best figure so far."""
        return {"best": self.best, "best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from the best figure so far."""
        self.best, self.best_epoch = state_dict["best"], state_dict["best_epoch"]
