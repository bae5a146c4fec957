"""The learning-rate range test of Smith (2017, arXiv:1506.01186).

The rate grows by the same factor at each step; it is too low where the loss stays, best where the
loss falls fastest, and too high where the loss rises. Every group of parameters keeps its part of
the rate (a backbone's multiplier, a layer's decay), so what is found is ``optimizer.lr``.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import numpy as np
from numpy.typing import NDArray

from visionkit.errors import ConfigError
from visionkit.finding.bare import bare_run, train_with
from visionkit.metrics.plots import BLUE, FAINT, INK, PALE_BLUE, RED, make_figure

_KEPT = 0.9
_FEWEST = 10
_FALL = 0.02
"""Part of the loss that must be lost before a fall is one."""


@dataclass(frozen=True)
class Found:
    """What a range test says.

    Attributes:
        lr: where the loss falls fastest; None where it doesn't fall.
        lowest: where the smoothed loss is lowest.
        rates: [N], of the steps.
        losses: [N], of the steps.
        smooth: [N], the same, smoothed.
        diverged: whether the loss rose until the test was ended.
    """

    lr: float | None
    lowest: float
    rates: list[float]
    losses: list[float]
    smooth: list[float]
    diverged: bool


class Sweep(lightning.Callback):
    """Raises the learning rate step by step and notes the loss.

    Args:
        low: the first rate.
        high: the last one.
        steps: of the optimizer, from the one to the other.
        diverged: the test ends when the running mean of the losses is so many times its lowest.
        configured: ``optimizer.lr``.
    """

    def __init__(
        self, low: float, high: float, steps: int, diverged: float, configured: float
    ) -> None:
        self.plan = np.geomspace(low, high, steps).tolist()
        self.limit, self.configured = diverged, configured
        self.rates: list[float] = []
        self.losses: list[float] = []
        self.diverged = False
        self._parts: list[list[float]] = []
        self._window: list[float] = []
        self._lowest = math.inf

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Note what part of the rate each group has."""
        self._parts = [
            [group["lr"] / self.configured for group in optimizer.param_groups]
            for optimizer in trainer.optimizers
        ]
        self._set(trainer)

    def _set(self, trainer: lightning.Trainer) -> None:
        rate = self.plan[len(self.losses)]
        for optimizer, parts in zip(trainer.optimizers, self._parts, strict=True):
            for group, part in zip(optimizer.param_groups, parts, strict=True):
                group["lr"] = rate * part

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *args: Any
    ) -> None:
        """Note the loss; after an optimizer's step choose the next rate, or end."""
        self._window.append(float(trainer.callback_metrics["train/loss"]))
        if trainer.global_step <= len(self.losses):
            return  # gradients are still accumulated
        loss = float(np.mean(self._window))
        self._window = []
        self.rates.append(self.plan[len(self.losses)])
        self.losses.append(loss)
        now = running_mean(self.losses) if math.isfinite(loss) else math.inf
        self._lowest = min(self._lowest, now)
        grown = now > self.limit * max(self._lowest, 0) and len(self.losses) >= _FEWEST
        self.diverged = not math.isfinite(loss) or grown
        if self.diverged or len(self.losses) == len(self.plan):
            trainer.should_stop = True
        else:
            self._set(trainer)


def running_mean(losses: Sequence[float]) -> float:
    """The last losses' mean, the older ones of [N] ever less in it; not drawn to 0 at the start."""
    weights = _KEPT ** np.arange(len(losses))[::-1]
    return float(np.average(losses, weights=weights))


def smoothed(losses: Sequence[float]) -> NDArray[np.float64]:
    """Smooth [N] losses by a bell of a 25th of them, which unlike a running mean doesn't lag."""
    places = np.arange(len(losses))
    sigma = max(1.0, len(losses) / 25)
    weights = np.exp(-0.5 * ((places[:, None] - places) / sigma) ** 2)
    return np.asarray(weights @ np.asarray(losses) / weights.sum(1), np.float64)


