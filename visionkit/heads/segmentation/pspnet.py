"""PSPNet: a map beside its averages over parts of the picture."""

from collections.abc import Sequence

from torch import Tensor

from visionkit.argtypes import Positive
from visionkit.backbones.base import FeatureSpec
from visionkit.heads.segmentation.base import DropOut, SegmentationHead
from visionkit.heads.segmentation.layers import BINS, PyramidPooling, class_scores, map_near
from visionkit.losses.segmentation import SegmentationLoss


class PspnetHead(SegmentationHead):
    """Pyramid scene parsing (Zhao et al. 2017) on one map that isn't dilated.

    Args:
        in_features: the maps to choose from.
        num_classes: K.
        loss: of the scores of each pixel.
        dropout: part of the last layer's channels that is left out in training.
        stride: of the map; None for 16, or the nearest to it that there is: coarser ones know
            more, finer ones have sharper borders. What lies behind the map isn't used.
        bins: parts a side that are pooled over.
        width: channels.
    """

    def __init__(
        self,
        in_features: Sequence[FeatureSpec],
        num_classes: int,
        loss: SegmentationLoss,
        dropout: DropOut = 0.1,
        stride: Positive | None = None,
        bins: Sequence[Positive] = BINS,
        width: Positive = 128,
    ) -> None:
        super().__init__(in_features, num_classes, loss, dropout)
        chosen = map_near(in_features, stride, 16)
        assert chosen is not None
        self.used = [chosen]
        self.pooling = PyramidPooling(chosen.channels, width, bins)
        self.classes = class_scores(width, num_classes)

    def logits(self, maps: Sequence[Tensor], canvas: tuple[int, int]) -> Tensor:
        """See :class:`SegmentationHead`."""
        scores: Tensor = self.classes(self.dropout(self.pooling(maps[0])))
        return scores
