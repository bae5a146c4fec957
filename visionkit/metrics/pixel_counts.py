"""Counts of pixels by what is true and what is said of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from visionkit.metrics.class_scores import Counts
from visionkit.results import VOID

SIDE = 360
"""The longer side of pictures in the sheet of mistakes, at most."""


@dataclass(frozen=True)
class Rows:
    """The counts of n pictures.

    Attributes:
        image_ids: [n] int64.
        counts: [n, 3, K] int32, pixels of each class that were said rightly, said, and true.
        boundaries: [n, 4, K] int32, see :func:`visionkit.metrics.boundary.boundary_counts`;
            [0, 4, K] where they aren't scored.
    """

    image_ids: NDArray[np.int64]
    counts: NDArray[np.int32]
    boundaries: NDArray[np.int32]

    @staticmethod
    def join(parts: Sequence["Rows"], classes: int) -> "Rows":
        """Put parts one after the other."""
        none = [np.zeros((0, n, classes), np.int32) for n in (3, 4)]
        parts = [Rows(np.zeros(0, np.int64), none[0], none[1]), *parts]
        return Rows(
            np.concatenate([p.image_ids for p in parts]),
            np.concatenate([p.counts for p in parts]),
            np.concatenate([p.boundaries for p in parts]),
        )

    def pixels(self) -> Counts:
        """Counts [n, K] of each picture."""
        right, said, true = self.counts.astype(np.int64).transpose(1, 0, 2)
        return Counts(right, said, true)

    def mious(self) -> NDArray[np.float64]:
        """[n] the mean IoU of the classes that the picture has; -1 where all of it is void."""
        pixels = self.pixels()
        present = pixels.support > 0
        total = np.where(present, pixels.iou, 0.0).sum(1)
        return np.where(present.any(1), total / np.maximum(present.sum(1), 1), -1.0)

    def accuracies(self) -> NDArray[np.float64]:
        """[n] the part of its pixels said rightly; -1 where all of the picture is void."""
        pixels = self.pixels()
        all_of = pixels.support.sum(1)
        return np.where(all_of > 0, pixels.right.sum(1) / np.maximum(all_of, 1), -1.0)


class Poor(NamedTuple):
    """A picture that was said badly; they sort by how badly.

    Attributes:
        miou: of the picture.
        place: in the index.
        labels: [h, w] uint8, what was said, made smaller.
    """

    miou: float
    place: int
    labels: NDArray[np.uint8]


@dataclass(frozen=True)
class Seen:
    """What was said of some pictures; what ranks exchange.

    Attributes:
        rows: of each picture.
        confusion: [K, K + 1] int64, the pixels of all.
        worst: a few pictures, the worst first.
    """

    rows: Rows
    confusion: NDArray[np.int64]
    worst: tuple[Poor, ...]


def count_pixels(
    truth: NDArray[np.uint8], said: NDArray[np.uint8], classes: int
) -> NDArray[np.int64]:
    """Count the labelled pixels of one picture by what is true and what is said.

    Args:
        truth: [H, W] uint8, 0..K-1, or :data:`visionkit.results.VOID` where it doesn't count.
        said: [H, W] uint8, likewise.
        classes: K.

    Returns:
        [K, K + 1] int64, rows true, columns said, the last of them void.

    Raises:
        ValueError: sizes differ, or a label is out of range.
    """
    if truth.shape != said.shape or truth.dtype != np.uint8 or said.dtype != np.uint8:
        kinds = " and ".join(f"{m.shape} {m.dtype}" for m in (truth, said))
        raise ValueError(f"masks must be uint8 of one size, got {kinds}")
    pairs = truth.astype(np.uint16)
    pairs <<= 8
    pairs |= said
    table = np.bincount(pairs.ravel(), minlength=(VOID + 1) ** 2).reshape(VOID + 1, VOID + 1)
    if table[classes:VOID].any() or table[:, classes:VOID].any():
        raise ValueError(f"labels must lie in 0..{classes - 1}, or be {VOID}")
    return np.concatenate([table[:classes, :classes], table[:classes, VOID:]], 1).astype(np.int64)


def reduced(size: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of a picture in the sheet of mistakes."""
    scale = min(1.0, SIDE / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
