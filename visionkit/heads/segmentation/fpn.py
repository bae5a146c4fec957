"""The semantic branch of Panoptic FPN: a pyramid whose maps are enlarged and summed."""

from collections.abc import Sequence
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from visionkit.argtypes import Positive
from visionkit.backbones.base import FeatureSpec
from visionkit.heads.segmentation.base import DropOut, SegmentationHead
from visionkit.heads.segmentation.layers import class_scores, conv_norm, enlarge, maps_at
from visionkit.losses.segmentation import SegmentationLoss


class FpnHead(SegmentationHead):
    """Panoptic FPN's semantic segmentation (Kirillov et al. 2019).

    A feature pyramid (Lin et al. 2017); each of its maps goes through a 3x3 convolution for each
    doubling on its way to the finest, and all are summed.

    Args:
        in_features: the maps to choose from.
        num_classes: K.
        loss: of the scores of each pixel.
        dropout: part of the last layer's channels that is left out in training.
        strides: of the maps; None for 4, 8, 16 and 32, as far as there are.
        pyramid: channels of the pyramid.
        width: channels of the convolutions after it.
    """

    def __init__(
        self,
        in_features: Sequence[FeatureSpec],
        num_classes: int,
        loss: SegmentationLoss,
        dropout: DropOut = 0.1,
        strides: Sequence[Positive] | None = None,
        pyramid: Positive = 128,
        width: Positive = 64,
    ) -> None:
        super().__init__(in_features, num_classes, loss, dropout)
        self.used = maps_at(in_features, strides, (4, 8, 16, 32))
        self.laterals = nn.ModuleList(nn.Conv2d(f.channels, pyramid, 1) for f in self.used)
        self.levels = nn.ModuleList(
            nn.ModuleList(conv_norm(width if i else pyramid, width, 3) for i in range(max(1, n)))
            for n in range(len(self.used))
        )
        self.classes = class_scores(width, num_classes)

    def logits(self, maps: Sequence[Tensor], canvas: tuple[int, int]) -> Tensor:
        """See :class:`SegmentationHead`."""
        levels = [layer(x) for layer, x in zip(self.laterals, maps, strict=True)]
        for i in reversed(range(len(levels) - 1)):
            levels[i] = levels[i] + enlarge(levels[i + 1], levels[i].shape, "nearest")
        finest, *others = [self._climb(n, levels) for n in range(len(levels))]
        scores: Tensor = self.classes(self.dropout(finest))
        if others:
            # the sum's last step and the scores are linear: together, and as scores, it costs less
            coarse = self.dropout(sum(others[1:], others[0]))
            scores = scores + enlarge(F.conv2d(coarse, self.classes.weight), scores.shape)
        return scores

    def _climb(self, number: int, levels: Sequence[Tensor]) -> Tensor:
        """Bring a level to the size of the finest but one; the finest keeps its own."""
        x = levels[number]
        for i, conv in enumerate(cast(nn.ModuleList, self.levels[number])):
            if i:
                x = enlarge(x, levels[number - i].shape)
            x = conv(x)
        return x
