"""The moving average of the weights."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from visionkit.callbacks.ema import Ema
from visionkit.tasks.base import Task


class Counter(nn.Module):
    averaged = ""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.register_buffer("count", torch.tensor(0))


@pytest.fixture
def task():
    return Task("toy", Counter(), {}, torch.optim.SGD)


def at(step):
    return SimpleNamespace(global_step=step)


def start(ema, task, step=0):
    ema.on_fit_start(at(0), task)
    ema.on_train_start(at(step), task)
    return ema


def update(ema, task, step, value):
    task.model.weight.data.fill_(value)
    task.model.count.fill_(step)
    ema.on_train_batch_end(at(step), task)


def test_the_average_by_hand(task):
    ema = start(Ema(decay=0.9, ramp=2), task)
    expected = 0.0
    for step, value in enumerate((1.0, 5.0, 3.0), start=1):
        update(ema, task, step, value)
        decay = 0.9 * (1 - math.exp(-step / 2))
        expected = decay * expected + (1 - decay) * value
    assert ema.average["weight"].item() == pytest.approx(expected)
    assert ema.average["count"].item() == 3
    assert task.model.weight.item() == 3


def test_no_ramp(task):
    ema = start(Ema(decay=0.5, ramp=0), task)
    update(ema, task, 1, 4.0)
    assert ema.average["weight"].item() == 2


def test_only_optimizer_steps_count(task):
    ema = start(Ema(0.9, 1), task, step=7)
    for _ in range(3):
        update(ema, task, 7, 1.0)  # gradients are being accumulated
    assert ema.updates == 0
    update(ema, task, 8, 1.0)
    update(ema, task, 8, 1.0)
    assert ema.updates == 1


def test_evaluation_sees_the_average_and_training_goes_on_with_the_weights(task):
    ema = start(Ema(0.5, 0), task)
    update(ema, task, 1, 4.0)
    ema.on_validation_start(at(1), task)
    assert task.model.weight.item() == 2
    ema.on_validation_end(at(1), task)
    assert task.model.weight.item() == 4


def test_an_exception_in_evaluation_puts_the_weights_back(task):
    ema = start(Ema(0.5, 0), task)
    update(ema, task, 1, 4.0)
    ema.on_validation_start(at(1), task)
    content = {"state_dict": {f"model.{k}": v for k, v in task.model.state_dict().items()}}
    ema.on_save_checkpoint(at(1), task, content)
    assert content["state_dict"]["model.weight"].item() == 4
    assert content["ema"]["model"]["weight"].item() == 2
    ema.on_exception(at(1), task, RuntimeError())
    assert task.model.weight.item() == 4


def test_a_checkpoint_between_step_and_average_has_both(task):
    ema = start(Ema(0.5, 0), task)
    update(ema, task, 1, 4.0)
    task.model.weight.data.fill_(8.0)
    content = {"state_dict": {}}
    ema.on_save_checkpoint(at(2), task, content)
    assert content["ema"]["updates"] == 2
    assert content["ema"]["model"]["weight"].item() == 5


def test_the_average_continues_from_a_checkpoint(task):
    first = start(Ema(0.9, 3), task)
    update(first, task, 1, 4.0)
    content = {"state_dict": {}}
    first.on_save_checkpoint(at(1), task, content)
    second = Ema(0.9, 3)
    second.on_load_checkpoint(at(1), task, content)
    start(second, task, step=1)
    for ema in (first, second):
        update(ema, task, 2, 6.0)
    assert torch.equal(first.average["weight"], second.average["weight"])
    assert second.updates == 2


def test_a_decay_of_zero_is_off(task):
    ema = start(Ema(0.0, 5), task)
    update(ema, task, 1, 4.0)
    ema.on_validation_start(at(1), task)
    assert task.model.weight.item() == 4
    content = {"state_dict": {}}
    ema.on_save_checkpoint(at(1), task, content)
    assert "ema" not in content
