"""Discriminators of projected features: one for each map."""

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from visionkit.argtypes import Positive
from visionkit.backbones.base import FeatureSpec
from visionkit.heads.discriminator import DiscriminatorHead


class ProjectedDiscriminator(DiscriminatorHead):
    """A small discriminator for each map, with logits on the same grid (Sauer et al. 2021).

    Each halves its map, by 4 x 4 convolutions with spectral norms, until it has the wanted stride,
    and says of each cell how real it is. With classes, the inner product of a cell and an embedding
    of the class is added (projection: Miyato & Koyama 2018).

    Args:
        in_features: the maps the head may choose from; it takes all.
        num_classes: K, or 0.
        stride: input pixels per logit, a power of two; maps of larger strides keep theirs. Null
            for the coarsest map's; the paper has 4 x 4 logits for a picture.
        width: channels of every layer.
        norm: what follows each convolution: ``batch``, as in the paper, or ``none``. Batch norms
            see real and made pictures apart, and so hide how they differ on average; without them a
            critic on good features is soon sure of all, and the generator learns nothing.
    """

    def __init__(
        self,
        in_features: Sequence[FeatureSpec],
        num_classes: int = 0,
        stride: Positive | None = None,
        width: Positive = 64,
        norm: Literal["batch", "none"] = "batch",
    ) -> None:
        super().__init__(in_features, num_classes)
        target = stride or max(f.stride for f in self.used)
        self.parts = nn.ModuleList(
            _Part(f.channels, _halvings(f.stride, target), num_classes, width, norm == "batch")
            for f in self.used
        )

    def forward(self, maps: dict[str, Tensor], labels: Tensor | None = None) -> list[Tensor]:
        """See :class:`DiscriminatorHead`: [B, h, w] for each map."""
        return [part(maps[f.name], labels) for part, f in zip(self.parts, self.used, strict=True)]


def _halvings(stride: int, target: int) -> int:
    """How often a map of ``stride`` is halved to have at least ``target``."""
    count = 0
    while stride << count < target:
        count += 1
    return count


class _Part(nn.Module):
    """The discriminator of one map."""

    def __init__(
        self, channels: int, halvings: int, num_classes: int, width: int, normed: bool
    ) -> None:
        super().__init__()

        def block(inputs: int, kernel: int, stride: int) -> nn.Module:
            convolution = nn.Conv2d(inputs, width, kernel, stride, 1, bias=not normed)
            behind = [nn.BatchNorm2d(width)] if normed else []
            return nn.Sequential(spectral_norm(convolution), *behind, nn.LeakyReLU(0.2))

        inputs = [channels] + [width] * halvings
        self.halve = nn.ModuleList(block(c, 4, 2) for c in inputs[:-1])
        self.last = block(inputs[-1], 3, 1)
        self.logit = spectral_norm(nn.Conv2d(width, 1, 1))
        self.classes = (
            spectral_norm(nn.Linear(num_classes, width, bias=False)) if num_classes else None
        )

    def forward(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """Map [B, C, h, w] to logits [B, h', w']."""
        for layer in self.halve:
            # a border of one cell more, where the side is odd: no cell is left out
            x = layer(F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2)))
        x = self.last(x)
        logits: Tensor = self.logit(x).squeeze(1)
        if self.classes is not None:
            assert labels is not None
            wanted = self.classes(labels.to(x.dtype))
            logits = logits + (wanted[:, :, None, None] * x).sum(1)
        return logits
