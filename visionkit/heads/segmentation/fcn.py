"""Fully convolutional networks: scores of each map, summed from coarse to fine."""

from collections.abc import Sequence

from torch import Tensor, nn

from visionkit.argtypes import Positive
from visionkit.backbones.base import FeatureSpec
from visionkit.heads.segmentation.base import DropOut, SegmentationHead
from visionkit.heads.segmentation.layers import class_scores, conv_norm, enlarge, maps_at
from visionkit.losses.segmentation import SegmentationLoss


class FcnHead(SegmentationHead):
    """A fully convolutional network (Long et al. 2015), FCN-8s where there are strides 8 to 32.

    A 3x3 convolution on the coarsest map and a score for each class; each finer map adds scores of
    its own, which start at zero as in the paper. Scores are enlarged bilinearly; the paper learns
    to, from there.

    Args:
        in_features: the maps to choose from.
        num_classes: K.
        loss: of the scores of each pixel.
        dropout: part of the last layer's channels that is left out in training.
        strides: of the maps; None for 8, 16 and 32, as far as there are.
        width: channels of the convolution on the coarsest map.
    """

    def __init__(
        self,
        in_features: Sequence[FeatureSpec],
        num_classes: int,
        loss: SegmentationLoss,
        dropout: DropOut = 0.1,
        strides: Sequence[Positive] | None = None,
        width: Positive = 128,
    ) -> None:
        super().__init__(in_features, num_classes, loss, dropout)
        self.used = maps_at(in_features, strides, (8, 16, 32))
        *finer, coarsest = self.used
        self.conv = conv_norm(coarsest.channels, width, 3)
        self.classes = class_scores(width, num_classes)
        self.skips = nn.ModuleList(
            class_scores(f.channels, num_classes, bias=False, std=0.0) for f in finer
        )

    def logits(self, maps: Sequence[Tensor], canvas: tuple[int, int]) -> Tensor:
        """See :class:`SegmentationHead`."""
        *finer, coarsest = maps
        scores: Tensor = self.classes(self.dropout(self.conv(coarsest)))
        for skip, x in reversed(list(zip(self.skips, finer, strict=True))):
            scores = enlarge(scores, x.shape) + skip(x)
        return scores
