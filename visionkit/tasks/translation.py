"""Training networks that turn pictures into others."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from visionkit.argtypes import Amount, Count, Positive
from visionkit.batch import Batch
from visionkit.build import expect
from visionkit.losses.adversarial import Kind, critic_loss, generator_loss
from visionkit.metrics.base import Evaluator
from visionkit.models.critic import Critic
from visionkit.models.gan import from_bytes, to_bytes
from visionkit.models.translation import CycleGan, PairGan, targets_of
from visionkit.ops.picture_pool import PicturePool
from visionkit.tasks.adversarial import AdversarialTask


class Pix2PixTask(AdversarialTask):
    """Pictures become what their partners are, and look real (Isola et al. 2017).

    What is made of a batch is made once: the critic learns from it, then the generator.

    Args:
        name: of the task.
        model: a :class:`visionkit.models.translation.PairGan`.
        entry: the plain ``visionkit`` entry of checkpoints.
        optimizer: see :class:`AdversarialTask`, as for the next two.
        scheduler: see there.
        evaluator: see there.
        loss: what the two want of each other, see :func:`critic_loss`.
        l1: weight of the mean absolute difference to the partner, of values in -1..1.
        critic_steps: see :class:`AdversarialTask`, as for the others.
        critic_lr: see there.
        compile: see there.
        channels_last: see there.
    """

    model: PairGan

    def __init__(
        self,
        name: str,
        model: PairGan,
        entry: dict[str, Any],
        optimizer: Callable[..., Optimizer],
        scheduler: Callable[..., LRScheduler] | None = None,
        evaluator: Evaluator | None = None,
        loss: Kind = "logistic",
        l1: Amount = 100.0,
        critic_steps: Positive = 1,
        critic_lr: Amount = 1.0,
        compile: bool = False,
        channels_last: bool = False,
    ) -> None:
        expect(model, PairGan, "gan")
        super().__init__(
            name,
            model,
            entry,
            optimizer,
            scheduler,
            evaluator,
            critic_steps,
            critic_lr,
            compile,
            channels_last,
        )
        self.kind: Kind = loss
        self.l1 = l1
        self._made: Tensor | None = None

    def critic_losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """See :class:`AdversarialTask`."""
        source, target = from_bytes(batch.images), targets_of(batch)
        learns = (step + 1) % self.critic_steps == 0
        with torch.set_grad_enabled(learns):
            made = self.model.generator(source)
        self._made = made if learns else None
        real, fake = self.model.critic.compare(
            torch.cat([source, target], 1), torch.cat([source, made.detach()], 1)
        )
        return {"critic": critic_loss(self.kind, real, fake)}

    def generator_losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """See :class:`AdversarialTask`."""
        assert self._made is not None
        made, self._made = self._made, None
        source, target = from_bytes(batch.images), targets_of(batch)
        said = self.model.critic(torch.cat([source, made], 1))
        real = None
        if self.kind == "relativistic":
            with torch.no_grad():
                real = self.model.critic(torch.cat([source, target], 1))
        losses = {"generator": generator_loss(self.kind, said, real)}
        if self.l1:
            losses["l1"] = F.l1_loss(made, target) * self.l1
        return losses


class CycleGanTask(AdversarialTask):
    """Pictures of each kind look like the other, and come back as they were (Zhu et al. 2017).

    Critics see what was made as 256 levels, as they see real pictures, and half of it from a pool.
    Each process has a pool of its own. A checkpoint has the first one's: a run of one process goes
    on exactly, each of several begins with that one.

    Args:
        name: of the task.
        model: a :class:`visionkit.models.translation.CycleGan`.
        entry: the plain ``visionkit`` entry of checkpoints.
        optimizer: see :class:`AdversarialTask`, as for the next two.
        scheduler: see there.
        evaluator: see there.
        loss: what generators and critics want of each other, see :func:`critic_loss`.
        cycle: weight of the mean absolute difference of a picture, in -1..1, to what comes back.
        identity: weight of that of a picture to what is made of it where it is of the right kind
            already; 0 saves two passes.
        pool: so many made pictures of each kind are kept for the critics; 0 for none.
        critic_steps: see :class:`AdversarialTask`, as for the others.
        critic_lr: see there.
        compile: compile the generators with ``torch.compile``.
        channels_last: see there.
    """

    model: CycleGan

    def __init__(
        self,
        name: str,
        model: CycleGan,
        entry: dict[str, Any],
        optimizer: Callable[..., Optimizer],
        scheduler: Callable[..., LRScheduler] | None = None,
        evaluator: Evaluator | None = None,
        loss: Kind = "least_squares",
        cycle: Amount = 10.0,
        identity: Amount = 5.0,
        pool: Count = 50,
        critic_steps: Positive = 1,
        critic_lr: Amount = 1.0,
        compile: bool = False,
        channels_last: bool = False,
    ) -> None:
        expect(model, CycleGan, "gan")
        super().__init__(
            name,
            model,
            entry,
            optimizer,
            scheduler,
            evaluator,
            critic_steps,
            critic_lr,
            channels_last=channels_last,
        )
        if compile:
            for way in self.model.generator.values():
                way.compile(dynamic=False)
        self.kind: Kind = loss
        self.cycle, self.identity = cycle, identity
        self.pools = {name: PicturePool(pool) for name in ("a", "b")}
        self._made: dict[str, Tensor] = {}

    def _real(self, batch: Batch) -> dict[str, Tensor]:
        """Pictures of both kinds, [B, 3, H, W], -1..1."""
        return {"a": from_bytes(batch.images), "b": targets_of(batch)}

    def critic_losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """See :class:`AdversarialTask`."""
        real, generator = self._real(batch), self.model.generator
        learns = (step + 1) % self.critic_steps == 0
        with torch.set_grad_enabled(learns):
            made = {"a": generator["b_to_a"](real["b"]), "b": generator["a_to_b"](real["a"])}
        self._made = made if learns else {}
        losses = []
        for name, pool in self.pools.items():
            fake = from_bytes(pool.exchange(to_bytes(made[name])))
            said = self._critic(name).compare(real[name], fake)
            losses.append(critic_loss(self.kind, *said))
        return {"critic": torch.stack(losses).sum()}

    def _critic(self, name: str) -> Critic:
        critic = self.model.critic[name]
        assert isinstance(critic, Critic)
        return critic

    def generator_losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """See :class:`AdversarialTask`."""
        made, self._made = self._made, {}
        real, generator = self._real(batch), self.model.generator
        wanted = []
        for name in real:
            said = self._critic(name)(made[name])
            judged = None
            if self.kind == "relativistic":
                with torch.no_grad():
                    judged = self._critic(name)(real[name])
            wanted.append(generator_loss(self.kind, said, judged))
        losses = {"generator": torch.stack(wanted).sum()}
        if self.cycle:
            back = {"a": generator["b_to_a"](made["b"]), "b": generator["a_to_b"](made["a"])}
            losses["cycle"] = _difference(back, real) * self.cycle
        if self.identity:
            same = {"a": generator["b_to_a"](real["a"]), "b": generator["a_to_b"](real["b"])}
            losses["identity"] = _difference(same, real) * self.identity
        return losses

    def _train_on(self, batch: Batch) -> None:
        super()._train_on(batch)
        for pool in self.pools.values():
            pool.settle()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the pools to what training goes on from."""
        super().on_save_checkpoint(checkpoint)
        if "optimizer_states" in checkpoint:
            checkpoint["pools"] = {name: pool.state() for name, pool in self.pools.items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the pools."""
        super().on_load_checkpoint(checkpoint)
        for name, state in checkpoint.get("pools", {}).items():
            self.pools[name].load(state)


def _difference(made: Mapping[str, Tensor], real: Mapping[str, Tensor]) -> Tensor:
    return torch.stack([F.l1_loss(made[name], real[name]) for name in real]).sum()
