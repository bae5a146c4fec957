"""How long the model works, how long it waits for pictures, and what to do about it."""

import logging
import statistics
import time
from dataclasses import dataclass
from typing import Any

import lightning
import torch

from visionkit.argtypes import Part, Positive
from visionkit.data.cores import cores
from visionkit.data.datamodule import DataModule, default_workers

log = logging.getLogger(__name__)


@dataclass
class Step:
    """What one batch took.

    Attributes:
        seconds: from the end of the batch before to its own.
        waited: the part of them in which there was no batch to work on.
        images: pictures in it.
        idle: of a GPU, two moments on its own clock between which it had nothing to do. Where the
            work of batches is queued the host may wait without holding anything up.
    """

    seconds: float
    waited: float
    images: int
    idle: tuple[Any, Any] | None = None

    @property
    def known(self) -> bool:
        """Whether the GPU has come so far."""
        return self.idle is None or bool(self.idle[1].query())

    def settle(self) -> None:
        """Take as waited for no longer than the GPU was idle."""
        if self.idle is not None:
            last, first = self.idle
            self.waited = min(self.waited, last.elapsed_time(first) / 1000)
            self.idle = None


class Speed(lightning.Callback):
    """Logs the speed of training, and warns once if the loader is what holds it up.

    With the loop's own figures (``trainer.log_every_n_steps``), of the batches since the last ones:

    - ``speed/loader_ms``: what a batch was waited for. A mean, as workers deliver in bursts.
    - ``speed/step_ms``: all else that a batch took: copying, network, losses, optimizer, averaging.
      The median.
    - ``speed/images_per_second``: of all ranks together.

    The first batch of an epoch and validations don't count.

    Args:
        share: waiting for more than this part of the time is worth a warning.
        after: batches that are looked at before. Where pictures are kept as they are first read,
            those of the run's first epoch aren't.
    """

    def __init__(self, share: Part = 0.25, after: Positive = 100) -> None:
        self.share, self.after = share, after
        self._since = 0.0
        self._waited = 0.0
        self._first_epoch = 0
        self._counts = False
        self._ended: Any = None
        self._idle: tuple[Any, Any] | None = None
        self._open: list[Step] = []
        self._judged: list[tuple[float, float]] = []
        self._done = False
        self._logged = -1

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Begin."""
        self._first_epoch = trainer.current_epoch
        self._logged = -1
        self._open, self._judged = [], []

    def on_train_epoch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Leave out the first batch, for which workers start."""
        self._counts = False

    def on_validation_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Leave out validation, and the batch after it."""
        self._counts = False

    def on_train_batch_start(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Note when a GPU begins."""
        self._idle = None
        if pl_module.device.type == "cuda":
            begun = _now_on_gpu()
            self._idle = None if self._ended is None else (self._ended, begun)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Take the time of a batch; log, and judge."""
        now = time.perf_counter()
        waited = float(getattr(trainer.train_dataloader, "waited", 0.0))
        if self._counts:
            step = Step(now - self._since, waited - self._waited, len(batch), self._idle)
            self._open.append(step)
        self._since, self._waited, self._counts = now, waited, True
        if pl_module.device.type == "cuda":
            self._ended = _now_on_gpu()
        batches = trainer.fit_loop.epoch_loop._batches_that_stepped
        every = int(getattr(trainer, "log_every_n_steps", 0))
        # several batches may go into one step
        if every and (batches + 1) % every == 0 and batches != self._logged:
            self._log(trainer, batches)

    def _log(self, trainer: lightning.Trainer, batches: int) -> None:
        known = [step for step in self._open if step.known]
        if not known:
            return
        self._open = [step for step in self._open if not step.known]
        for step in known:
            step.settle()
        self._logged = batches
        figures = summary(known, trainer.world_size)
        for logger in trainer.loggers:
            logger.log_metrics(figures, step=batches)
        if self._done or not trainer.is_global_zero:
            return
        if _keeps(trainer.train_dataloader) and trainer.current_epoch == self._first_epoch:
            return
        self._judged += [(step.waited, step.seconds) for step in known]
        self._judge(trainer)

    def _judge(self, trainer: lightning.Trainer) -> None:
        recent = self._judged = self._judged[-self.after :]
        waited, spent = (sum(times) for times in zip(*recent, strict=True))
        if len(recent) < self.after or waited <= self.share * spent:
            return
        self._done = True
        each = 1000 / len(recent)
        log.warning(
            "training: the model waits for pictures %.0f %% of the time (%.0f of the %.0f ms that "
            "a step takes); %s",
            100 * waited / spent,
            waited * each,
            spent * each,
            mend(trainer),
        )


def summary(steps: list[Step], ranks: int) -> dict[str, float]:
    """Return what is logged of at least one batch."""
    spent = sum(step.seconds for step in steps)
    return {
        "speed/loader_ms": 1000 * statistics.fmean(step.waited for step in steps),
        "speed/step_ms": 1000 * statistics.median(step.seconds - step.waited for step in steps),
        "speed/images_per_second": ranks * sum(step.images for step in steps) / spent,
    }


def mend(trainer: Any) -> str:
    """Say what would make the loader faster."""
    loader, data = trainer.train_dataloader, trainer.datamodule
    mends = []
    if isinstance(data, DataModule):
        on_gpu = trainer.strategy.root_device.type == "cuda"
        most = max(1, (cores() if on_gpu else default_workers()) // max(1, trainer.num_devices))
        if loader.num_workers < most:
            mends.append(f"data.num_workers={most}")
        room = data.could_keep()
        if room is not None:
            mends.append(f"data.cache=ram or disk (takes {room / 1e9:.1f} GB)")
    if not _keeps(loader):
        mends.append("pictures stored at the size of data.image_size")
    return f"try {', or '.join([*mends, 'a cheaper augment'])}"


def _keeps(loader: Any) -> bool:
    return getattr(getattr(loader, "dataset", None), "cache", None) is not None


def _now_on_gpu() -> Any:
    event: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    event.record()
    return event
