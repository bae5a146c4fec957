"""A GAN whose pictures can be worked out by hand, and a checkpoint that holds it."""

from typing import Any

import torch
from bright import FakeLoaded
from torch import Tensor, nn

from visionkit.generators.base import Generator
from visionkit.models.gan import Gan

CLASSES = ("ant", "bee", "cat")


class Flat(Generator):
    """Each picture has one colour: red tells the first number of the noise, green the class."""

    latent = 6

    def __init__(
        self, canvas: tuple[int, int] = (8, 12), channels: int = 3, num_classes: int = 0
    ) -> None:
        super().__init__(canvas, channels, num_classes)
        self.gain = nn.Parameter(torch.tensor(0.25))

    def forward(self, z: Tensor, labels: Tensor | None = None, truncation: float = 1.0) -> Tensor:
        assert not self.training
        red = (self.gain * truncation * z[:, 0]).tanh()
        green = torch.zeros_like(red)
        if labels is not None:
            assert labels.shape[1] == self.num_classes
            green = labels @ torch.linspace(-1, 1, self.num_classes)
        colours = torch.stack([red, green, -red], 1)
        return colours[:, :, None, None].expand(-1, -1, *self.canvas)


def flat_gan(conditional: bool = True, num_classes: int = 3) -> Gan:
    critic: Any = nn.Module()
    return Gan(lambda k: Flat(num_classes=k), lambda k, size=None: critic, num_classes, conditional)


def red_of(gan: Gan, seed: int, truncation: float = 1.0) -> int:
    """The red of the picture of a seed, 0..255."""
    level = (0.25 * truncation * gan.latents([seed])[0, 0]).tanh()
    return int(((level + 1) * 127.5).round())


def holding(gan: Gan, **predict: Any) -> FakeLoaded:
    return FakeLoaded(gan, CLASSES, (8, 12), "generation", predict)
