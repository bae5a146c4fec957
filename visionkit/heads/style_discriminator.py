"""The last layers of StyleGAN2's critic."""

import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from visionkit.argtypes import Count
from visionkit.backbones.base import FeatureSpec
from visionkit.backbones.equalised import equalised, leaky
from visionkit.heads.discriminator import DiscriminatorHead, with_deviation


class StyleDiscriminator(DiscriminatorHead):
    """One logit for each picture, from the coarsest map, by equalised layers (Karras et al. 2020).

    A convolution, a fully connected layer on a grid of 4 by 4 cells, and the logit. With classes,
    the logit is the inner product with an embedding of the class besides (Miyato & Koyama 2018).

    Args:
        in_features: the maps; the coarsest is taken.
        num_classes: K, or 0.
        deviation: tell by one more map how much the pictures of a group differ (Karras et al.
            2018), in groups of so many; 0 for not.
        hidden: channels of the layers in between; 0 for the map's.
    """

    def __init__(
        self,
        in_features: Sequence[FeatureSpec],
        num_classes: int = 0,
        deviation: Count = 4,
        hidden: Count = 0,
    ) -> None:
        super().__init__(in_features, num_classes)
        coarsest = max(self.in_features, key=lambda f: f.stride)
        self.used = [coarsest]
        self.deviation = deviation
        inputs, width = coarsest.channels + bool(deviation), hidden or coarsest.channels
        self.conv = equalised(nn.Conv2d(inputs, width, 3, padding=1))
        self.dense = equalised(nn.Linear(width * 16, width))
        self.logit = equalised(nn.Linear(width, 1))
        self.classes: nn.Linear | None = None
        if num_classes:
            # one of the K inputs is 1: the inner product is as large as the logit
            gain = math.sqrt(num_classes / width)
            self.classes = equalised(nn.Linear(num_classes, width, bias=False), gain)

    @property
    def batched(self) -> bool:
        """See :class:`DiscriminatorHead`."""
        return self.deviation > 0

    def forward(self, maps: dict[str, Tensor], labels: Tensor | None = None) -> list[Tensor]:
        """See :class:`DiscriminatorHead`."""
        x = maps[self.used[0].name]
        if self.deviation:
            x = with_deviation(x, self.deviation)
        x = leaky(self.conv(x))
        x = leaky(self.dense(F.adaptive_avg_pool2d(x, 4).flatten(1)))
        logits: Tensor = self.logit(x).squeeze(1)
        if self.classes is not None:
            assert labels is not None
            logits = logits + (self.classes(labels.to(x.dtype)) * x).sum(1)
        return [logits]
