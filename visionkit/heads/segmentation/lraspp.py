"""LR-ASPP: the light head of MobileNetV3."""

from collections.abc import Sequence

from torch import Tensor, nn

from visionkit.argtypes import Positive
from visionkit.backbones.base import FeatureSpec
from visionkit.heads.segmentation.base import DropOut, SegmentationHead
from visionkit.heads.segmentation.layers import (
    class_scores,
    conv_norm,
    enlarge,
    low_and_high,
)
from visionkit.losses.segmentation import SegmentationLoss


class LrasppHead(SegmentationHead):
    """Lite reduced ASPP (Howard et al. 2019).

    The channels of a coarse map, weighed by what the map is on average, and scores of a finer map.
    Coarse scores are enlarged, not the channels they are made from: it is the same, and cheaper.

    Args:
        in_features: the maps to choose from.
        num_classes: K.
        loss: of the scores of each pixel.
        dropout: part of the last layer's channels that is left out in training.
        stride: of the coarse map; None for the coarsest.
        low_stride: of the finer one; None for 8, or the nearest to it that there is. Where there
            is none that is finer, the head does without.
        width: channels of the coarse map's layer.
    """

    def __init__(
        self,
        in_features: Sequence[FeatureSpec],
        num_classes: int,
        loss: SegmentationLoss,
        dropout: DropOut = 0.1,
        stride: Positive | None = None,
        low_stride: Positive | None = None,
        width: Positive = 128,
    ) -> None:
        super().__init__(in_features, num_classes, loss, dropout)
        low, high = low_and_high(in_features, low_stride, stride, usual=8)
        self.used = [low, high] if low else [high]
        self.conv = conv_norm(high.channels, width)
        self.gate = nn.Sequential(nn.Conv2d(high.channels, width, 1, bias=False), nn.Sigmoid())
        self.classes = class_scores(width, num_classes)
        if low:
            self.low_classes = class_scores(low.channels, num_classes, bias=False)

    def logits(self, maps: Sequence[Tensor], canvas: tuple[int, int]) -> Tensor:
        """See :class:`SegmentationHead`."""
        *low, high = maps
        weighed = self.conv(high) * self.gate(high.mean((2, 3), keepdim=True))
        scores: Tensor = self.classes(self.dropout(weighed))
        for finer in low:
            scores = enlarge(scores, finer.shape) + self.low_classes(finer)
        return scores
