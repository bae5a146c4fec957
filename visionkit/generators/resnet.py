"""The residual generator of WGAN-GP and SNGAN."""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visionkit.argtypes import Positive
from visionkit.generators.base import Generator, start_of, truncated
from visionkit.generators.layers import ClassNorm
from visionkit.ops.filters import doubled_conv


class ResnetGenerator(Generator):
    """Residual blocks that double a small map (Gulrajani et al. 2017, Miyato et al. 2018).

    The class is told by the scales and shifts of the batch norms (Miyato & Koyama 2018). SNGAN's
    generator for 32 pixels is ``width=256 widest=1``, for 64 ``width=64 widest=16``.

    Args:
        canvas: height and width of the pictures.
        channels: of the pictures.
        num_classes: K, or 0.
        latent: how many numbers the noise has.
        width: channels of the last map; each one before it has twice as many, up to ``widest``
            times.
        widest: see ``width``.
    """

    def __init__(
        self,
        canvas: tuple[int, int],
        channels: int = 3,
        num_classes: int = 0,
        latent: Positive = 128,
        width: Positive = 64,
        widest: Positive = 4,
    ) -> None:
        super().__init__(canvas, channels, num_classes)
        self.latent = latent
        self._start, doublings = start_of(canvas, "generator=resnet")
        widths = [width * min(widest, 2**i) for i in reversed(range(doublings + 1))]
        self.first = nn.Linear(latent, widths[0] * self._start[0] * self._start[1])
        self.blocks = nn.ModuleList(
            DoublingBlock(before, after, num_classes) for before, after in pairwise(widths)
        )
        self.norm = ClassNorm(widths[-1])
        self.last = nn.Conv2d(widths[-1], channels, 3, padding=1)
        nn.init.xavier_uniform_(self.first.weight)
        nn.init.xavier_uniform_(self.last.weight)

    def forward(self, z: Tensor, labels: Tensor | None = None, truncation: float = 1.0) -> Tensor:
        """See :class:`Generator`."""
        x: Tensor = self.first(truncated(z, truncation)).unflatten(1, (-1, *self._start))
        for block in self.blocks:
            x = block(x, labels)
        return torch.tanh(self.last(F.relu(self.norm(x))))


class DoublingBlock(nn.Module):
    """Two convolutions beside a shortcut; norms and ReLUs come before them.

    Args:
        inputs: channels in.
        outputs: channels out.
        num_classes: K, or 0.
    """

    def __init__(self, inputs: int, outputs: int, num_classes: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = ClassNorm(inputs, num_classes), ClassNorm(outputs, num_classes)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1)
        nn.init.xavier_uniform_(self.conv1.weight, math.sqrt(2))
        nn.init.xavier_uniform_(self.conv2.weight, math.sqrt(2))
        nn.init.xavier_uniform_(self.shortcut.weight)

    def forward(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """Map [B, inputs, H, W] to [B, outputs, 2H, 2W]."""
        y = doubled_conv(F.relu(self.norm1(x, labels)), self.conv1.weight, self.conv1.bias)
        fine: Tensor = self.conv2(F.relu(self.norm2(y, labels)))
        # repeated cells and a convolution of one cell can change places
        shortcut: Tensor = F.interpolate(self.shortcut(x), scale_factor=2.0, mode="nearest")
        return shortcut + fine
