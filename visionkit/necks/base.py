"""What every neck promises: the same as a backbone, made from a backbone's maps."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from visionkit.backbones.base import FeatureSpec


class Neck(nn.Module, ABC):
    """Feature maps in, feature maps out.

    Args:
        in_features: what the backbone gives.

    Attributes:
        features: what the neck gives, ascending by stride.
    """

    features: tuple[FeatureSpec, ...]

    def __init__(self, in_features: Sequence[FeatureSpec]) -> None:
        super().__init__()
        self.in_features = tuple(in_features)

    @abstractmethod
    def forward(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """Map ``{name: [B, C, H, W]}`` by the backbone's names to the same by the neck's."""
