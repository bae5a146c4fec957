"""What a training run tells the search that it is a trial of."""

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.trainer.states import TrainerFn

from visionkit.argtypes import Count
from visionkit.errors import ConfigError, TrainingError
from visionkit.tasks.base import Task


class Trial(lightning.Callback):
    """Notes the figure of each epoch in a study, and ends the run if it leads nowhere.

    Of several validations in an epoch the best one counts, and the run is judged after the last.
    The first rank notes and judges; all ranks end together. What is noted stays when the run goes
    on from a checkpoint: figures are kept by epoch.

    Args:
        folder: the study's.
        number: of the trial.
        metric: name of the figure; None for that by which ``best.ckpt`` is chosen.
        pruner: ``name``, ``startup`` and ``warmup``, see ``conf/tune.yaml``.
        epochs: of a whole trial; None if it isn't known.
    """

    def __init__(
        self,
        folder: str,
        number: Count,
        metric: str | None = None,
        pruner: Mapping[str, Any] | None = None,
        epochs: int | None = None,
    ) -> None:
        self.folder, self.number, self.metric = Path(folder), number, metric
        self.pruner, self.epochs = pruner or {"name": "none"}, epochs

    def setup(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        """See that there is a figure.

        Raises:
            ConfigError: there is no validation.
        """
        assert isinstance(pl_module, Task)
        if pl_module.scorer.evaluator is None:
            raise ConfigError(
                "data: a search needs a val split, which this set lacks; add one to it"
            )

    def on_validation_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Note the figure and judge.

        Raises:
            PrunedError: trials that did better by now promise more.
            ConfigError: validation gives no such figure.
        """
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        assert isinstance(pl_module, Task)
        metric = self.metric or pl_module.scorer.monitor[0]
        figures = trainer.callback_metrics
        value = figures.get(f"val/{metric}", figures.get(metric))
        if value is None:
            names = sorted(k.removeprefix("val/") for k in figures if k.startswith("val/"))
            raise ConfigError(
                f"metric: validation gives no {metric!r}; there are: {', '.join(names)}"
            )
        epoch = trainer.current_epoch + 1
        ends = trainer.is_global_zero and self._note(epoch, float(value), _last_of_epoch(trainer))
        if trainer.strategy.broadcast(ends):
            raise PrunedError(
                f"training: {metric} of trial {self.number} is {float(value):.4g} after epoch "
                f"{epoch}, and other trials promise more"
            )

    def _note(self, epoch: int, value: float, judge: bool = True) -> bool:
        """Keep a figure; return whether the trial is to end, if that is to be judged now."""
        import optuna

        from visionkit.tuning.journal import NAME, open_storage, trial_id
        from visionkit.tuning.study import make_pruner

        logging.getLogger("optuna").setLevel(logging.WARNING)
        storage = open_storage(self.folder)
        identity = trial_id(storage, self.number)
        trial = storage.get_trial(identity)
        study = optuna.load_study(
            study_name=NAME, storage=storage, pruner=make_pruner(self.pruner, self.epochs)
        )
        better = max if study.direction.name == "MAXIMIZE" else min
        known = trial.intermediate_values.get(epoch, value)
        if math.isfinite(value) and (
            epoch not in trial.intermediate_values or better(known, value) != known
        ):
            storage.set_trial_intermediate_value(identity, epoch, value)
        if not judge or epoch == self.epochs:  # or all is spent
            return False
        ends = study.pruner.prune(study, storage.get_trial(identity))
        if ends:
            storage.set_trial_user_attr(identity, "pruned", epoch)
        return bool(ends)


def _last_of_epoch(trainer: lightning.Trainer) -> bool:
    """Whether no other validation follows in this epoch."""
    every, batches = trainer.val_check_batch, trainer.num_training_batches
    if trainer.check_val_every_n_epoch is None or every is None:  # by steps or by the clock
        return True
    return trainer.fit_loop.epoch_loop.batch_idx + 1 + every > batches


class PrunedError(TrainingError):
    """The trial leads nowhere; what it trained isn't scored."""


__all__ = ["PrunedError", "Trial"]
