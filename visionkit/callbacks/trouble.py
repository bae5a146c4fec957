"""Signs that adversarial training goes wrong, told with what mends them."""

import logging
import math
from typing import Any

import lightning
import torch
import torch.nn.functional as F
from torch import Tensor

from visionkit.argtypes import Amount, Part, Positive
from visionkit.results import Generated
from visionkit.tasks.base import Task

log = logging.getLogger(__name__)

_EVERY = 10  # reading a loss waits for the device
_KEPT = 0.8
_THUMB = 16
_ENOUGH = 0.1


class Trouble(lightning.Callback):
    """Warns, once each, of three ways in which adversarial training fails.

    The critic has won: its loss stays near 0 while the generator's doesn't fall, so that the
    generator is told nothing any more (not asked of a Wasserstein critic, whose loss has no such
    meaning). Modes are lost: ``recall`` or ``coverage`` of the validation falls far below its best.
    One picture only: what is made hardly differs from picture to picture.

    Losses that aren't finite end training by themselves, see
    :class:`visionkit.tasks.adversarial.AdversarialTask`.

    Args:
        critic_loss: a critic's running loss below this is near 0.
        patience: for so many batches; nothing is told before so many.
        fall: the least part of the best recall or coverage that is no cause for a warning.
        spread: made pictures differ from one another by less than this part of what pictures of
            the data do.
    """

    def __init__(
        self,
        critic_loss: Amount = 0.02,
        patience: Positive = 500,
        fall: Part = 0.5,
        spread: Part = 0.02,
    ) -> None:
        self.critic_loss, self.patience = critic_loss, patience
        self.fall, self.spread = fall, spread
        self.told: set[str] = set()
        self.best: dict[str, float] = {}
        self._losses: dict[str, float] = {}
        self._since: tuple[int, float] | None = None
        self._real: list[Tensor] = []
        self._made: list[Tensor] = []

    def _tell(self, sign: str, line: str) -> None:
        if sign not in self.told:
            self.told.add(sign)
            log.warning("%s", line)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        *args: Any,
    ) -> None:
        """Follow the losses."""
        if trainer.global_step % _EVERY or getattr(pl_module, "kind", None) == "wasserstein":
            return
        for name in ("critic", "generator"):
            if f"train/{name}" not in trainer.callback_metrics:
                return
            value = float(trainer.callback_metrics[f"train/{name}"])
            before = self._losses.get(name, value)
            self._losses[name] = _KEPT * before + (1 - _KEPT) * value
        harder = ", or make its work harder with task.r1 or task.augment"
        self._judge_losses(trainer, harder if hasattr(pl_module, "r1") else "", **self._losses)

    def _judge_losses(
        self, trainer: lightning.Trainer, harder: str, critic: float, generator: float
    ) -> None:
        if not critic < self.critic_loss:
            self._since = None
            return
        step = trainer.global_step
        since, level = self._since = self._since or (step, generator)
        won = step - since >= self.patience and generator >= 0.9 * level
        if won and trainer.is_global_zero:
            self._tell(
                "critic",
                f"training: the critic's loss has been near 0 ({critic:.3f}) for "
                f"{step - since} batches while the generator's is {generator:.2f}: it tells "
                "made pictures without fail, and the generator learns nothing more from it; lower "
                f"task.critic_lr{harder}",
            )

    def on_validation_epoch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Forget the pictures of the last validation."""
        self._real, self._made = [], []

    def on_validation_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *args: Any
    ) -> None:
        """Keep thumbnails of the first pictures, real and made."""
        assert isinstance(pl_module, Task)
        if not trainer.is_global_zero or pl_module.last_results is None or len(self._made) >= 64:
            return
        batch, results = pl_module.last_results
        for pixels, result in zip(batch.images, results, strict=True):
            if isinstance(result, Generated):
                self._real.append(_thumbnail(pixels))
                self._made.append(_thumbnail(torch.from_numpy(result.image).permute(2, 0, 1)))

    def on_validation_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Judge what validation found."""
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        if len(self._made) > 1 and trainer.global_step >= self.patience:
            real, made = _spread(self._real), _spread(self._made)
            if made < self.spread * real:
                self._tell(
                    "spread",
                    f"training: after {trainer.global_step} batches all made pictures are the same "
                    f"(they differ by {made:.2f} of 255, those of the data by {real:.1f}); start "
                    "anew with a lower optimizer.lr or another task.loss",
                )
        self._real, self._made = [], []
        for name in ("recall", "coverage"):
            value = float(trainer.callback_metrics.get(f"val/{name}", math.nan))
            best = self.best.get(name, 0.0)
            if best >= _ENOUGH and value < self.fall * best:
                self._tell(
                    "modes",
                    f"training: {name} has fallen from {best:.2f} to {value:.2f}: the generator "
                    "makes fewer kinds of pictures than it did; best.ckpt has the better one; "
                    "go on from it with model.weights and a lower optimizer.lr, or stop there",
                )
            if value > best:
                self.best[name] = value

    def state_dict(self) -> dict[str, Any]:
        """What was told, and the best figures."""
        return {"told": sorted(self.told), "best": dict(self.best)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue."""
        self.told, self.best = set(state_dict["told"]), dict(state_dict["best"])


def _thumbnail(pixels: Tensor) -> Tensor:
    """Reduce [3, H, W] uint8 to a few numbers, on the CPU."""
    return F.adaptive_avg_pool2d(pixels.float()[None], _THUMB)[0].cpu()


def _spread(thumbnails: list[Tensor]) -> float:
    """How far pictures lie from their mean, at a typical place."""
    return float(torch.stack(thumbnails).std(0).mean())
