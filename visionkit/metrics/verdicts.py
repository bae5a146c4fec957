"""What a classifier said of each picture, judged: one class a picture, or several."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visionkit.metrics.class_scores import (
    Calibration,
    Counts,
    Integers,
    average_precision,
    calibration,
    defined_mean,
    true_ranks,
)

THRESHOLD = 0.5
"""From this probability on, a picture that may have several classes is said to show one."""
TOP = 5

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Claim:
    """What is told of one picture.

    Attributes:
        truth: its true labels.
        said: the labels that it was said to have.
        scores: their probabilities.
    """

    truth: list[int]
    said: list[int]
    scores: list[float]


@dataclass(frozen=True)
class Mistake:
    """The worst decision about one picture.

    Attributes:
        label: the class that it is about, -1 if the probabilities weren't finite.
        missed: whether the class is there and wasn't seen; else it was seen and isn't there.
        score: its probability.
    """

    label: int
    missed: bool
    score: float


class Verdicts(ABC):
    """n pictures and K classes, what was said beside what is true.

    Where a probability isn't finite, no class was said, with confidence 0, and that is wrong.

    Attributes:
        right: [n] whether all that was said of a picture is right.
        counts: see :class:`visionkit.metrics.class_scores.Counts`.
    """

    right: Flags
    counts: Counts

    def __init__(self, probabilities: NDArray[np.float32]) -> None:
        self.finite: Flags = np.asarray(np.isfinite(probabilities).all(1))
        self.probabilities = np.where(self.finite[:, None], probabilities, np.float32(0))

    @abstractmethod
    def figures(self) -> dict[str, float]:
        """Return the headline figures but the calibration error."""

    @abstractmethod
    def calibration(self, bins: int) -> Calibration:
        """Compare confidence with what came true."""

    @abstractmethod
    def confusion(self) -> Integers:
        """Return which class was taken for which, [K, K], rows true."""

    @abstractmethod
    def wrongness(self) -> NDArray[np.float32]:
        """Return how sure the worst decision about each picture was, [n]; -1 where all is right."""

    @abstractmethod
    def claim(self, i: int) -> Claim:
        """Return what is told of picture ``i``."""

    @abstractmethod
    def mistake(self, i: int) -> Mistake:
        """Return the worst decision about picture ``i``, one that isn't right."""

    def accuracy(self) -> float:
        """The share of pictures of which all that was said is right; -1 without any."""
        return float(self.right.mean()) if len(self.right) else -1.0


class OneClass(Verdicts):
    """Pictures of one class each: the most probable is said (the lower of equals).

    Args:
        probabilities: [n, K] float32.
        labels: [n] int64, the true classes.
    """

    def __init__(self, probabilities: NDArray[np.float32], labels: Integers) -> None:
        super().__init__(probabilities)
        classes = probabilities.shape[1]
        self.truth = labels
        self.said = np.where(self.finite, self.probabilities.argmax(1), -1)
        self.right = self.said == labels
        self.confidence = self.probabilities.max(1)
        self.counts = Counts(
            np.bincount(labels[self.right], minlength=classes).astype(np.int64),
            np.bincount(self.said[self.finite], minlength=classes).astype(np.int64),
            np.bincount(labels, minlength=classes).astype(np.int64),
        )

    def figures(self) -> dict[str, float]:
        """See :class:`Verdicts`."""
        within = true_ranks(self.probabilities, self.truth) < TOP
        top = float((within & self.finite).mean()) if len(within) else -1.0
        return {
            "accuracy": self.accuracy(),
            "top5": top,
            "macro_f1": defined_mean(self.counts.f1),
        }

    def calibration(self, bins: int) -> Calibration:
        """Compare the probability of the class said with how often it is right."""
        return calibration(self.confidence, self.right, bins)

    def confusion(self) -> Integers:
        """Count true against said classes; what isn't finite is in no column."""
        classes = self.probabilities.shape[1]
        cells = (self.truth * classes + self.said)[self.finite]
        flat = np.bincount(cells, minlength=classes * classes).astype(np.int64)
        return flat.reshape(classes, classes)

    def wrongness(self) -> NDArray[np.float32]:
        """See :class:`Verdicts`."""
        return np.where(self.right, np.float32(-1), self.confidence)

    def claim(self, i: int) -> Claim:
        """See :class:`Verdicts`."""
        said = [int(self.said[i])] if self.finite[i] else []
        return Claim([int(self.truth[i])], said, [float(self.confidence[i])])

    def mistake(self, i: int) -> Mistake:
        """See :class:`Verdicts`."""
        return Mistake(int(self.said[i]), False, float(self.confidence[i]))


class ManyClasses(Verdicts):
    """Pictures of any number of classes, each decided by itself at a probability of 0.5.

    Args:
        probabilities: [n, K] float32.
        labels: [n, K] bool, the true classes.
    """

    def __init__(self, probabilities: NDArray[np.float32], labels: Flags) -> None:
        super().__init__(probabilities)
        self.truth = labels
        self.said = (self.probabilities >= THRESHOLD) & self.finite[:, None]
        self.right = (self.said == labels).all(1) & self.finite
        away = np.abs(labels - self.probabilities)
        self._errors = np.where(self.said == labels, np.float32(-1), away)
        self.counts = Counts(
            (self.said & labels).sum(0, dtype=np.int64),
            self.said.sum(0, dtype=np.int64),
            labels.sum(0, dtype=np.int64),
        )

    def figures(self) -> dict[str, float]:
        """See :class:`Verdicts`."""
        columns = zip(self.probabilities.T, self.truth.T, strict=True)
        precisions = np.array([average_precision(p, t) for p, t in columns], np.float64)
        return {
            "accuracy": self.accuracy(),
            "top5": -1.0,
            "macro_f1": defined_mean(self.counts.f1),
            "micro_f1": self.counts.micro_f1,
            "mAP": defined_mean(precisions),
        }

    def calibration(self, bins: int) -> Calibration:
        """Compare the probability of each class in each picture with how often it is there."""
        return calibration(self.probabilities.ravel(), self.truth.ravel(), bins)

    def confusion(self) -> Integers:
        """Count classes found (diagonal), and pictures where one was missed and another said."""
        # exact: counts are far below 2**53, and float64 has a fast product
        missed = (self.truth & ~self.said).astype(np.float64)
        invented = (self.said & ~self.truth).astype(np.float64)
        both: Integers = (missed.T @ invented).astype(np.int64)
        both[np.diag_indices(len(both))] = self.counts.right
        return both

    def wrongness(self) -> NDArray[np.float32]:
        """See :class:`Verdicts`."""
        return np.where(self.finite, self._errors.max(1), np.float32(0))

    def claim(self, i: int) -> Claim:
        """See :class:`Verdicts`."""
        said = np.flatnonzero(self.said[i]).tolist()
        scores = self.probabilities[i, said].astype(float).tolist()
        return Claim(np.flatnonzero(self.truth[i]).tolist(), said, scores)

    def mistake(self, i: int) -> Mistake:
        """See :class:`Verdicts`."""
        if not self.finite[i]:
            return Mistake(-1, False, 0.0)
        worst = int(self._errors[i].argmax())
        return Mistake(worst, bool(self.truth[i, worst]), float(self.probabilities[i, worst]))
