"""What every network promises to training, evaluation and prediction."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from visionkit.batch import Batch
from visionkit.data.index import DataInfo
from visionkit.heads.base import Graph
from visionkit.models.graphs import Traceable
from visionkit.options import PredictOptions
from visionkit.results import Result

Statistics = tuple[float, float, float]
"""A figure for each of RGB, in 0..1."""


class Network(nn.Module, ABC):
    """A network for one task, from uint8 pictures to losses and results.

    Attributes:
        averaged: how the names of those tensors begin whose moving average is evaluated.
        samples: whether it makes pictures from nothing, see :class:`visionkit.models.gan.Gan`.
        says: what it answers with, see :class:`visionkit.runtimes.base.Runtime`.
        grouped: the parts that have group norms in the place of batch norms.
        calibrates: whether :meth:`calibrate` is to be called after training.
        options: how results are made; set them by :meth:`set_options`.
    """

    averaged: ClassVar[str] = ""
    samples: ClassVar[bool] = False
    says: str
    grouped: tuple[str, ...] = ()
    calibrates: bool = False
    options: PredictOptions

    @property
    @abstractmethod
    def trained(self) -> tuple[nn.Module, ...]:
        """The parts that train by turns, each with an optimizer of its own."""

    @property
    @abstractmethod
    def statistics(self) -> tuple[Statistics, Statistics]:
        """Mean and standard deviation of the pictures that the network is made for."""

    def set_statistics(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Use other figures; nothing for a network that has none."""

    @abstractmethod
    def check(self, info: DataInfo) -> None:
        """Refuse data that the network can't learn.

        Raises:
            ConfigError: as it says.
        """

    def prepare(self, info: DataInfo) -> None:
        """Take in what the training data are like, before training begins."""

    def check_options(self, options: PredictOptions, canvas: tuple[int, int] | None = None) -> None:
        """Refuse options that the network can't follow, on a canvas where it is known.

        Raises:
            ConfigError: as it says.
        """

    def set_options(self, options: PredictOptions, canvas: tuple[int, int] | None = None) -> None:
        """Check options and follow them from now on.

        Raises:
            ConfigError: the network can't follow them.
        """
        self.check_options(options, canvas)
        self.options = options

    @abstractmethod
    def judge(self, batch: Batch) -> tuple[dict[str, Tensor], list[Result]]:
        """Return the parts of the loss and a result for each picture, as evaluation sees them."""

    @abstractmethod
    def predict(self, batch: Batch) -> list[Result]:
        """Return a result in original pixels for each picture."""

    @abstractmethod
    def traceable(self, how: Graph, canvas: tuple[int, int]) -> Traceable:
        """Return the network as a function of tensors.

        Args:
            how: how far results are worked out.
            canvas: height and width of the example.

        Raises:
            ConfigError: it can't be exported so.
        """

    def to_calibrate(self, batch: Batch) -> tuple[Any, Batch] | None:
        """Return what :meth:`calibrate` wants of a batch, and its targets; None for nothing."""
        return None

    def calibrate(self, raws: Sequence[Any], batches: Sequence[Batch]) -> None:
        """Fit the confidence of results to a validation split, after training."""
