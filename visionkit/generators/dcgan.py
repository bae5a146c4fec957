"""The generator of DCGAN."""

import itertools

import torch
from torch import Tensor, nn

from visionkit.argtypes import Positive
from visionkit.generators.base import Generator, start_of, truncated


class DcganGenerator(Generator):
    """Transposed convolutions that double a small map (Radford et al. 2016).

    Args:
        canvas: height and width of the pictures.
        channels: of the pictures.
        num_classes: K; the class is told beside the noise, as one of K numbers (Mirza & Osindero
            2014).
        latent: how many numbers the noise has.
        width: channels of the last map; each one before it has twice as many, up to 8 times.
    """

    def __init__(
        self,
        canvas: tuple[int, int],
        channels: int = 3,
        num_classes: int = 0,
        latent: Positive = 100,
        width: Positive = 64,
    ) -> None:
        super().__init__(canvas, channels, num_classes)
        self.latent = latent
        start, doublings = start_of(canvas, "generator=dcgan")
        widths = [width * min(8, 2**i) for i in reversed(range(doublings))]
        self.first = nn.Sequential(
            nn.ConvTranspose2d(latent + num_classes, widths[0], start, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
        )
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [
                nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(inplace=True),
            ]
        self.body = nn.Sequential(*layers)
        self.last = nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1)
        for module in self.modules():
            if isinstance(module, nn.ConvTranspose2d):
                nn.init.normal_(module.weight, 0.0, 0.02)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, 1.0, 0.02)

    def forward(self, z: Tensor, labels: Tensor | None = None, truncation: float = 1.0) -> Tensor:
        """See :class:`Generator`."""
        z = truncated(z, truncation)
        if labels is not None:
            z = torch.cat([z, labels.to(z.dtype)], 1)
        x: Tensor = self.last(self.body(self.first(z[:, :, None, None])))
        return torch.tanh(x)
