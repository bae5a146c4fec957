"""UPerNet: pyramid pooling on top of a feature pyramid, all maps fused."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from visionkit.argtypes import Positive
from visionkit.backbones.base import FeatureSpec
from visionkit.heads.segmentation.base import DropOut, SegmentationHead
from visionkit.heads.segmentation.layers import (
    PyramidPooling,
    class_scores,
    conv_norm,
    enlarge,
    maps_at,
)
from visionkit.losses.segmentation import SegmentationLoss


class UpernetHead(SegmentationHead):
    """The semantic branch of UPerNet (Xiao et al. 2018).

    Pyramid pooling on the coarsest map, a feature pyramid below it, and one 1x1 convolution over
    all its maps side by side. That convolution is applied to each map before it is enlarged, and
    the sums are enlarged step by step, which costs far less.

    Args:
        in_features: the maps to choose from.
        num_classes: K.
        loss: of the scores of each pixel.
        dropout: part of the last layer's channels that is left out in training.
        strides: of the maps; None for 4, 8, 16 and 32, as far as there are.
        width: channels of the pyramid.
    """

    def __init__(
        self,
        in_features: Sequence[FeatureSpec],
        num_classes: int,
        loss: SegmentationLoss,
        dropout: DropOut = 0.1,
        strides: Sequence[Positive] | None = None,
        width: Positive = 64,
    ) -> None:
        super().__init__(in_features, num_classes, loss, dropout)
        self.used = maps_at(in_features, strides, (4, 8, 16, 32))
        *finer, coarsest = self.used
        self.pooling = PyramidPooling(coarsest.channels, width)
        self.laterals = nn.ModuleList(conv_norm(f.channels, width) for f in finer)
        self.smooth = nn.ModuleList(conv_norm(width, width, 3) for _ in finer)
        self.fuse = nn.ModuleList(nn.Conv2d(width, width, 1, bias=False) for _ in self.used)
        self.norm = nn.BatchNorm2d(width)
        self.classes = class_scores(width, num_classes)

    def logits(self, maps: Sequence[Tensor], canvas: tuple[int, int]) -> Tensor:
        """See :class:`SegmentationHead`."""
        *finer, coarsest = maps
        x = self.pooling(coarsest)
        fused: Tensor = self.fuse[-1](x)
        for i in reversed(range(len(finer))):
            x = self.laterals[i](finer[i]) + enlarge(x, finer[i].shape)
            fused = enlarge(fused, x.shape) + self.fuse[i](self.smooth[i](x))
        scores: Tensor = self.classes(self.dropout(F.relu(self.norm(fused), inplace=True)))
        return scores
