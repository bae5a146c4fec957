"""Networks that turn pictures of one kind into pictures of another."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visionkit.argtypes import Positive
from visionkit.batch import Batch, PictureTargets
from visionkit.build import expect
from visionkit.data.index import DataInfo
from visionkit.errors import ConfigError
from visionkit.generators.base import Translator
from visionkit.heads.base import Graph
from visionkit.models.base import Network, Statistics
from visionkit.models.critic import Critic, logistic_losses
from visionkit.models.gan import HALF, from_bytes, to_pictures
from visionkit.models.graphs import PictureGraph, Traceable, example
from visionkit.options import PredictOptions
from visionkit.results import Generated, Result


class Translation(Network):
    """What both ways of learning it share."""

    averaged = "generator."
    says = "pictures"

    @property
    def statistics(self) -> tuple[Statistics, Statistics]:
        """See :class:`Network`: -1..1."""
        return HALF, HALF

    @abstractmethod
    def translate(self, images: Tensor) -> Tensor:
        """Turn pictures [B, 3, H, W], -1..1, into the others, as the options say."""

    def check_options(self, options: PredictOptions, canvas: tuple[int, int] | None = None) -> None:
        """See :class:`Network`."""
        if options.flip or tuple(options.scales) != (1.0,) or options.window is not None:
            raise ConfigError(
                "predict: a picture is turned into another one as it is; leave flip, scales and "
                "window alone"
            )
        if options.truncation != 1:
            raise ConfigError("predict.truncation: nothing is made from noise; leave it 1.0")

    def traceable(self, how: Graph, canvas: tuple[int, int]) -> Traceable:
        """See :class:`Network`: the generator alone, the way that the options say."""
        return Traceable(PictureGraph(self), example(canvas))

    @torch.no_grad()
    def predict(self, batch: Batch) -> list[Result]:
        """See :class:`Network`."""
        return results_of(self.translate(from_bytes(batch.images)), batch)


class PairGan(Translation):
    """Turns pictures into their partners (pix2pix: Isola et al. 2017).

    The critic sees a picture and its translation together.

    Args:
        generator: makes the network that makes pictures.
        critic: makes the one that tells them from real ones, for so many classes.
        num_classes: of the data; of no effect.
        critic_size: pictures are resized for the critic so that their shorter side has so many
            pixels; None to show them as they are.
    """

    def __init__(
        self,
        generator: Callable[[], Translator],
        critic: Callable[..., Critic],
        num_classes: int = 0,
        critic_size: Positive | None = None,
    ) -> None:
        super().__init__()
        self.generator = _translator(generator)
        self.critic = critic(0, pictures=2, size=critic_size)
        self.options = PredictOptions()

    @property
    def trained(self) -> tuple[nn.Module, ...]:
        """See :class:`Network`: the critic, then the generator."""
        return (self.critic, self.generator)

    def check(self, info: DataInfo) -> None:
        """Refuse data without partners.

        Raises:
            ConfigError: as it says.
        """
        if info.kind != "pairs":
            other = ", or model=cyclegan" if info.kind == "unpaired" else ""
            raise ConfigError(
                f"data: {_named(info)}, and this model learns from pairs; choose data=pairs{other}"
            )

    def check_options(self, options: PredictOptions, canvas: tuple[int, int] | None = None) -> None:
        """See :class:`Network`."""
        super().check_options(options, canvas)
        if options.reverse:
            raise ConfigError(
                "predict.reverse: this model has learned one way; leave it false, or train with "
                "data.layout.reverse=true"
            )

    def translate(self, images: Tensor) -> Tensor:
        """See :class:`Translation`."""
        made: Tensor = self.generator(images)
        return made

    @torch.no_grad()
    def judge(self, batch: Batch) -> tuple[dict[str, Tensor], list[Result]]:
        """See :class:`Network`.

        ``l1`` is the mean absolute difference of pictures in -1..1; ``real`` and ``fake`` are the
        critic's logistic losses, whatever it was trained by.
        """
        source, target = from_bytes(batch.images), targets_of(batch)
        made = self.translate(source)
        losses = {"l1": F.l1_loss(made, target)}
        losses |= logistic_losses(
            self.critic(torch.cat([source, target], 1)), self.critic(torch.cat([source, made], 1))
        )
        return losses, results_of(made, batch)


class CycleGan(Translation):
    """Turns pictures of each of two kinds into the other (Zhu et al. 2017).

    Two generators, called ``a_to_b`` and ``b_to_a``, and a critic of each kind, ``a`` and ``b``.
    ``options.reverse`` says which way results go.

    Args:
        generator: makes a network that makes pictures; called for each way.
        critic: makes one that tells them from real ones, for so many classes.
        num_classes: of the data; of no effect.
        critic_size: see :class:`PairGan`.
    """

    def __init__(
        self,
        generator: Callable[[], Translator],
        critic: Callable[..., Critic],
        num_classes: int = 0,
        critic_size: Positive | None = None,
    ) -> None:
        super().__init__()
        ways = {name: _translator(generator) for name in ("a_to_b", "b_to_a")}
        critics = {name: critic(0, size=critic_size) for name in ("a", "b")}
        self.generator, self.critic = nn.ModuleDict(ways), nn.ModuleDict(critics)
        self.options = PredictOptions()

    @property
    def trained(self) -> tuple[nn.Module, ...]:
        """See :class:`Network`: both critics, then both generators."""
        return (self.critic, self.generator)

    def check(self, info: DataInfo) -> None:
        """Refuse data of one kind; that pictures have partners is no hindrance.

        Raises:
            ConfigError: as it says.
        """
        if info.kind not in ("unpaired", "pairs"):
            raise ConfigError(
                f"data: {_named(info)}, and this model learns from two kinds of pictures; choose "
                "data=unpaired"
            )

    def translate(self, images: Tensor) -> Tensor:
        """See :class:`Translation`."""
        made: Tensor = self.generator["b_to_a" if self.options.reverse else "a_to_b"](images)
        return made

    @torch.no_grad()
    def judge(self, batch: Batch) -> tuple[dict[str, Tensor], list[Result]]:
        """See :class:`Network`: the batch's pictures are of the kind that is turned.

        ``cycle`` is the mean absolute difference, in -1..1, of pictures of both kinds to what
        comes back from the other; ``real`` and ``fake`` are the logistic losses of the critic of
        what is made, whatever it was trained by.
        """
        source, other = from_bytes(batch.images), targets_of(batch)
        there, back, critic = self.generator["a_to_b"], self.generator["b_to_a"], self.critic["b"]
        if self.options.reverse:
            there, back, critic = back, there, self.critic["a"]
        made = there(source)
        cycle = F.l1_loss(back(made), source) + F.l1_loss(there(back(other)), other)
        losses = {"cycle": cycle / 2} | logistic_losses(critic(other), critic(made))
        return losses, results_of(made, batch)


def targets_of(batch: Batch) -> Tensor:
    """The other pictures of a batch, [B, 3, H, W], -1..1."""
    assert isinstance(batch.targets, PictureTargets), "this model learns pictures"
    return from_bytes(batch.targets.images)


def results_of(made: Tensor, batch: Batch) -> list[Result]:
    """What was made of the pictures of a batch, in their own pixels.

    Args:
        made: [B, 3, H, W], -1..1, on the canvas.
        batch: its pictures were turned into these.
    """
    return [
        Generated(meta.letterbox.picture_to_image(picture))
        for meta, picture in zip(batch.meta, to_pictures(made), strict=True)
    ]


def _translator(make: Callable[[], Any]) -> Translator:
    made: Translator = expect(make(), Translator, "generator")
    return made


def _named(info: DataInfo) -> str:
    if info.kind in ("pairs", "unpaired"):
        return f"this set has {info.kind} pictures"
    if info.kind == "images":
        return "this set has pictures of one kind"
    return f"this set is labelled with {info.kind}"
