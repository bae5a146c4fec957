"""Figures of classification: accuracy, F1, calibration, and which class is taken for which."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from visionkit.argtypes import Positive
from visionkit.data.class_index import ClassIndex
from visionkit.metrics.base import PartsEvaluator
from visionkit.metrics.tables import told_apart
from visionkit.metrics.verdicts import ManyClasses, OneClass, Verdicts
from visionkit.results import Classification, Result

_SLACK = 1e-3  # probabilities of half precision may pass 1 by a little


@dataclass(frozen=True)
class Seen:
    """What was said of n pictures; what ranks exchange.

    Attributes:
        image_ids: [n] int64.
        probabilities: [n, K] float32.
    """

    image_ids: NDArray[np.int64]
    probabilities: NDArray[np.float32]

    @staticmethod
    def join(parts: Sequence["Seen"], classes: int) -> "Seen":
        """Put parts one after the other."""
        parts = [Seen(np.zeros(0, np.int64), np.zeros((0, classes), np.float32)), *parts]
        return Seen(
            np.concatenate([p.image_ids for p in parts]),
            np.concatenate([p.probabilities for p in parts]),
        )


class ClassRow(NamedTuple):
    """The figures of one class, in 0..1, -1 where undefined; ``support`` counts its pictures."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


class ConfusedPair(NamedTuple):
    """A class taken for another, in how many pictures, and their share of all that show it."""

    truth: str
    said: str
    pictures: int
    share: float


class ClassificationEvaluator(PartsEvaluator):
    """Scores what is said of whole pictures, over the pictures it was given.

    Where pictures have one class each, the most probable class is said (of equals the lower one).
    Figures, in 0..1:

    - ``accuracy``: the share of pictures of which it is right.
    - ``top5``: the share of pictures whose true class is among the 5 most probable; with 5 classes
      or fewer that is every picture.
    - ``macro_f1``: the mean of ``f1/<class>`` over the classes that occur, in the truth or in what
      is said, as scikit-learn and torchmetrics take it.
    - ``ece``: the expected calibration error (Guo et al. 2017) of the highest probability.

    Where pictures may have several classes, each class is said from a probability of 0.5 on.
    ``accuracy`` is the share of pictures of which every class is right, ``top5`` is undefined,
    ``ece`` is that of each class in each picture, and there are ``micro_f1`` (over all decisions
    together) and ``mAP`` (the mean over classes of the average precision, not interpolated).

    What is undefined is -1: everything before the first picture, F1 of classes that don't occur.
    Probabilities that aren't finite say no class, with confidence 0, and are always wrong. The
    order of the pictures changes nothing, not even the last bit.

    Args:
        index: the split's truth.
        bins: bins of confidence for the calibration error.

    Attributes:
        names: of the classes, each told apart from the others.
        monitor: ``accuracy``, or ``macro_f1`` where pictures may have several classes.
    """

    monitor = "accuracy"
    mode = "max"
    falling = ("ece",)

    def __init__(self, index: ClassIndex, bins: Positive = 15) -> None:
        if bins < 1:
            raise ValueError(f"bins must be 1 or more, got {bins}")
        self.index = index
        self.bins = bins
        if not index.exclusive:
            self.monitor = "macro_f1"
        self.names = told_apart(index.classes)
        super().__init__(index.image_ids)

    def update(self, image_ids: Sequence[int], results: Sequence[Result]) -> None:
        """Take what is said of a few pictures.

        Raises:
            ValueError: a picture came twice or isn't of this split; probabilities aren't K numbers
                in 0..1.
        """
        if len(image_ids) != len(results):
            raise ValueError(f"{len(image_ids)} image ids for {len(results)} results")
        if not results:
            return
        rows = [
            self._row(image_id, cast(Classification, result))
            for image_id, result in zip(image_ids, results, strict=True)
        ]
        self._add(Seen(np.array(image_ids, np.int64), np.stack(rows)))

    def _row(self, image_id: int, result: Classification) -> NDArray[np.float32]:
        row = np.asarray(result.probabilities, np.float32)
        classes = len(self.names)
        if row.shape != (classes,):
            shape = " x ".join(map(str, row.shape))
            raise ValueError(f"image {image_id}: {shape} probabilities for {classes} classes")
        if ((row < -_SLACK) | (row > 1 + _SLACK)).any() and np.isfinite(row).all():
            raise ValueError(f"image {image_id}: probabilities must lie in 0..1")
        return row

    def state(self) -> Seen:
        """What this rank has seen."""
        return Seen.join(self._parts, len(self.names))

    def positions(self) -> NDArray[np.int64]:
        """Where the pictures seen stand in the index, [n], ascending."""
        return np.sort(self._positions(self.state()))

    def _positions(self, seen: Seen) -> NDArray[np.int64]:
        return np.array([self._position[i] for i in seen.image_ids.tolist()], np.int64)

    def verdicts(self) -> Verdicts:
        """What was said of each picture beside its truth, in the order of the index."""
        if self._worked_out is None:
            seen = self.state()
            positions = self._positions(seen)
            order = np.argsort(positions)
            said = seen.probabilities[order]
            truth = self.index.labels[positions[order]]
            if self.index.exclusive:
                self._worked_out = OneClass(said, truth.astype(np.int64))
            else:
                self._worked_out = ManyClasses(said, truth.astype(bool))
        found: Verdicts = self._worked_out
        return found

    def compute(self) -> dict[str, float]:
        """Return the figures that the class lists, and ``f1/<class>``."""
        verdicts = self.verdicts()
        figures = verdicts.figures() | {"ece": verdicts.calibration(self.bins).error}
        scores = verdicts.counts.f1.tolist()
        return figures | {f"f1/{n}": f for n, f in zip(self.names, scores, strict=True)}

    def per_class(self) -> list[ClassRow]:
        """Return precision, recall, F1 and support of each class."""
        counts = self.verdicts().counts
        columns = (counts.precision, counts.recall, counts.f1, counts.support)
        return [
            ClassRow(name, *row)
            for name, *row in zip(self.names, *(c.tolist() for c in columns), strict=True)
        ]

    def confusion(self) -> NDArray[np.int64]:
        """Return the confusion matrix [K, K]: rows true, columns predicted.

        Where pictures may have several classes, the diagonal counts those found, and every other
        cell the pictures in which the row's class was missed and the column's wrongly said.
        """
        return self.verdicts().confusion()

    def most_confused(self, count: int = 20) -> list[ConfusedPair]:
        """Return the pairs of classes that are most often confused, most often first."""
        matrix = self.confusion()
        np.fill_diagonal(matrix, 0)
        support = self.verdicts().counts.support
        rows, columns = np.nonzero(matrix)
        order = np.argsort(-matrix[rows, columns], kind="stable")[:count]
        return [
            ConfusedPair(self.names[r], self.names[c], int(n), float(n / support[r]))
            for r, c in zip(rows[order].tolist(), columns[order].tolist(), strict=True)
            for n in [matrix[r, c]]
        ]

    def report(self, folder: Path) -> None:
        """Write tables and pictures of what was seen.

        - ``classes.csv``: precision, recall, F1 and support (empty where undefined).
        - ``predictions.csv``: of each picture its id, file, truth, predicted class and confidence.
        - ``confused_pairs.csv`` and ``confusion_matrix.png``: which class is taken for which.
        - ``reliability.png``: confidence against accuracy, with the calibration error.
        - ``mistakes.jpg``: the surest mistakes, where there are any.
        """
        from visionkit.metrics import class_report

        class_report.write(folder, self)
