"""What every head promises."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from visionkit.backbones.base import FeatureSpec
from visionkit.batch import Batch
from visionkit.results import Result


@dataclass(frozen=True)
class PredictOptions:
    """Which of a detector's boxes are results.

    Attributes:
        confidence: the least score, 0..1.
        iou: two boxes of one class that overlap by more than this are one object, 0..1.
        max_detections: at most so many for each picture.
    """

    confidence: float = 0.001
    iou: float = 0.7
    max_detections: int = 300


class Head(nn.Module, ABC):
    """From feature maps to losses and results.

    ``loss``, ``decode`` and ``predict`` give the same in training and in evaluation mode, and may
    all be called on one ``raw``, so that one pass through the backbone serves every purpose.

    Args:
        in_features: the maps the head may choose from.
        num_classes: K.

    Attributes:
        used: the maps it has chosen; all, unless a subclass says otherwise.
        options: what :meth:`predict` keeps.
    """

    def __init__(self, in_features: Sequence[FeatureSpec], num_classes: int) -> None:
        super().__init__()
        self.in_features = tuple(in_features)
        self.used: Sequence[FeatureSpec] = self.in_features
        self.num_classes = num_classes
        self.options = PredictOptions()

    @abstractmethod
    def forward(self, features: dict[str, Tensor], canvas: tuple[int, int]) -> Any:
        """Compute all that needs no targets, for a canvas of (height, width) pixels."""

    @abstractmethod
    def loss(self, raw: Any, batch: Batch) -> dict[str, Tensor]:
        """Return scalar losses, always under the same names, in float32."""

    @abstractmethod
    def decode(self, raw: Any) -> Any:
        """Return batched tensors of fixed size in canvas pixels: what an exported file gives."""

    @abstractmethod
    def predict(self, raw: Any, batch: Batch) -> list[Result]:
        """Return a result in original pixels for each picture of the batch."""
