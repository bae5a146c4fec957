"""A training run that leaves nothing behind: no folder, no log, no checkpoint, no validation."""

from collections.abc import Mapping, Sequence
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from omegaconf import open_dict

from visionkit.compose import compose
from visionkit.errors import ConfigError
from visionkit.lightning_says import refusal
from visionkit.train import Run

_OFF: dict[str, Any] = {
    "resume": None,
    "callbacks": None,
    "logger": None,
    "scheduler": None,
    "ema.decay": 0.0,
    "trainer.devices": 1,
    "trainer.num_nodes": 1,
    "trainer.strategy": "auto",
    "trainer.limit_val_batches": 0,
    "trainer.log_every_n_steps": 1,
}


def bare_run(
    words: Sequence[str],
    user_dir: str | None,
    folder: str,
    changes: Mapping[str, Any] | None = None,
) -> Run:
    """Put a training run together on one device, for a few steps with a constant rate.

    Model, data, their order and augmentation are those that training begins with.

    Args:
        words: of the training run.
        user_dir: ``--config-dir``.
        folder: that the run would have; nothing is written there.
        changes: more settings, by dotted key.

    Raises:
        VisionkitError: it can't be built.
    """
    cfg = compose([*words, f"run_dir={folder}"], user_dir=user_dir)
    with open_dict(cfg):
        for key, value in (_OFF | dict(changes or {})).items():
            parent, _, name = key.rpartition(".")
            node = cfg[parent] if parent else cfg
            node[name] = value
    return Run(cfg)


def train_with(run: Run, watcher: Callback) -> None:
    """Train until the watcher ends it; epochs don't.

    Args:
        run: see :func:`bare_run`.
        watcher: the only callback.

    Raises:
        ConfigError: Lightning refuses the settings.
    """
    trainer: lightning.Trainer = run.trainer
    trainer.callbacks = [watcher]  # type: ignore[attr-defined]
    # the schedule of the samples stays as long as training's
    trainer.fit_loop.max_epochs = -1
    trainer.fit_loop.epoch_loop.max_steps = -1
    # nor does the watcher wait for these
    trainer.fit_loop.min_epochs = None
    trainer.fit_loop.epoch_loop.min_steps = None
    try:
        trainer.fit(run.task, datamodule=run.data)
    except (RuntimeError, ValueError) as error:
        line = refusal(error, run.checkpoints.monitor)
        if line is None:
            raise
        raise ConfigError(line) from error
