"""What every evaluator promises."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from visionkit.results import Result


class Evaluator(ABC):
    """Scores results against a split's raw truth, in original pixels.

    An image must be given exactly once; how images are batched or ordered changes nothing.
    """

    monitor: str
    """The figure that picks the best checkpoint."""
    mode: str
    """``max`` or ``min``: which way :attr:`monitor` gets better."""

    @abstractmethod
    def reset(self) -> None:
        """Forget every result."""

    @abstractmethod
    def update(self, image_ids: Sequence[int], results: Sequence[Result]) -> None:
        """Take the results of a few images."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Return the figures over all images seen since :meth:`reset`."""

    @abstractmethod
    def state(self) -> object:
        """What this rank has seen, picklable: ranks gather these."""

    @abstractmethod
    def merge(self, states: Sequence[object]) -> None:
        """Replace what was seen by the union of ``states`` (one for each rank)."""

    @abstractmethod
    def report(self, folder: Path) -> None:
        """Write predictions and plots of the last :meth:`compute` into ``folder``."""
