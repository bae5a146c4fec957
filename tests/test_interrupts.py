"""Ctrl-C at awkward moments: the run that goes on ends like one that was never stopped."""

import os
import signal

import lightning
import pytest
import torch
from kills import assert_alike, benchmark, unbroken
from tiny import tiny_config

from visionkit import train
from visionkit.checkpoint import read
from visionkit.errors import ConfigError
from visionkit.train import Run

WORDS = ("trainer.max_epochs=3", "logger=csv", "trainer.log_every_n_steps=1", "data.batch_size=2")
WORDS += ("callbacks=null",)
LAST_STEP = 12


@pytest.fixture(scope="module")
def whole(squares, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    return unbroken(tiny_config(squares, folder, *WORDS))


class WithinABatch(lightning.Callback):
    """In the middle of a batch of the last validation."""

    def __init__(self, batch):
        self.batch, self.seen = batch, 0

    def on_validation_start(self, trainer, module):
        if trainer.current_epoch < 2:
            return
        judge = module.judge

        def judged(batch):
            self.seen += 1
            if self.seen > self.batch:
                raise KeyboardInterrupt
            return judge(batch)

        module.judge = judged


class InTheFigures(lightning.Callback):
    """When the last validation has seen all pictures."""

    def on_validation_epoch_end(self, trainer, module):
        if trainer.current_epoch == 2:
            raise KeyboardInterrupt


class WithinAStep(lightning.Callback):
    """When the optimizer has changed a part of the weights."""

    def on_before_optimizer_step(self, trainer, module, optimizer):
        if trainer.global_step != 5:
            return
        real, calls = torch._foreach_lerp_, []

        def pressed(*args):
            calls.append(args)
            if len(calls) == 2:
                torch._foreach_lerp_ = real
                os.kill(os.getpid(), signal.SIGINT)
            return real(*args)

        torch._foreach_lerp_ = pressed


class Writing(lightning.Callback):
    """While a checkpoint is written."""

    def __init__(self, name, step):
        self.name, self.step = name, step

    def setup(self, trainer, module, stage):
        save = torch.save

        def saved(content, stream, *args):
            if self.name in stream.name and content["global_step"] == self.step:
                torch.save = save
                raise KeyboardInterrupt
            save(content, stream, *args)

        torch.save = saved

    def teardown(self, trainer, module, stage):
        assert torch.save.__name__ != "saved"


@pytest.mark.parametrize(
    "press",
    [
        pytest.param(lambda: WithinABatch(0), id="first batch of a validation"),
        pytest.param(lambda: WithinABatch(1), id="second batch of a validation"),
        pytest.param(InTheFigures, id="figures"),
        pytest.param(WithinAStep, id="optimizer"),
        pytest.param(lambda: Writing("last.ckpt", LAST_STEP), id="last"),
        pytest.param(lambda: Writing("last.ckpt", LAST_STEP // 3), id="first last"),
    ],
)
def test_a_run_goes_on_as_if_it_had_not_been_stopped(squares, tmp_path, whole, press):
    job = Run(tiny_config(squares, tmp_path, *WORDS))
    job.trainer.callbacks.append(press())
    assert not job.fit()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert read(job.checkpoints.last_path)["global_step"] == job.trainer.global_step
    job.stop()
    train.run(tiny_config(squares, tmp_path, *WORDS, "resume=auto"))
    assert_alike(whole, tmp_path)


def test_a_best_checkpoint_that_was_not_written_is_written_later(squares, tmp_path, whole):
    job = Run(tiny_config(squares, tmp_path, *WORDS))
    job.trainer.callbacks.append(Writing("best.ckpt", LAST_STEP))
    assert not job.fit()
    job.stop()
    assert read(tmp_path / "checkpoints" / "best.ckpt")["epoch"] == 1
    train.run(tiny_config(squares, tmp_path, *WORDS, "resume=auto"))
    # the validation that is done again has a second row in the log
    assert not [name for name in benchmark.unlike(whole, tmp_path) if "csv" not in name]


def test_a_step_is_finished_first(squares, tmp_path):
    job = Run(tiny_config(squares, tmp_path, *WORDS))
    job.trainer.callbacks.append(WithinAStep())
    assert not job.fit()
    assert job.trainer.global_step == 6


def test_what_is_restored_in_part_is_not_saved(squares, tmp_path, whole, monkeypatch):
    job = Run(tiny_config(squares, tmp_path, *WORDS, f"resume={whole}", "trainer.max_epochs=4"))

    def fail(*_):
        raise RuntimeError("no room for the momenta")

    monkeypatch.setattr(job.trainer.strategy, "load_optimizer_state_dict", fail)
    with pytest.raises(RuntimeError, match="no room for the momenta"):
        job.fit()
    assert job.trainer.global_step == LAST_STEP
    assert not (tmp_path / "checkpoints" / "last.ckpt").exists()


def test_a_run_that_has_gone_on_elsewhere_is_not_gone_back_on(squares, tmp_path):
    unbroken(tiny_config(squares, tmp_path, *WORDS))
    words = (*WORDS, "resume=auto", "trainer.max_epochs=4")
    job = Run(tiny_config(squares, tmp_path, *words))
    os.utime(tmp_path / "checkpoints" / "last.ckpt")
    with pytest.raises(ConfigError, match="has gone on elsewhere while this one waited; start it"):
        job.fit()
