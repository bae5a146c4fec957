"""Heads that say how real a picture is, for the critics of GANs."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from visionkit.argtypes import Count, Positive
from visionkit.backbones.base import FeatureSpec, pick


class DiscriminatorHead(nn.Module, ABC):
    """From feature maps to logits.

    Args:
        in_features: the maps the head may choose from.
        num_classes: K; 0 where the pictures have no classes.

    Attributes:
        used: the maps it has chosen; all, unless a subclass says otherwise.
    """

    def __init__(self, in_features: Sequence[FeatureSpec], num_classes: int = 0) -> None:
        super().__init__()
        self.in_features = tuple(in_features)
        self.used: Sequence[FeatureSpec] = self.in_features
        self.num_classes = num_classes

    @property
    def batched(self) -> bool:
        """Whether what it says of a picture depends on the others of its batch by design."""
        return False

    @abstractmethod
    def forward(self, maps: dict[str, Tensor], labels: Tensor | None = None) -> list[Tensor]:
        """Return logits of each discriminator, [B] or [B, h, w].

        Args:
            maps: ``{name: [B, C, h, w]}``.
            labels: [B, K] of the classes that the pictures are to show; None where there are none.
        """


class Discriminator(DiscriminatorHead):
    """One logit for each picture, from one map.

    With classes, the inner product of the pooled map and an embedding of the class is added
    (projection: Miyato & Koyama 2018).

    Args:
        in_features: the maps the head may choose from.
        num_classes: K, or 0.
        stride: of the map; None for the coarsest.
        pool: ``sum`` of what each place says (SNGAN), ``mean``, or ``grid``: a fully connected
            layer on a grid of 4 by 4 cells, which knows their places.
        hidden: channels of a 3 x 3 convolution before it; 0 for none.
        deviation: tell by one more map how much the pictures of a group differ (Karras et al.
            2018), in groups of so many; 0 for not.
        spectral: spectral norms on all weights (Miyato et al. 2018).
    """

    def __init__(
        self,
        in_features: Sequence[FeatureSpec],
        num_classes: int = 0,
        stride: Positive | None = None,
        pool: Literal["sum", "mean", "grid"] = "grid",
        hidden: Count = 0,
        deviation: Count = 0,
        spectral: bool = False,
    ) -> None:
        super().__init__(in_features, num_classes)
        coarsest = max(f.stride for f in self.in_features)
        self.used = pick(self.in_features, [stride or coarsest], "head")
        self.pool, self.deviation = pool, deviation

        def layer(made: nn.Module) -> nn.Module:
            return spectral_norm(made) if spectral else made

        channels = self.used[0].channels + (1 if deviation else 0)
        self.hidden: nn.Module = nn.Identity()
        if hidden:
            self.hidden = nn.Sequential(
                layer(nn.Conv2d(channels, hidden, 3, padding=1)), nn.LeakyReLU(0.2)
            )
            channels = hidden
        inputs = channels * 16 if pool == "grid" else channels
        self.logit = layer(nn.Linear(inputs, 1))
        self.classes: nn.Module | None = None
        if num_classes:
            embedding = nn.Linear(num_classes, inputs, bias=False)
            # inner products begin as small as the logit
            nn.init.normal_(embedding.weight, 0.0, inputs**-0.5 / 4)
            self.classes = layer(embedding)

    @property
    def batched(self) -> bool:
        """See :class:`DiscriminatorHead`."""
        return self.deviation > 0

    def forward(self, maps: dict[str, Tensor], labels: Tensor | None = None) -> list[Tensor]:
        """See :class:`DiscriminatorHead`."""
        x = maps[self.used[0].name]
        if self.deviation:
            x = with_deviation(x, self.deviation)
        x = self.hidden(x)
        if self.pool == "grid":
            pooled = F.adaptive_avg_pool2d(x, 4).flatten(1)
        else:
            pooled = x.sum((2, 3)) if self.pool == "sum" else x.mean((2, 3))
        logits: Tensor = self.logit(pooled).squeeze(1)
        if self.classes is not None:
            assert labels is not None
            logits = logits + (self.classes(labels.to(pooled.dtype)) * pooled).sum(1)
        return [logits]


def with_deviation(x: Tensor, group: int) -> Tensor:
    """Add a map of the mean standard deviation within groups of pictures (Karras et al. 2018).

    Args:
        x: [B, C, h, w]; picture ``i`` is of the group ``i % (B // group)``.
        group: pictures of a group; those of the batch that are one too many form a larger one.
    """
    count = max(1, len(x) // group)
    members = torch.arange(len(x), device=x.device) % count
    # products of small differences vanish in half precision
    with torch.autocast(x.device.type, enabled=False):
        values = x.float().flatten(1)
        share = F.one_hot(members, count).float()
        share = share / share.sum(0)
        mean = share.T @ values
        spread = (share.T @ (values - mean[members]).square() + 1e-8).sqrt().mean(1)
    told = spread[members].to(x.dtype)[:, None, None, None]
    return torch.cat([x, told.expand(-1, 1, *x.shape[2:])], 1)
