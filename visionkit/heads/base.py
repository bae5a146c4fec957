"""What every head promises."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from visionkit.backbones.base import FeatureSpec
from visionkit.batch import Batch
from visionkit.data.index import DataInfo
from visionkit.errors import ConfigError
from visionkit.results import Result


@dataclass(frozen=True)
class PredictOptions:
    """How results are made from what the network says; a head reads what concerns it.

    Attributes:
        confidence: the least score of a box, or of a class that doesn't exclude others, 0..1.
        iou: two boxes of one class that overlap by more than this are one object, 0..1.
        max_detections: at most so many boxes for each picture.
        flip: average what is said of a picture and of its mirror image.
    """

    confidence: float = 0.001
    iou: float = 0.7
    max_detections: int = 300
    flip: bool = False


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
        learns: the kind of labels that :meth:`loss` takes, see :class:`DataInfo`.
        averages: whether :meth:`average` works.
        calibrates: whether :meth:`calibrate` is to be called after training.
    """

    learns: ClassVar[str]
    averages: ClassVar[bool] = False
    calibrates: bool = False

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

    def check(self, info: DataInfo) -> None:
        """Refuse data with labels of another kind.

        Raises:
            ConfigError: as it says.
        """
        if info.kind != self.learns:
            raise ConfigError(
                f"data: this set is labelled with {info.kind}, {type(self).__name__} learns "
                f"{self.learns}; choose another data= or another task="
            )

    def prepare(self, info: DataInfo) -> None:
        """Take in what the training data are like, before training begins.

        A loaded checkpoint's head isn't told: what this settles belongs into persistent buffers.
        """

    def average(self, raws: Sequence[Any]) -> Any:
        """Return the mean of what was said of a picture and of its mirror images."""
        raise TypeError(f"{type(self).__name__} doesn't average")

    def check_options(self, options: PredictOptions) -> None:
        """Refuse options that this head can't follow.

        Raises:
            ConfigError: as it says.
        """
        if options.flip and not self.averages:
            raise ConfigError(
                f"predict.flip: {type(self).__name__} can't average mirrored pictures, its results "
                "have a place in the picture; leave it false"
            )

    def calibrate(self, raws: Sequence[Any], batches: Sequence[Batch]) -> None:
        """Fit the confidence of results to a validation split, after training.

        Args:
            raws: what :meth:`forward` gave for each batch, on the CPU.
            batches: with their targets.
        """
