import math

import numpy as np
import pytest
from small_gans import make_images, words
from tiny import make_folders

from visionkit.errors import ConfigError
from visionkit.finding.lr import Sweep, draw, find_lr, judge, running_mean, smoothed

HOW = {"low": 1e-5, "high": 10.0, "steps": 24, "diverged": 4.0}


def losses_over(rates, best=1e-2, noise=0.0):
    """Falls fastest at ``best``, and rises from ten times that on."""
    logs = np.log10(rates) - math.log10(best)
    rng = np.random.default_rng(0)
    return (
        2
        - 1.5 * np.tanh(2 * logs) / 2
        + 40 * np.maximum(0, logs - 1) ** 2
        + noise * (rng.standard_normal(len(rates)))
    )


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_the_rate_at_which_the_loss_falls_fastest(noise):
    rates = np.geomspace(1e-6, 1, 100)
    found = judge(rates.tolist(), losses_over(rates, noise=noise).tolist(), False)
    assert found.lr == pytest.approx(1e-2, rel=0.5)
    assert 2e-2 < found.lowest < 0.3


def test_a_loss_that_does_not_fall_tells_no_rate():
    rates = np.geomspace(1e-6, 1, 100)
    rising = (1 + np.linspace(0, 1, 100)).tolist()
    assert judge(rates.tolist(), rising, True).lr is None
    assert judge(rates.tolist(), [1.0] * 100, False).lr is None


def test_losses_that_are_no_numbers():
    rates = np.geomspace(1e-6, 1, 50).tolist()
    losses = losses_over(np.asarray(rates))
    losses[45:] = math.nan
    found = judge(rates, losses.tolist(), True)
    assert found.lr is not None
    assert len(found.smooth) == 45
    with pytest.raises(ConfigError, match=r"lr: the loss was no number after 3 steps"):
        judge(rates, [1.0, 1.0, 1.0, *[math.inf] * 47], True)


def test_smoothing_keeps_constants_and_does_not_lag():
    assert smoothed([3.0] * 30) == pytest.approx([3.0] * 30)
    line = np.linspace(0, 1, 101)
    assert smoothed(line.tolist())[50] == pytest.approx(0.5)
    assert running_mean([2.0, 2.0]) == pytest.approx(2.0)
    assert running_mean([1.0, 3.0]) > 2.0


def test_every_group_keeps_its_part_of_the_rate():
    class Optimizer:
        param_groups = ({"lr": 0.01}, {"lr": 0.001})

    class Trainer:
        optimizers = (Optimizer,)
        global_step = 0
        should_stop = False
        callback_metrics: dict[str, float] = {"train/loss": 1.0}  # noqa: RUF012

    sweep = Sweep(0.1, 10.0, 3, 4.0, configured=0.01)
    sweep.on_train_start(Trainer, None)
    seen = []
    for step in range(3):
        seen.append([g["lr"] for g in Optimizer.param_groups])
        sweep.on_train_batch_end(Trainer, None)  # a first half of what is accumulated
        Trainer.global_step = step + 1
        Trainer.callback_metrics = {"train/loss": 3.0}
        sweep.on_train_batch_end(Trainer, None)
        Trainer.callback_metrics = {"train/loss": 1.0}
    assert np.ravel(seen) == pytest.approx([0.1, 0.01, 1.0, 0.1, 10.0, 1.0])
    assert sweep.losses == [2.0] * 3
    assert Trainer.should_stop


def test_the_test_ends_when_the_loss_rises():
    class Trainer:
        optimizers = ()
        global_step = 0
        should_stop = False
        callback_metrics: dict[str, float] = {}  # noqa: RUF012

    for last in (9.0, math.inf, math.nan):
        sweep = Sweep(0.1, 10.0, 50, 1.5, configured=1.0)
        sweep.on_train_start(Trainer, None)
        for step in range(12):
            Trainer.global_step = step + 1
            Trainer.callback_metrics = {"train/loss": last if step == 11 else 1.0}
            Trainer.should_stop = False
            sweep.on_train_batch_end(Trainer, None)
        assert (Trainer.should_stop, sweep.diverged) == (True, True)


def test_a_classifier(tmp_path):
    """Trains for real, and leaves nothing but what is asked for."""
    root = make_folders(tmp_path / "set")
    given = [
        *("task=classification", "backbone=lenet", "data=folder", f"data.root={root}"),
        *("data.image_size=32", "data.batch_size=4", "data.num_workers=0", "trainer=cpu"),
        *("optimizer=sgd", "model.weights=none"),
        *("+trainer.min_epochs=40", "+trainer.min_steps=120"),  # the test ends all the same
    ]
    found = find_lr(given, None, tmp_path / "out", HOW)
    assert found.rates[0] == 1e-5
    assert len(found.rates) == len(found.losses) >= 10
    assert found.lr is not None
    assert 1e-4 < found.lr < 10
    assert not (tmp_path / "out").exists()
    draw(tmp_path / "lr.png", found)
    assert (tmp_path / "lr.png").stat().st_size > 5000


def test_networks_that_train_by_turns_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="train by turns have no loss"):
        given = words("dcgan", make_images(tmp_path / "set"), tmp_path, tmp_path / "run")
        find_lr([w for w in given if "run_dir" not in w], None, tmp_path / "out", HOW)
