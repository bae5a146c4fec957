"""Runs that are interrupted, and what they leave."""

import os
import signal
import time
from pathlib import Path

import lightning
import pytest
import torch
import torch.multiprocessing as mp
from omegaconf import open_dict

from visionkit import checkpoint, train


class StopAt(lightning.Callback):
    """Presses Ctrl-C after, before or within so many batches, or in an epoch's validation.

    ``signal`` is within a batch, too, but a signal, as a keyboard sends it.
    """

    def __init__(
        self,
        batches: int = -1,
        validation: int = -1,
        before: int = -1,
        within: int = -1,
        signal: int = -1,
    ) -> None:
        self.batches, self.validation = batches, validation
        self.before, self.within, self.signal = before, within, signal

    def on_train_batch_start(self, trainer, *args):
        if trainer.global_step == self.before:
            raise KeyboardInterrupt

    def on_before_backward(self, trainer, *args):
        if trainer.global_step == self.within:
            raise KeyboardInterrupt
        if trainer.global_step == self.signal:
            os.kill(os.getpid(), signal.SIGINT)
            self.signal = -1

    def on_train_batch_end(self, trainer, *args):
        if trainer.global_step == self.batches:
            raise KeyboardInterrupt

    def on_validation_batch_end(self, trainer, *args):
        if trainer.current_epoch == self.validation:
            raise KeyboardInterrupt


def interrupted(cfg, **where):
    """Run until the simulated Ctrl-C."""
    with open_dict(cfg):
        cfg.allow = ["runs"]
        cfg.callbacks.stop = {"_target_": "runs.StopAt", **where}
    with pytest.raises(KeyboardInterrupt):
        train.run(cfg)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def states(folder: Path) -> tuple[dict, dict]:
    content = checkpoint.read(folder / "checkpoints" / "last.ckpt")
    return content["state_dict"], content["ema"]["model"]


def assert_same(a: tuple[dict, dict], b: tuple[dict, dict]) -> None:
    for one, other in zip(a, b, strict=True):
        assert one.keys() == other.keys()
        assert [k for k in one if not torch.equal(one[k], other[k])] == []


def two_processes(work, seconds, *arguments):
    """Run ``work(rank, *arguments)`` in two processes; fail if one waits for the other."""
    context = mp.spawn(work, arguments, nprocs=2, join=False)
    try:
        end = time.monotonic() + seconds
        while not context.join(5):
            if time.monotonic() > end:
                pytest.fail("a rank waits for the other")
    finally:
        for process in context.processes:
            if process.is_alive():
                process.kill()
