"""DeepLabv3+: dilated convolutions at several rates, refined by a finer map."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from visionkit.argtypes import Positive
from visionkit.backbones.base import FeatureSpec
from visionkit.heads.segmentation.base import DropOut, SegmentationHead
from visionkit.heads.segmentation.layers import (
    class_scores,
    conv_norm,
    enlarge,
    low_and_high,
    separable,
)
from visionkit.losses.segmentation import SegmentationLoss

REACH = (96, 192, 288)
"""Pixels from the middle of the dilated kernels to their sides: the paper's 6, 12, 18 cells."""


class AtrousPooling(nn.Module):
    """Atrous spatial pyramid pooling (Chen et al. 2018) with separable convolutions.

    The branch of the picture's average has a bias in the place of a norm, which can't take the one
    value that there is of a single picture; its share is added, the same for every cell.

    Args:
        inputs: channels in.
        outputs: channels out, and of each branch.
        rates: of the dilated convolutions, in cells.
    """

    def __init__(self, inputs: int, outputs: int, rates: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [conv_norm(inputs, outputs), *(separable(inputs, outputs, rate) for rate in rates)]
        )
        self.whole = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 1, bias=False),
        )
        self.mix = nn.Conv2d(outputs * len(self.branches), outputs, 1, bias=False)
        self.norm = nn.Sequential(nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, inputs, H, W] to [B, outputs, H, W]."""
        mixed = self.mix(torch.cat([branch(x) for branch in self.branches], 1))
        y: Tensor = self.norm(mixed + self.whole(x.mean((2, 3), keepdim=True)))
        return y


class DeepLabHead(SegmentationHead):
    """DeepLabv3+ (Chen et al. 2018) on maps that aren't dilated themselves.

    Args:
        in_features: the maps to choose from.
        num_classes: K.
        loss: of the scores of each pixel.
        dropout: part of the last layer's channels that is left out in training.
        stride: of the map that is pooled; None for the coarsest.
        low_stride: of the finer map; None for 4, or the nearest to it that there is. Where there
            is none that is finer, the head does without.
        rates: of the dilated convolutions, in cells; None for the paper's reach in pixels: 6, 12
            and 18 at stride 16, 3, 6 and 9 at stride 32.
        width: channels.
        low_width: channels that the finer map is narrowed to.
    """

    def __init__(
        self,
        in_features: Sequence[FeatureSpec],
        num_classes: int,
        loss: SegmentationLoss,
        dropout: DropOut = 0.1,
        stride: Positive | None = None,
        low_stride: Positive | None = None,
        rates: Sequence[Positive] | None = None,
        width: Positive = 128,
        low_width: Positive = 48,
    ) -> None:
        super().__init__(in_features, num_classes, loss, dropout)
        low, high = low_and_high(in_features, low_stride, stride, usual=4)
        self.used = [low, high] if low else [high]
        cells = [max(1, round(reach / high.stride)) for reach in REACH] if rates is None else rates
        self.pooling = AtrousPooling(high.channels, width, cells)
        if low:
            self.low = conv_norm(low.channels, low_width)
            self.refine = nn.Sequential(
                separable(width + low_width, width), separable(width, width)
            )
        self.classes = class_scores(width, num_classes)

    def logits(self, maps: Sequence[Tensor], canvas: tuple[int, int]) -> Tensor:
        """See :class:`SegmentationHead`."""
        *low, high = maps
        x = self.pooling(high)
        for finer in low:
            x = self.refine(torch.cat([enlarge(x, finer.shape), self.low(finer)], 1))
        scores: Tensor = self.classes(self.dropout(x))
        return scores
