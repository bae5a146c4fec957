"""Which moments of a run are kept on disk."""

import contextlib
import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn

from visionkit.callbacks.ema import Ema
from visionkit.checkpoint import read
from visionkit.errors import CheckpointError, TrainingError
from visionkit.tasks.base import Task


class Checkpoints(lightning.Callback):
    """``last.ckpt`` after every epoch, to resume; ``best.ckpt`` when the monitor improves.

    An interrupt or error saves ``last.ckpt`` once more where it is, unless the weights are ruined
    or there are several ranks.
    The ``last.ckpt`` before it stays beside it as ``previous.ckpt``, for when a disk has ruined the
    newer one: a kill can't, at no moment is there none.

    Args:
        folder: of the files.
        monitor: name of the figure.
        mode: ``max`` or ``min``.
        every_n_train_steps: ``last.ckpt`` is written after so many optimizer steps, too.
        keep_previous: whether ``previous.ckpt`` is kept.
        continues: whether the run goes on from a file of ``folder``: the ``last.ckpt`` there is
            its own.
    """

    def __init__(
        self,
        folder: str | Path,
        monitor: str,
        mode: str,
        every_n_train_steps: int | None = None,
        keep_previous: bool = True,
        continues: bool = False,
    ) -> None:
        self.folder = Path(folder)
        self.monitor, self.mode = monitor, mode
        self.every, self.keep_previous = every_n_train_steps, keep_previous
        self.continues = continues
        self.best = self._worst
        self.best_epoch = -1
        self._last_step = -1
        self._saved_at = 0
        self._resumed: int | None = None
        self._statistics: list[Tensor] = []
        self._before: list[Tensor] = []
        self._recount = False
        self._begun = False

    @property
    def last_path(self) -> Path:
        """To resume from."""
        return self.folder / "last.ckpt"

    @property
    def _worst(self) -> float:
        return -math.inf if self.mode == "max" else math.inf

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

    @property
    def has_last(self) -> bool:
        """Whether this run has written its ``last.ckpt``."""
        return self._last_step >= 0 and self.last_path.is_file()

    def on_load_checkpoint(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        checkpoint: dict[str, Any],
    ) -> None:
        """Remember which step the run goes on from."""
        self._resumed = checkpoint["global_step"]

    def on_fit_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """See whether ``best.ckpt`` is what the resumed checkpoint says of it.

        A kill may have come between the two: it is then of a validation that will be done again.
        Where it is lost, the best is looked for among those that are still to come.
        """
        if self._resumed is None:
            return
        found = self._look() if trainer.is_global_zero else (None, None)
        step, said = trainer.strategy.broadcast(found)
        if step is None:
            self.best, self.best_epoch = self._worst, -1
        elif said and step >= self._resumed:
            self.best, self.best_epoch = said["figure"], said["epoch"]

    def _look(self) -> tuple[int | None, dict[str, Any] | None]:
        """The step that ``best.ckpt`` is of, and what it says of itself; None if it is lost."""
        try:
            content = read(self.best_path)
        except CheckpointError:
            return None, None
        return int(content.get("global_step", -1)), content["visionkit"].get("best")

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
        self._begun = True
        self._saved_at = trainer.global_step
        # Lightning counts them anew by where in the loop a checkpoint was written
        self._recount = self._resumed is not None
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
        """Save where it is time; remember the statistics, should the step be interrupted."""
        if self._recount:
            self._recount = False
            loop = trainer.fit_loop.epoch_loop
            loop._batches_that_stepped = trainer.global_step
            loop.batch_progress.total.ready = loop.batch_progress.total.completed + 1
        due = self.every and trainer.global_step // self.every != self._saved_at // self.every
        if due and batch_idx:  # now, and not when a batch ends: what it logs and counts is done
            self._save_last(trainer)
        if batch_idx % trainer.accumulate_grad_batches:
            return
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
        # saving is done together, and a disk may show ranks different things
        lost = trainer.strategy.broadcast(not self.best_path.exists())
        if better or self.best_epoch < 0 or lost:
            before = self.best, self.best_epoch
            self.best = value if better else self.best
            self.best_epoch = trainer.current_epoch
            try:
                self._save_best(trainer, pl_module)
            except BaseException:
                self.best, self.best_epoch = before
                raise

    def _save_best(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Save the weights that are in place, with the figure that they have."""
        assert isinstance(module, Task)
        entry = module.entry
        module.entry = entry | {"best": {"figure": self.best, "epoch": self.best_epoch}}
        try:
            trainer.save_checkpoint(self.best_path, weights_only=True)
        finally:
            module.entry = entry

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
            callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
            averages = [c for c in callbacks if isinstance(c, Ema)]
            for ema in averages:
                ema.on_validation_start(trainer, pl_module)
            self._save_best(trainer, pl_module)
            for ema in averages:
                ema.restore(pl_module)

    def _save_last(self, trainer: lightning.Trainer) -> None:
        for logger in trainer.loggers:  # no row may be lost that won't be logged again
            logger.save()
        own = self.continues or self._last_step >= 0
        with self._previous_kept(own and self.keep_previous and trainer.is_global_zero):
            trainer.save_checkpoint(self.last_path)
        self._last_step = self._saved_at = trainer.global_step

    @contextlib.contextmanager
    def _previous_kept(self, wanted: bool) -> Iterator[None]:
        """Keep ``last.ckpt`` as ``previous.ckpt`` while a new one takes its place.

        It has both names until the new one is whole; where a file can't have two, it is renamed.
        """
        if not wanted or not self.last_path.is_file():
            yield
            return
        previous = self.folder / "previous.ckpt"
        second = self.folder / f".previous.ckpt.{os.getpid()}.tmp"
        try:
            with contextlib.suppress(FileNotFoundError):
                second.unlink()
            os.link(self.last_path, second)
        except OSError:
            shutil.move(self.last_path, previous)
            yield
            return
        try:
            yield
            os.replace(second, previous)
        finally:
            with contextlib.suppress(OSError):
                second.unlink()

    def on_exception(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        exception: BaseException,
    ) -> None:
        """Lose nothing that was learned since the last save."""
        useless = isinstance(exception, CheckpointError | TrainingError)
        # before training has begun, the state may be restored in part
        if useless or not self._begun or trainer.global_step == self._last_step:
            return
        # several ranks save together, and where one has stopped the others may be steps away
        if trainer.global_step > 0 and trainer.world_size == 1:
            self._back_to_a_step(trainer)
            self._save_last(trainer)

    @torch.no_grad()
    def _back_to_a_step(self, trainer: lightning.Trainer) -> None:
        """Let the loop's counts and the statistics be those after the last whole step."""
        progress: Any = trainer.fit_loop.epoch_loop.batch_progress
        if progress.current.processed > progress.current.completed:
            progress.increment_completed()  # its step is done: don't do it again
        ended = progress.current.completed >= trainer.num_training_batches
        # gradients that were gathered for a step aren't saved: those batches are done again
        gathered = 0 if ended else progress.current.completed % trainer.accumulate_grad_batches
        for counts in (progress.current, progress.total):
            counts.completed -= gathered
        begun = progress.current.started > progress.current.processed
        if self._before and (gathered or begun):
            torch._foreach_copy_(self._statistics, self._before)
        if trainer.validating:  # Lightning would go on behind the batch where it was left
            scored: Any = trainer.fit_loop.epoch_loop.val_loop.batch_progress
            scored.current.reset()
            scored.total.reset()
            scored.is_last_batch = False
            scored.total.ready = scored.total.started = 1  # begun, so it isn't skipped

    def state_dict(self) -> dict[str, Any]:
        """Best figure so far."""
        return {"best": self.best, "best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from the best figure so far."""
        self.best, self.best_epoch = state_dict["best"], state_dict["best_epoch"]
