"""What every head promises."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from visionkit.backbones.base import FeatureSpec
from visionkit.batch import Batch
from visionkit.data.index import DataInfo
from visionkit.errors import ConfigError
from visionkit.options import PredictOptions
from visionkit.results import Result


@dataclass(frozen=True)
class Graph:
    """How far results are worked out inside an exported file.

    Attributes:
        decode: ``nms``: all of it; ``topk``: the best boxes, not suppressed; ``raw``: what the head
            says, decoded but not chosen from.
        floor: boxes of lower scores aren't given.
        iou: see :class:`PredictOptions`.
        most: boxes of each picture that are given with ``nms``.
    """

    decode: Literal["nms", "topk", "raw"] = "nms"
    floor: float = 0.001
    iou: float = 0.7
    most: int = 300


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
        assembles: whether :meth:`assemble` works.
        calibrates: whether :meth:`calibrate` is to be called after training.
        suppresses: whether, of what it finds, boxes that overlap better ones are left out.
    """

    learns: ClassVar[str]
    averages: ClassVar[bool] = False
    assembles: ClassVar[bool] = False
    calibrates: bool = False
    suppresses: bool = True

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

    def outputs(self, raw: Any, how: Graph) -> dict[str, Tensor]:
        """Return what an exported file gives, by name; see :class:`visionkit.about.About`.

        Only operators that torch and torchvision know, and tensors whose sizes don't depend on what
        is in the pictures.

        Raises:
            ConfigError: this head can't be exported so, or doesn't say how.
        """
        raise ConfigError(
            f"checkpoint: {type(self).__name__} doesn't say what a file gives; write its outputs()"
        )

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

    def average(self, raws: Sequence[Any], mirrored: Sequence[bool]) -> Any:
        """Return the mean of what was said of views of one picture, at the size of the first.

        Args:
            raws: of the picture at several sizes.
            mirrored: whether left and right of each view are exchanged.
        """
        raise TypeError(f"{type(self).__name__} doesn't average")

    def assemble(
        self, raws: Iterable[Any], places: Sequence[tuple[int, int]], canvas: tuple[int, int]
    ) -> Any:
        """Return what was said of overlapping windows as if it had been said of the whole canvas.

        A head that can keeps the pictures of a batch in the first dimension of all of a raw's
        tensors: several windows go through the network together.

        Args:
            raws: of the same pictures' windows, one for each place. They are made one after the
                other, so that what a window took can be let go before the next; iterate once.
            places: top and left of each window, in pixels of the canvas.
            canvas: height and width of the whole.
        """
        raise TypeError(f"{type(self).__name__} doesn't assemble")

    def check_options(self, options: PredictOptions) -> None:
        """Refuse options that this head can't follow.

        Raises:
            ConfigError: as it says.
        """
        name = type(self).__name__
        if options.flip and not self.averages:
            raise ConfigError(
                f"predict.flip: {name} can't average mirrored pictures, its results have a place "
                "in the picture; leave it false"
            )
        if tuple(options.scales) != (1.0,) and not self.averages:
            raise ConfigError(
                f"predict.scales: {name} can't average pictures of several sizes; leave it [1.0]"
            )
        if options.window is not None and not self.assembles:
            raise ConfigError(f"predict.window: {name} can't put windows together; leave it null")
        if options.truncation != 1:
            raise ConfigError(f"predict.truncation: {name} makes nothing from noise; leave it 1.0")
        if options.reverse:
            raise ConfigError(f"predict.reverse: {name} turns no pictures; leave it false")

    def calibrate(self, raws: Sequence[Any], batches: Sequence[Batch]) -> None:
        """Fit the confidence of results to a validation split, after training.

        Args:
            raws: what :meth:`forward` gave for each batch, on the CPU.
            batches: with their targets.
        """
