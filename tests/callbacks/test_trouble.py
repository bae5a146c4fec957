"""Signs that adversarial training goes wrong."""

import logging
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from visionkit.batch import Batch, LabelTargets
from visionkit.callbacks.trouble import Trouble
from visionkit.geometry import Letterbox
from visionkit.results import Generated
from visionkit.sample import ImageMeta


class FakeTask(SimpleNamespace):
    """What the callback asks a task for."""


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> list[str]:
    """The warnings so far."""
    monkeypatch.setattr("visionkit.callbacks.trouble.Task", FakeTask)
    lines: list[str] = []
    monkeypatch.setattr(
        logging.getLogger("visionkit.callbacks.trouble"),
        "warning",
        lambda text, *values: lines.append(text % values),
    )
    return lines


def new_trainer() -> Any:
    return SimpleNamespace(
        global_step=0, is_global_zero=True, sanity_checking=False, callback_metrics={}
    )


def go(trouble: Trouble, trainer: Any, batches: int, critic: float, generator: float, kind: str):
    losses = {"train/critic": torch.tensor(critic), "train/generator": torch.tensor(generator)}
    trainer.callback_metrics |= losses
    task: Any = FakeTask(kind=kind, r1=0.0)
    for _ in range(batches):
        trainer.global_step += 1
        trouble.on_train_batch_end(trainer, task)


def test_a_critic_that_has_won(told: list[str]) -> None:
    trouble, trainer = Trouble(patience=100), new_trainer()
    go(trouble, trainer, 300, 1.3, 0.9, "logistic")
    go(trouble, trainer, 90, 0.001, 8.0, "logistic")
    assert told == []  # not for long enough
    go(trouble, trainer, 400, 0.001, 9.0, "logistic")
    assert len(told) == 1
    assert "the critic's loss has been near 0 (0.0" in told[0]
    assert told[0].endswith(
        "lower task.critic_lr, or make its work harder with task.r1 or task.augment"
    )
    assert "\n" not in told[0]


def test_a_generator_that_catches_up_is_none(told: list[str]) -> None:
    trouble, trainer = Trouble(patience=100), new_trainer()
    go(trouble, trainer, 100, 0.001, 9.0, "hinge")
    go(trouble, trainer, 400, 0.001, 2.0, "hinge")
    assert told == []
    go(trouble, trainer, 200, 0.5, 2.0, "hinge")  # and one that recovers begins anew
    go(trouble, trainer, 90, 0.001, 2.0, "hinge")
    assert told == []


def test_a_wasserstein_critic_has_no_such_zero(told: list[str]) -> None:
    trouble, trainer = Trouble(patience=50), new_trainer()
    go(trouble, trainer, 300, -5.0, 3.0, "wasserstein")
    go(trouble, trainer, 300, 0.0, 3.0, "wasserstein")
    assert told == []


def test_tasks_without_a_critic_are_left_alone(told: list[str]) -> None:
    trouble, trainer = Trouble(patience=10), new_trainer()
    for _ in range(50):
        trainer.global_step += 1
        trouble.on_train_batch_end(trainer, FakeTask())  # type: ignore[arg-type]
    assert told == []


@pytest.mark.parametrize("name", ["recall", "coverage"])
def test_lost_modes(name: str, told: list[str]) -> None:
    trouble, trainer = Trouble(), new_trainer()
    for value in (0.0, 0.3, 0.62, 0.4, 0.32):
        trainer.callback_metrics = {f"val/{name}": torch.tensor(value)}
        trouble.on_validation_end(trainer, FakeTask())  # type: ignore[arg-type]
    assert told == []
    resumed = Trouble()
    resumed.load_state_dict(trouble.state_dict())
    for value in (0.3, 0.2):
        trainer.callback_metrics = {f"val/{name}": torch.tensor(value)}
        resumed.on_validation_end(trainer, FakeTask())  # type: ignore[arg-type]
    assert len(told) == 1
    assert f"{name} has fallen from 0.62 to 0.30" in told[0]
    again = Trouble()
    again.load_state_dict(resumed.state_dict())
    again.on_validation_end(trainer, FakeTask())  # type: ignore[arg-type]
    assert len(told) == 1  # once


def validated(trouble: Trouble, trainer: Any, spread: float) -> None:
    rng = np.random.default_rng(0)
    meta = tuple(ImageMeta(i, "", Letterbox((24, 40), (24, 40))) for i in range(8))
    images = torch.from_numpy(rng.integers(0, 256, (8, 3, 24, 40)).astype(np.uint8))
    batch = Batch(images, LabelTargets(torch.zeros(8, 0)), meta)
    made = [
        Generated(np.clip(128 + spread * rng.standard_normal((24, 40, 3)), 0, 255).astype(np.uint8))
        for _ in range(8)
    ]
    task: Any = FakeTask(last_results=(batch, made))
    trouble.on_validation_epoch_start(trainer, task)
    for _ in range(9):
        trouble.on_validation_batch_end(trainer, task)
    trouble.on_validation_end(trainer, task)


def test_one_picture_only(told: list[str]) -> None:
    trouble, trainer = Trouble(patience=20), new_trainer()
    validated(trouble, trainer, 0.0)
    assert told == []  # too early to say
    trainer.global_step = 20
    validated(trouble, trainer, 20.0)
    assert told == []
    validated(trouble, trainer, 0.5)
    validated(trouble, trainer, 0.5)
    assert len(told) == 1
    assert "after 20 batches all made pictures are the same (they differ by 0." in told[0]
    assert "optimizer.lr" in told[0]


def test_only_the_first_rank_tells(told: list[str]) -> None:
    trouble, trainer = Trouble(patience=20), new_trainer()
    trainer.is_global_zero, trainer.global_step = False, 100
    validated(trouble, trainer, 0.0)
    go(trouble, trainer, 300, 0.0, 9.0, "logistic")
    trainer.callback_metrics = {"val/recall": torch.tensor(0.9)}
    trouble.on_validation_end(trainer, FakeTask())  # type: ignore[arg-type]
    assert told == []
