"""What every evaluator promises."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from visionkit.results import Result


class Evaluator(ABC):
    """Scores results against a split's raw truth, in original pixels.

    An image must be given exactly once; how images are batched or ordered changes nothing.
    """

    monitor: str
    """The figure that picks the best checkpoint."""
    mode: str
    """``max`` or ``min``: which way :attr:`monitor` gets better."""
    falling: tuple[str, ...] = ()
    """Of a part of a joint network: other figures that get better as they fall; the rest rise."""
    detailed: bool = False
    """Whether :meth:`details` will be asked for; set it before the first :meth:`update`."""
    parts: Mapping[str, "Evaluator"] = {}
    """Evaluators of the parts of a network, whose names stand before their figures."""

    @property
    def judged(self) -> tuple[str, ...]:
        """The figures that an exported file has to share with its checkpoint."""
        return (self.monitor,)

    @abstractmethod
    def reset(self) -> None:
        """Forget every result."""

    @abstractmethod
    def update(self, image_ids: Sequence[int], results: Sequence[Result]) -> None:
        """Take the results of a few images."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Return the figures over all images seen since :meth:`reset`."""

    def details(self) -> dict[str, float]:
        """Return figures that the final report has besides; validation goes without them."""
        return {}

    @abstractmethod
    def state(self) -> object:
        """What this rank has seen, picklable: ranks gather these."""

    @abstractmethod
    def merge(self, states: Sequence[object]) -> None:
        """Replace what was seen by the union of ``states`` (one for each rank)."""

    @abstractmethod
    def report(self, folder: Path) -> None:
        """Write predictions and plots of the last :meth:`compute` into ``folder``."""


class Part(Protocol):
    """What was seen of some pictures."""

    @property
    def image_ids(self) -> NDArray[np.int64]: ...  # noqa: D102


class PartsEvaluator(Evaluator):
    """Keeps what was seen in parts, and every picture of the split once.

    Args:
        image_ids: [N], those of the split.
    """

    def __init__(self, image_ids: NDArray[np.int64]) -> None:
        self._position = {int(i): n for n, i in enumerate(image_ids.tolist())}
        self.reset()

    def reset(self) -> None:
        """Forget every result."""
        self._parts: list[Any] = []
        self._ids: set[int] = set()
        self._worked_out: Any = None

    def _place(self, image_id: int) -> int:
        """Where a picture stands in the split."""
        if image_id not in self._position:
            raise ValueError(f"image {image_id} isn't in the split that is evaluated")
        return self._position[image_id]

    def _add(self, part: Part) -> None:
        for image_id in part.image_ids.tolist():
            self._place(image_id)
            if image_id in self._ids:
                raise ValueError(f"image {image_id} was given twice; each counts once")
            self._ids.add(image_id)
        self._parts.append(part)
        self._worked_out = None

    def merge(self, states: Sequence[object]) -> None:
        """Replace what was seen by the union of the ranks' states.

        Raises:
            ValueError: two ranks saw the same image.
        """
        self.reset()
        for state in states:
            self._add(cast(Part, state))
