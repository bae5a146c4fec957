"""Lightning's training loop, and the ways in which it ends."""

import logging
import signal
from pathlib import Path

import lightning
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.exceptions import SIGTERMException

from visionkit.data.datamodule import DataModule
from visionkit.errors import ConfigError
from visionkit.lightning_says import refusal
from visionkit.tasks.base import Task

log = logging.getLogger(__name__)


def fit(
    trainer: lightning.Trainer, task: Task, data: DataModule, resume: Path | None, last: Path
) -> bool:
    """Train.

    Args:
        trainer: of the run.
        task: to be trained.
        data: to train on.
        resume: the checkpoint to go on from.
        last: the one that is written.

    Returns:
        False if the person stopped it.

    Raises:
        ConfigError: Lightning refuses a setting.
        SystemExit: with 143, the code of a process that SIGTERM ended: a scheduler takes the
            machine away. On one device ``last`` was written.
    """
    try:
        trainer.fit(task, datamodule=data, ckpt_path=resume)
    except SIGTERMException as stop:
        if trainer.is_global_zero:
            newest = last if last.is_file() else resume
            way = "there is no checkpoint yet" if newest is None else f"go on with resume={newest}"
            log.warning("stopped by SIGTERM; %s", way)
        raise SystemExit(128 + signal.SIGTERM) from stop
    except SystemExit as stop:
        # Lightning's answer to Ctrl-C
        if not isinstance(stop.__context__, KeyboardInterrupt):
            raise
        # which also made the process deaf to the next one
        signal.signal(signal.SIGINT, signal.default_int_handler)
        return False
    except KeyboardInterrupt:
        return False
    except (MisconfigurationException, RuntimeError, ValueError) as error:
        line = refusal(error, task.scorer.monitor[0])
        if line is None:
            raise
        raise ConfigError(line) from error
    return not trainer.interrupted
