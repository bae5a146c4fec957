"""No neck: the head sees the backbone's maps."""

from collections.abc import Sequence

from torch import Tensor

from visionkit.backbones.base import FeatureSpec
from visionkit.necks.base import Neck


class Identity(Neck):
    """Passes every map on."""

    def __init__(self, in_features: Sequence[FeatureSpec]) -> None:
        super().__init__(in_features)
        self.features = self.in_features

    def forward(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """See :class:`Neck`."""
        return maps
