"""What a model says about one picture. NumPy only: these travel without torch."""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Result(Protocol):
    """A prediction for one image, in the pixels of the original picture."""

    def to_dict(self) -> dict[str, object]:
        """Return plain Python values, ready for JSON."""
        ...


@dataclass(frozen=True)
class Detections:
    """Boxes found in one picture, best first.

    Attributes:
        boxes: [N, 4] float32, absolute ``x1 y1 x2 y2`` in original pixels.
        scores: [N] float32 in 0..1, descending.
        labels: [N] int64, indices into ``classes``.
        classes: the names that ``labels`` index.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def names(self) -> list[str]:
        """The class name of each box (the index itself where no names are known)."""
        return [self.classes[i] if i < len(self.classes) else str(i) for i in self.labels.tolist()]

    def above(self, confidence: float) -> "Detections":
        """Return only the boxes with a score of at least ``confidence``."""
        keep = self.scores >= confidence
        return replace(
            self, boxes=self.boxes[keep], scores=self.scores[keep], labels=self.labels[keep]
        )

    def to_dict(self) -> dict[str, object]:
        """Return ``boxes``, ``scores``, ``labels`` and ``names`` as lists."""
        return {
            "boxes": self.boxes.tolist(),
            "scores": self.scores.tolist(),
            "labels": self.labels.tolist(),
            "names": self.names,
        }
