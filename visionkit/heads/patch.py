"""How real each patch of a picture is."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from visionkit.argtypes import Positive
from visionkit.backbones.base import FeatureSpec, pick
from visionkit.heads.discriminator import DiscriminatorHead


class PatchDiscriminator(DiscriminatorHead):
    """One logit for each cell of a map, by a convolution of 4 x 4 (Isola et al. 2017).

    With classes, the inner product of each cell and an embedding of the class is added
    (projection: Miyato & Koyama 2018).

    Args:
        in_features: the maps the head may choose from.
        num_classes: K, or 0.
        stride: of the map; None for the coarsest.
        spectral: spectral norms on all weights (Miyato et al. 2018).
    """

    def __init__(
        self,
        in_features: Sequence[FeatureSpec],
        num_classes: int = 0,
        stride: Positive | None = None,
        spectral: bool = False,
    ) -> None:
        super().__init__(in_features, num_classes)
        coarsest = max(f.stride for f in self.in_features)
        self.used = pick(self.in_features, [stride or coarsest], "head")
        channels = self.used[0].channels
        self.logit = nn.Conv2d(channels, 1, 4)
        nn.init.normal_(self.logit.weight, 0.0, 0.02)
        nn.init.zeros_(self.logit.bias)  # type: ignore[arg-type]
        self.classes = nn.Linear(num_classes, channels, bias=False) if num_classes else None
        if spectral:
            spectral_norm(self.logit)
            if self.classes is not None:
                spectral_norm(self.classes)

    def forward(self, maps: dict[str, Tensor], labels: Tensor | None = None) -> list[Tensor]:
        """See :class:`DiscriminatorHead`: [B, h, w], of the map's size."""
        x = maps[self.used[0].name]
        logits: Tensor = self.logit(F.pad(x, (1, 2, 1, 2))).squeeze(1)
        if self.classes is not None:
            assert labels is not None
            wanted = self.classes(labels.to(x.dtype))[:, :, None, None]
            logits = logits + (wanted * x).sum(1)
        return [logits]
