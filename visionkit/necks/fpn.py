"""Feature pyramids, top-down and back up."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visionkit.argtypes import Positive
from visionkit.backbones.base import FeatureSpec, pick
from visionkit.backbones.layers import ConvNorm, CspBlock
from visionkit.errors import ConfigError
from visionkit.necks.base import Neck


class FPN(Neck):
    """Feature pyramid network (Lin et al. 2017): laterals, a top-down path, a 3x3 smoothing.

    Args:
        in_features: what the backbone gives.
        strides: the maps wanted; those beyond the backbone's largest are made from the last one.
        out_channels: of every map.
        norm: what follows each convolution.
        extra: what makes the maps beyond the backbone's: 3x3 convolutions of stride 2 (as in Lin et
            al. 2017b, RetinaNet), or every second cell (``pool``, as in Faster R-CNN).
    """

    def __init__(
        self,
        in_features: Sequence[FeatureSpec],
        strides: Sequence[Positive] = (8, 16, 32),
        out_channels: Positive = 256,
        norm: Literal["none", "batch"] = "none",
        extra: Literal["conv", "pool"] = "conv",
    ) -> None:
        super().__init__(in_features)
        deepest = max(f.stride for f in in_features)
        self.inputs = pick(in_features, [s for s in strides if s <= deepest] or strides, "neck")
        beyond = [s for s in strides if s > deepest]
        if beyond != [deepest * 2**k for k in range(1, len(beyond) + 1)]:
            raise ConfigError(
                f"neck.strides: beyond the backbone's {deepest}, strides double: "
                f"{deepest * 2}, {deepest * 4} ...; got {beyond}"
            )
        width = out_channels
        self.laterals = nn.ModuleList(_conv(f.channels, width, 1, norm) for f in self.inputs)
        self.smooth = nn.ModuleList(_conv(width, width, 3, norm) for _ in self.inputs)
        self.extra = nn.ModuleList(
            nn.MaxPool2d(1, stride=2) if extra == "pool" else _conv(width, width, 3, norm, stride=2)
            for _ in beyond
        )
        self.features = tuple(FeatureSpec(f"p{s}", out_channels, s) for s in strides)

    def forward(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """See :class:`Neck`."""
        laterals = [
            layer(maps[f.name]) for layer, f in zip(self.laterals, self.inputs, strict=True)
        ]
        for i in reversed(range(len(laterals) - 1)):
            laterals[i] = laterals[i] + upsample(laterals[i + 1], laterals[i])
        out = [layer(x) for layer, x in zip(self.smooth, laterals, strict=True)]
        for layer in self.extra:
            out.append(layer(out[-1]))
        return {f.name: x for f, x in zip(self.features, out, strict=True)}


class PAFPN(Neck):
    """Path aggregation (Liu et al. 2018) with cross-stage partial blocks: down, then up again.

    Args:
        in_features: what the backbone gives.
        strides: the maps wanted, all of which the backbone must have.
        out_channels: of each map, finest first; one number for all.
        depth: bottlenecks in each block.
    """

    def __init__(
        self,
        in_features: Sequence[FeatureSpec],
        strides: Sequence[Positive] = (8, 16, 32),
        out_channels: Positive | Sequence[Positive] = 64,
        depth: Positive = 1,
    ) -> None:
        super().__init__(in_features)
        self.inputs = pick(in_features, strides, "neck")
        channels = (
            [out_channels] * len(strides) if isinstance(out_channels, int) else list(out_channels)
        )
        if len(channels) != len(strides):
            raise ConfigError(
                f"neck.out_channels: {len(channels)} given for {len(strides)} strides; give one "
                "for each, or one number for all"
            )
        self.laterals = nn.ModuleList(
            ConvNorm(f.channels, c) for f, c in zip(self.inputs, channels, strict=True)
        )
        pairs = list(pairwise(channels))
        self.down = nn.ModuleList(
            CspBlock(fine + coarse, fine, depth, shortcut=False) for fine, coarse in pairs
        )
        self.reduce = nn.ModuleList(ConvNorm(fine, fine, 3, stride=2) for fine, _ in pairs)
        self.up = nn.ModuleList(
            CspBlock(fine + coarse, coarse, depth, shortcut=False) for fine, coarse in pairs
        )
        self.features = tuple(
            FeatureSpec(f"p{s}", c, s) for s, c in zip(strides, channels, strict=True)
        )

    def forward(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """See :class:`Neck`."""
        x = [layer(maps[f.name]) for layer, f in zip(self.laterals, self.inputs, strict=True)]
        for i in reversed(range(len(self.down))):
            x[i] = self.down[i](torch.cat([x[i], upsample(x[i + 1], x[i])], 1))
        for i in range(len(self.up)):
            below = self.reduce[i](x[i])
            if below.shape[-2:] != x[i + 1].shape[-2:]:
                below = F.interpolate(below, size=x[i + 1].shape[-2:], mode="nearest")
            x[i + 1] = self.up[i](torch.cat([below, x[i + 1]], 1))
        return {f.name: y for f, y in zip(self.features, x, strict=True)}


def _conv(inputs: int, outputs: int, kernel: int, norm: str, stride: int = 1) -> nn.Module:
    """Return a convolution that keeps the variance of its input, with the norm behind it."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=norm == "none")
    nn.init.kaiming_uniform_(conv.weight, a=1)
    if conv.bias is None:
        return nn.Sequential(conv, nn.BatchNorm2d(outputs))
    nn.init.zeros_(conv.bias)
    return conv


def upsample(x: Tensor, like: Tensor) -> Tensor:
    """Enlarge ``x`` to the height and width of ``like`` by nearest neighbours."""
    return F.interpolate(x, size=like.shape[-2:], mode="nearest")
