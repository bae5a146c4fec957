"""Training a generator from noise."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from visionkit.argtypes import Amount, Part, Positive
from visionkit.batch import Batch
from visionkit.build import expect
from visionkit.errors import ConfigError
from visionkit.losses.adversarial import (
    Kind,
    between,
    critic_loss,
    generator_loss,
    gradient_square,
    lipschitz_penalty,
    path_lengths,
)
from visionkit.metrics.base import Evaluator
from visionkit.models.gan import Gan, from_bytes, labels_of
from visionkit.ops.differentiable import AdaptiveAugment, Policy, augmented
from visionkit.ops.distributed import mean_over_ranks
from visionkit.tasks.adversarial import AdversarialTask, in_full


class GanTask(AdversarialTask):
    """A generator that imitates a set of pictures.

    Args:
        name: of the task.
        model: a :class:`visionkit.models.gan.Gan`.
        entry: the plain ``visionkit`` entry of checkpoints.
        optimizer: see :class:`AdversarialTask`, as for the next two.
        scheduler: see there.
        evaluator: see there.
        loss: what the two want of each other, see :func:`critic_loss`.
        r1: weight of half the squared gradient at real pictures (Mescheder et al. 2018), after what
            ``augment`` and ``adaptive`` do to them, as the critic sees them.
        r2: the same at made ones.
        gradient_penalty: weight of WGAN-GP's penalty (Gulrajani et al. 2017).
        penalty_every: the three are taken on every so many batches, and count so many times as much
            (Karras et al. 2020).
        path_length: weight of how unevenly pictures answer to their styles (Karras et al. 2020);
            for generators with styles.
        path_every: it is taken on every so many batches.
        augment: what both real and made pictures go through before the critic (Zhao et al. 2020):
            of ``colour``, ``translation``, ``cutout``.
        adaptive: what the mean sign of the critic's logits of real pictures is kept at: 0.6 where
            it calls 80 % of them real. Above it, a chain of changes becomes more frequent, below
            it less (Karras et al. 2020 b); 0 for no changes.
        adaptive_images: so many pictures let the frequency of changes go from 0 to 1.
        critic_steps: see :class:`AdversarialTask`, as for the others.
        critic_lr: see there.
        compile: see there.
        channels_last: see there.

    Raises:
        ConfigError: ``path_length`` for a generator without styles.
    """

    model: Gan

    def __init__(
        self,
        name: str,
        model: Gan,
        entry: dict[str, Any],
        optimizer: Callable[..., Optimizer],
        scheduler: Callable[..., LRScheduler] | None = None,
        evaluator: Evaluator | None = None,
        loss: Kind = "logistic",
        r1: Amount = 0.0,
        r2: Amount = 0.0,
        gradient_penalty: Amount = 0.0,
        penalty_every: Positive = 1,
        path_length: Amount = 0.0,
        path_every: Positive = 4,
        augment: Sequence[Policy] = (),
        adaptive: Part = 0.0,
        adaptive_images: Positive = 500_000,
        critic_steps: Positive = 1,
        critic_lr: Amount = 1.0,
        compile: bool = False,
        channels_last: bool = False,
    ) -> None:
        expect(model, Gan, "gan")
        if path_length and not hasattr(model.generator, "styles"):
            raise ConfigError(
                f"task.path_length: {path_length}, and this generator has no styles; set it 0 or "
                "choose generator=stylegan2"
            )
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
        self.r1, self.r2, self.gradient_penalty = r1, r2, gradient_penalty
        self.penalty_every = penalty_every
        self.path_length, self.path_every = path_length, path_every
        self.policy = tuple(augment)
        # there also where it does nothing: a run may go on with it or without
        self.adaptive = AdaptiveAugment(adaptive, adaptive_images)
        self.adapts = adaptive > 0
        self.register_buffer("mean_path", torch.zeros(()))
        self.mean_path: Tensor

    def changed(self, images: Tensor) -> Tensor:
        """What the critic sees of pictures, real and made alike."""
        images = augmented(images, self.policy)
        return self.adaptive(images) if self.adapts else images

    def made(self, batch: Batch) -> Tensor:
        """Pictures [B, 3, H, W] from fresh noise, of the classes of a batch."""
        z = torch.randn(len(batch), self.model.generator.latent, device=batch.images.device)
        return self.model.generate(z, self._labels(batch))

    def _labels(self, batch: Batch) -> Tensor | None:
        return labels_of(batch) if self.model.conditional else None

    def critic_losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """See :class:`AdversarialTask`."""
        labels, critic = self._labels(batch), self.model.critic
        with torch.no_grad():
            fake = self.made(batch)
        real, fake = self.changed(from_bytes(batch.images)), self.changed(fake)
        said_real, said_fake = critic.compare(real, fake, labels)
        losses = {"critic": critic_loss(self.kind, said_real, said_fake)}
        if self.adapts:
            sure = torch.stack([logits.detach().sign().mean() for logits in said_real]).mean()
            self.adaptive.adapt(mean_over_ranks(sure), len(batch) * self.trainer.world_size)
            self.log("adaptive_p", self.adaptive.p, batch_size=len(batch))
        if step % self.penalty_every == 0:
            losses |= self._penalties(real, fake, labels)
        return losses

    def _penalties(self, real: Tensor, fake: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        with in_full(real):

            def squares(images: Tensor) -> Tensor:
                return gradient_square(self.model.critic(images, labels), images)

            if self.r1:
                found["r1"] = squares(real.detach().requires_grad_()).mean() * self.r1 / 2
            if self.r2:
                found["r2"] = squares(fake.detach().requires_grad_()).mean() * self.r2 / 2
            if self.gradient_penalty:
                found["penalty"] = lipschitz_penalty(squares(between(real, fake)))
                found["penalty"] = found["penalty"] * self.gradient_penalty
        return {k: v * self.penalty_every for k, v in found.items()}

    def generator_losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """See :class:`AdversarialTask`."""
        labels, critic = self._labels(batch), self.model.critic
        said = critic(self.changed(self.made(batch)), labels)
        real = None
        if self.kind == "relativistic":
            with torch.no_grad():
                real = critic(self.changed(from_bytes(batch.images)), labels)
        losses = {"generator": generator_loss(self.kind, said, real)}
        if self.path_length and step // self.critic_steps % self.path_every == 0:
            losses["path"] = self._path(batch, labels)
        return losses

    def _path(self, batch: Batch, labels: Tensor | None) -> Tensor:
        """How far the lengths of paths are from their running mean."""
        generator: Any = self.model.generator
        count = max(1, len(batch) // 2)
        with in_full(batch.images):
            z = torch.randn(count, generator.latent, device=batch.images.device)
            styles = generator.styles(z, None if labels is None else labels[:count])
            lengths = path_lengths(generator.synthesise(styles), styles)
            mean = mean_over_ranks(lengths.detach().mean())
            self.mean_path.lerp_(mean, 0.01)
            spread = (lengths - self.mean_path).square().mean()
        return spread * self.path_length * self.path_every
