"""What a model must know of the data that it learns from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class DataInfo:
    """What a model is built from.

    Attributes:
        classes: names by label.
        canvas: height and width of every picture that the model sees.
        kind: what is labelled, see :class:`visionkit.data.index.Index`.
        count: counts what there is of each class to learn from, see :attr:`counts`.
        exclusive: whether what is labelled has one class only.
        grey: whether every picture is known to be grey.
        parts: where pictures have labels of several kinds: what is to be known of each, by the
            name of the part that learns it. ``classes`` are then those of all parts.
    """

    classes: tuple[str, ...]
    canvas: tuple[int, int]
    kind: str
    count: Callable[[], NDArray[np.int64]]
    exclusive: bool
    grey: bool = False
    parts: Mapping[str, "DataInfo"] = field(default_factory=dict)

    @property
    def num_classes(self) -> int | dict[str, int]:
        """K, or that of each part where there are parts."""
        if self.parts:
            return {name: len(part.classes) for name, part in self.parts.items()}
        return len(self.classes)

    @property
    def counts(self) -> tuple[int, ...]:
        """How many pictures, objects or pixels of each class there are to learn from.

        They are counted when asked for: of masks, each would have to be read.
        """
        return tuple(self.count().tolist())
