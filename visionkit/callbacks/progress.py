"""How far training is, how long it will take, how good it is."""

import math
import sys
import time
from typing import Any

import lightning
from lightning.pytorch.callbacks import ProgressBar
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class TrainingProgress(ProgressBar):
    """A bar over the whole run on a terminal; where there is none, a line for each epoch.

    Args:
        every: seconds between two lines where there is no terminal and epochs are long.
    """

    def __init__(self, every: float = 60.0) -> None:
        super().__init__()
        self.every = every
        self._console = Console(file=sys.stdout)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._enabled = True
        self._start = self._told = 0.0
        self._first_step = 0

    def disable(self) -> None:
        """Called by Lightning on all ranks but the first."""
        self._enabled = False

    def enable(self) -> None:
        """Called by Lightning."""
        self._enabled = True

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Show the bar."""
        self._start = self._told = time.monotonic()
        self._first_step = trainer.global_step
        if self._enabled and self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(elapsed_when_finished=False),
                TextColumn("{task.fields[figures]}"),
                console=self._console,
            )
            self._bar.start()
            steps = trainer.estimated_stepping_batches
            self._task = self._bar.add_task("", total=float(steps), figures="")

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        *args: Any,
    ) -> None:
        """Move on."""
        if not self._enabled:
            return
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task,
                completed=trainer.global_step,
                description=f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}",
                figures=self._figures(trainer),
            )
        elif time.monotonic() - self._told > self.every:
            self._tell(trainer)

    def on_validation_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Say what validation found."""
        if self._enabled and not trainer.sanity_checking and trainer.state.fn == "fit":
            self._tell(trainer)

    def _tell(self, trainer: lightning.Trainer) -> None:
        self._told = time.monotonic()
        spent = self._told - self._start
        done = trainer.global_step - self._first_step
        left = float(trainer.estimated_stepping_batches) - trainer.global_step
        ahead = f", {_clock(spent / done * left)} left" if done and 0 <= left < math.inf else ""
        epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        line = f"{epoch}  {self._figures(trainer)}  {_clock(spent)}{ahead}"
        self._console.print(line, highlight=False, soft_wrap=True)

    def _figures(self, trainer: lightning.Trainer) -> str:
        figures = {k: float(v) for k, v in trainer.callback_metrics.items()}
        parts = {k.removeprefix("train/"): v for k, v in figures.items() if k.startswith("train/")}
        shown = []
        if "loss" in parts:
            total = parts.pop("loss")
            shown.append(f"loss {total:.2f} ({' '.join(f'{k} {v:.2f}' for k, v in parts.items())})")
        if "val/loss" in figures:
            shown.append(f"val {figures['val/loss']:.2f}")
        own = [k for k in trainer.progress_bar_metrics if not k.startswith(("train/", "val/"))]
        last = [k for k in own if k in figures]
        return "  ".join([*shown, *(f"{k} {figures[k]:.3f}" for k in last)])

    def on_train_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Take the bar away."""
        self._stop()

    def on_exception(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        exception: BaseException,
    ) -> None:
        """Take the bar away."""
        self._stop()

    def teardown(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str
    ) -> None:
        """Take the bar away."""
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
