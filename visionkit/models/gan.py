"""A generator and its critic."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visionkit.argtypes import Positive
from visionkit.batch import Batch, LabelTargets
from visionkit.data.index import DataInfo
from visionkit.errors import ConfigError
from visionkit.generators.base import Generator
from visionkit.heads.base import Graph
from visionkit.models.base import Network, Statistics
from visionkit.models.critic import Critic, logistic_losses
from visionkit.models.graphs import EXAMPLES, NoiseGraph, Traceable
from visionkit.options import PredictOptions
from visionkit.results import Generated, Result
from visionkit.runtimes.base import latents

HALF = (0.5, 0.5, 0.5)


class Gan(Network):
    """Makes pictures from noise (Goodfellow et al. 2014).

    Args:
        generator: makes the network that makes pictures, for so many classes.
        critic: makes the one that tells them from real ones, for so many classes.
        num_classes: K, of the data.
        conditional: whether the class of a picture is asked for; ``auto``: where there are classes.
        critic_size: pictures are resized for the critic so that their shorter side has so many
            pixels; None to show them as they are.
    """

    averaged = "generator."
    samples = True
    says = "noise"

    def __init__(
        self,
        generator: Callable[[int], Generator],
        critic: Callable[..., Critic],
        num_classes: int,
        conditional: bool | Literal["auto"] = "auto",
        critic_size: Positive | None = None,
    ) -> None:
        super().__init__()
        if conditional is True and num_classes < 2:
            raise ConfigError(
                f"gan.conditional: the set has {num_classes} classes, nothing to choose from; "
                "leave it false"
            )
        self.conditional = num_classes > 1 if conditional == "auto" else conditional
        self.num_classes = num_classes
        told = num_classes if self.conditional else 0
        self.generator, self.critic = generator(told), critic(told, size=critic_size)
        self.options = PredictOptions()

    @property
    def trained(self) -> tuple[nn.Module, ...]:
        """See :class:`Network`: the critic, then the generator."""
        return (self.critic, self.generator)

    @property
    def statistics(self) -> tuple[Statistics, Statistics]:
        """See :class:`Network`: it takes no pictures, and gives any."""
        return HALF, HALF

    def check(self, info: DataInfo) -> None:
        """Refuse data that have no pictures of their own to be imitated.

        Raises:
            ConfigError: as it says.
        """
        if info.kind in ("pairs", "unpaired"):
            raise ConfigError(
                f"data: this set has {info.kind} pictures to turn into one another; choose "
                "model=pix2pix or model=cyclegan, or another data="
            )
        if self.conditional and info.kind != "classes":
            raise ConfigError(
                f"gan.conditional: the set is labelled with {info.kind}, not with classes; set "
                "it false or choose another data="
            )

    def check_options(self, options: PredictOptions, canvas: tuple[int, int] | None = None) -> None:
        """See :class:`Network`."""
        if options.flip or tuple(options.scales) != (1.0,) or options.window is not None:
            raise ConfigError(
                "predict: a generator looks at no picture; leave flip, scales and window alone"
            )
        if options.reverse:
            raise ConfigError("predict.reverse: a generator turns no pictures; leave it false")

    def latents(self, seeds: Sequence[int]) -> Tensor:
        """Return noise [B, latent], a row for each seed: the same on every machine."""
        where = next(self.generator.parameters()).device
        return torch.from_numpy(latents(seeds, self.generator.latent)).to(where)

    def generate(self, z: Tensor, labels: Tensor | None = None, truncation: float = 1.0) -> Tensor:
        """Make pictures [B, 3, H, W], -1..1, see :class:`Generator`."""
        images: Tensor = self.generator(z, labels if self.conditional else None, truncation)
        return images.expand(-1, 3, -1, -1)

    @torch.no_grad()
    def sample(
        self,
        seeds: Sequence[int],
        labels: Sequence[int] | Tensor | None = None,
        truncation: float | None = None,
    ) -> list[Generated]:
        """Make a picture for each seed.

        Args:
            seeds: 0 or larger; a picture depends on its own alone.
            labels: of the classes that are wanted, or [B, K]; None for each class in turn.
            truncation: see :class:`Generator`; None as the options say.
        """
        values, names = self._wanted(seeds, labels)
        strength = self.options.truncation if truncation is None else truncation
        images = self.generate(self.latents(seeds), values, strength)
        pictures = to_pictures(images)
        known = names if self.conditional else [None] * len(seeds)
        return [
            Generated(picture, label=label, seed=int(seed))
            for picture, label, seed in zip(pictures, known, seeds, strict=True)
        ]

    def _wanted(
        self, seeds: Sequence[int], labels: Sequence[int] | Tensor | None
    ) -> tuple[Tensor | None, list[int | None]]:
        """Labels as a generator takes them, [B, K], and the largest of each."""
        if not self.conditional:
            return None, []
        where = next(self.generator.parameters()).device
        if isinstance(labels, Tensor):
            return labels, [int(i) for i in labels.argmax(1)]
        chosen = [int(s) % self.num_classes for s in seeds] if labels is None else list(labels)
        values = F.one_hot(torch.tensor(chosen), self.num_classes).float().to(where)
        return values, [int(i) for i in chosen]

    @torch.no_grad()
    def judge(self, batch: Batch) -> tuple[dict[str, Tensor], list[Result]]:
        """See :class:`Network`: as many pictures as there are real ones, of the same classes.

        The losses are the critic's, see :func:`logistic_losses`.
        """
        labels = labels_of(batch) if self.conditional else None
        made = self.sample([m.image_id for m in batch.meta], labels)
        fake = torch.from_numpy(np.stack([g.image for g in made])).permute(0, 3, 1, 2)
        said_real = self.critic(from_bytes(batch.images), labels)
        said_fake = self.critic(from_bytes(fake.to(batch.images.device)), labels)
        return logistic_losses(said_real, said_fake), list(made)

    @torch.no_grad()
    def predict(self, batch: Batch) -> list[Result]:
        """See :class:`Network`: a picture for each one's id, see :meth:`sample`."""
        return list(self.sample([m.image_id for m in batch.meta]))

    def traceable(self, how: Graph, canvas: tuple[int, int]) -> Traceable:
        """See :class:`Network`: the generator alone."""
        facts = {"conditional": self.conditional, "latent": self.generator.latent}
        inputs = {"z": self.latents(range(EXAMPLES))}
        if self.conditional:
            wanted = torch.arange(EXAMPLES) % self.num_classes
            inputs["labels"] = F.one_hot(wanted, self.num_classes).float()
        return Traceable(NoiseGraph(self), inputs, facts=facts)


def labels_of(batch: Batch) -> Tensor:
    """The classes of a batch's pictures, [B, K]."""
    assert isinstance(batch.targets, LabelTargets)
    return batch.targets.values


def from_bytes(images: Tensor) -> Tensor:
    """Map uint8 pictures to -1..1."""
    return images.float() / 127.5 - 1


def to_bytes(images: Tensor) -> Tensor:
    """Map -1..1 to uint8: the inverse of :func:`from_bytes`."""
    return ((images.detach().float() + 1) * 127.5).round_().clamp_(0, 255).to(torch.uint8)


def to_pictures(images: Tensor) -> list[Any]:
    """Map [B, 3, H, W], -1..1, to a uint8 array [H, W, 3] for each."""
    return list(to_bytes(images).permute(0, 2, 3, 1).contiguous().cpu().numpy())
