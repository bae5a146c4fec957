"""Features mixed at random, so that a critic on top can't look at few of them only."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from visionkit.argtypes import Positive
from visionkit.backbones.base import FeatureSpec, pick
from visionkit.necks.base import Neck


class RandomProjection(Neck):
    """Random projections across channels and scales that never train (Sauer et al. 2021).

    Each map goes through a 1 x 1 convolution; from the coarsest on, what is there is enlarged
    bilinearly, goes through a 3 x 3 convolution and is added to the next finer map. All of it is
    linear, and weights are drawn so that they keep the variance. They come from torch's generator
    when the neck is built, are part of the state, and let gradients through.

    Args:
        in_features: what the backbone gives.
        strides: the maps wanted; null for those of 4 to 32, or all where there are none of these.
        width: channels of the finest map; each one after it has twice as many, up to 8 times.
    """

    def __init__(
        self,
        in_features: Sequence[FeatureSpec],
        strides: Sequence[Positive] | None = None,
        width: Positive = 64,
    ) -> None:
        super().__init__(in_features)
        if strides is None:
            every = [f.stride for f in self.in_features]
            strides = [s for s in every if 4 <= s <= 32] or every
        self.inputs = pick(self.in_features, strides, "neck")
        channels = [width * min(8, 2**i) for i in range(len(strides))]
        self.across = nn.ModuleList(
            nn.Conv2d(f.channels, c, 1, bias=False)
            for f, c in zip(self.inputs, channels, strict=True)
        )
        self.down = nn.ModuleList(
            nn.Conv2d(coarse, fine, 3, padding=1, bias=False) for fine, coarse in pairwise(channels)
        )
        for layer in (*self.across, *self.down):
            assert isinstance(layer, nn.Conv2d)
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
        self.requires_grad_(False)
        self.features = tuple(
            FeatureSpec(f"p{s}", c, s) for s, c in zip(strides, channels, strict=True)
        )

    def forward(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """See :class:`Neck`."""
        x = [layer(maps[f.name]) for layer, f in zip(self.across, self.inputs, strict=True)]
        for i in reversed(range(len(self.down))):
            coarse = F.interpolate(x[i + 1], x[i].shape[-2:], mode="bilinear", align_corners=False)
            x[i] = (x[i] + self.down[i](coarse)) / math.sqrt(2)
        return {f.name: y for f, y in zip(self.features, x, strict=True)}