def judge(rates: Sequence[float], losses: Sequence[float], diverged: bool) -> Found:
    """Say where the loss falls fastest.

    The slope is that of a line through the smoothed losses of a tenth of the steps, at least five,
    over the logarithm of the rate; what comes after the lowest loss doesn't count.

    Raises:
        ConfigError: there are too few steps.
    """
    finite = [n for n, loss in enumerate(losses) if math.isfinite(loss)]
    if len(finite) < _FEWEST:
        raise ConfigError(
            f"lr: the loss was no number after {len(finite)} steps; give a lower lr.low, or see "
            "what the data do with visionkit check_data"
        )
    smooth = smoothed([losses[n] for n in finite])
    logs = np.log([rates[n] for n in finite])
    lowest = int(np.argmin(smooth))
    half = max(2, len(finite) // 20)
    best, steepest = None, 0.0
    for n in range(half, min(lowest + 1, len(finite) - half)):
        part = slice(n - half, n + half + 1)
        slope = float(np.polyfit(logs[part], smooth[part], 1)[0])
        if slope < steepest:
            best, steepest = n, slope
    falls = float(smooth[: lowest + 1].max() - smooth[lowest])
    if falls < _FALL * abs(float(smooth[0])):
        best = None
    return Found(
        lr=None if best is None else rates[finite[best]],
        lowest=rates[finite[lowest]],
        rates=list(rates),
        losses=list(losses),
        smooth=[float(v) for v in smooth],
        diverged=diverged,
    )


def find_lr(
    words: Sequence[str], user_dir: str | None, folder: Path, settings: Mapping[str, Any]
) -> Found:
    """Run the test.

    Args:
        words: of the training run.
        user_dir: ``--config-dir``.
        folder: for what comes of it; the run leaves nothing there.
        settings: ``low``, ``high``, ``steps`` and ``diverged``.

    Raises:
        ConfigError: the networks train by turns, or there is no rate to change.
    """
    run = bare_run(words, user_dir, str(folder / "run"))
    if not run.task.automatic_optimization:
        raise ConfigError(
            "what: networks that train by turns have no loss that tells a good learning rate; "
            "compare a few with visionkit tune"
        )
    configured = run.plain["optimizer"].get("lr")
    if not configured:
        raise ConfigError("optimizer.lr: must be above 0 for a test; parts are relative to it")
    told = {k: settings[k] for k in ("low", "high", "steps", "diverged")}
    sweep = Sweep(**told, configured=float(configured))
    train_with(run, sweep)
    return judge(sweep.rates, sweep.losses, sweep.diverged)


def draw(path: Path, found: Found) -> None:
    """Draw the loss over the rate."""
    figure, axes = make_figure(7.4, 4.2)
    finite = [n for n, loss in enumerate(found.losses) if math.isfinite(loss)]
    rates = [found.rates[n] for n in finite]
    axes.plot(rates, [found.losses[n] for n in finite], color=PALE_BLUE, linewidth=0.8)
    axes.plot(rates, found.smooth, color=BLUE, linewidth=1.6)
    if found.lr is not None:
        axes.axvline(found.lr, color=RED, linewidth=1.2)
        axes.text(found.lr, 1.01, f"falls fastest at {found.lr:.2g}", color=RED, fontsize=8,
                  transform=axes.get_xaxis_transform(), ha="center")  # fmt: skip
    lowest = int(np.argmin(found.smooth))
    low, high = found.smooth[lowest], max(found.smooth[: lowest + 1])
    height = max(high - low, 0.1 * abs(high))
    axes.set_ylim(low - 0.2 * height, high + 0.3 * height)  # not what comes when it diverges
    axes.set_xscale("log")
    axes.set(xlabel="optimizer.lr", ylabel="training loss")
    axes.set_title("Learning rate", loc="left", fontsize=11, color=INK)
    axes.grid(color=FAINT, linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, bbox_inches="tight", pad_inches=0.15)
