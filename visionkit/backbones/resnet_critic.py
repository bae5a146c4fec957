"""The residual critic of SNGAN and WGAN-GP."""

import math
from itertools import pairwise
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from visionkit.argtypes import Amount, Count, Positive
from visionkit.backbones.base import Backbone, FrozenStages, LayerDecay
from visionkit.backbones.weights import load_weights
from visionkit.errors import ConfigError
from visionkit.ops.filters import halved_conv

NormKind = Literal["none", "layer"]


class ResnetCritic(Backbone):
    """Residual blocks that halve the picture (Gulrajani et al. 2017, Miyato et al. 2018).

    Maps at strides 2, 4, 8 ...; the last one has gone through a ReLU. The paper's critic for 32
    pixels is ``stages=2 flat=2 width=128 widest=1``.

    Args:
        width: channels of the first map; each one after it has twice as many, up to ``widest``
            times.
        widest: see ``width``.
        stages: number of maps; ``auto`` is 3, and in a GAN as many as halve the pictures down to
            a small map.
        flat: blocks that don't halve, behind the last map.
        norm: ``layer`` for norms over all channels and places of a picture, in all blocks but the
            first; ``none``.
        spectral: spectral norms on all weights (Miyato et al. 2018).
        in_channels: of the pictures: 6 for two that are seen together.
        weights: ``none`` or a file.
        frozen_stages: the first so many feature maps, and all before them, don't train.
        frozen_norm: whether norms stay as they are.
        lr_multiplier: for the backbone's parameters.
        layer_decay: factor of the learning rate from each map to the one before it.
    """

    def __init__(
        self,
        width: Positive = 64,
        widest: Positive = 4,
        stages: Positive | Literal["auto"] = "auto",
        flat: Count = 0,
        norm: NormKind = "none",
        spectral: bool = False,
        in_channels: Positive = 3,
        weights: str = "none",
        frozen_stages: FrozenStages = 0,
        frozen_norm: bool = False,
        lr_multiplier: Amount = 1.0,
        layer_decay: LayerDecay = 1.0,
    ) -> None:
        super().__init__(lr_multiplier, layer_decay)
        self.mean = self.std = (0.5, 0.5, 0.5)
        self.in_channels = in_channels
        count = 3 if stages == "auto" else stages
        widths = [width * min(widest, 2**i) for i in range(count)]
        blocks = [Block(in_channels, widths[0], "none", spectral, first=True)]
        for before, after in pairwise(widths):
            blocks.append(Block(before, after, norm, spectral))
        self.stages = nn.ModuleList(blocks)
        self.flat = nn.ModuleList(
            Block(widths[-1], widths[-1], norm, spectral, halves=False) for _ in range(flat)
        )
        if weights == "default":
            raise ConfigError(
                "backbone.weights: the resnet critic has no published weights; give none or a file"
            )
        if weights != "none":
            load_weights(self, weights)
        self._names = [f"stride{2 ** (i + 1)}" for i in range(count)]
        self.finish(self._names, frozen_stages, frozen_norm)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """See :class:`Backbone`."""
        maps, x = {}, self.padded(images)
        for name, stage in zip(self._names, self.stages, strict=True):
            x = stage(x)
            maps[name] = x
        for block in self.flat:
            x = block(x)
        maps[self._names[-1]] = F.relu(x)
        return self.on_grid(maps, images.shape[-2:])


class Block(nn.Module):
    """Two convolutions beside a shortcut; norms and ReLUs come before them.

    Args:
        inputs: channels in.
        outputs: channels out.
        norm: see :class:`ResnetCritic`.
        spectral: likewise.
        first: it sees a picture, so nothing comes before its first convolution.
        halves: whether the map is halved, by the mean of two by two cells.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        norm: NormKind,
        spectral: bool,
        first: bool = False,
        halves: bool = True,
    ) -> None:
        super().__init__()
        self.first = first

        def layer(before: int, after: int, kernel: int) -> nn.Conv2d:
            made = nn.Conv2d(before, after, kernel, padding=kernel // 2)
            nn.init.xavier_uniform_(made.weight, math.sqrt(2) if kernel > 1 else 1.0)
            if spectral:
                spectral_norm(made)
            return made

        hidden = outputs if first else inputs
        self.conv1, self.conv2 = layer(inputs, hidden, 3), layer(hidden, outputs, 3)
        self.shortcut = layer(inputs, outputs, 1) if halves else None
        normed = norm == "layer"
        self.norm1 = nn.GroupNorm(1, inputs) if normed else nn.Identity()
        self.norm2 = nn.GroupNorm(1, hidden) if normed else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, inputs, H, W] to [B, outputs, H, W], or half of each side."""
        y = self.conv1(x if self.first else F.relu(self.norm1(x)))
        y = F.relu(self.norm2(y))
        if self.shortcut is None:
            kept: Tensor = self.conv2(y)
            return x + kept
        # a mean and a convolution of one cell can change places
        shorter: Tensor = self.shortcut(F.avg_pool2d(x, 2))
        return shorter + halved_conv(y, self.conv2.weight, self.conv2.bias)
