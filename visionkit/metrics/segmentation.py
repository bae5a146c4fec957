"""Figures of semantic segmentation, all from one matrix of whole numbers."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from visionkit.argtypes import Amount
from visionkit.data.defects import naming_way_out
from visionkit.data.mask_index import MaskIndex
from visionkit.geometry import resize_labels
from visionkit.metrics.base import PartsEvaluator
from visionkit.metrics.boundary import boundary_counts, boundary_means, boundary_scores
from visionkit.metrics.class_scores import Counts, defined_mean
from visionkit.metrics.pixel_counts import Poor, Rows, Seen, count_pixels, reduced
from visionkit.metrics.tables import told_apart
from visionkit.results import Result, SemanticMask

WORST = 12


class ConfusedPair(NamedTuple):
    """A class taken for another, in how many pixels, and their share of all that are true."""

    truth: str
    said: str
    pixels: int
    share: float


class SegmentationEvaluator(PartsEvaluator):
    """Scores the class of each pixel, over the labelled pixels of the pictures it was given.

    All pixels of all pictures are counted in one confusion matrix, in original pixels; void of the
    truth isn't counted. A pixel that was said to be void is wrong. Figures, in 0..1:

    - ``miou``: the mean of ``iou/<class>``, the pixels of a class rightly said over those that were
      said or true. Classes that occur neither in the truth nor in what is said don't count.
    - ``pixel_accuracy``: the part of all pixels that are right.
    - ``mean_accuracy``: the mean of ``accuracy/<class>``, the part of a class's pixels that are
      right, over the classes that the truth has.
    - ``dice``: the mean of ``dice/<class>``, which is F1, as ``miou``.
    - ``boundary_f1`` (in the final report): the mean of ``boundary_f1/<class>``, itself the mean
      over the pictures whose truth has a boundary of the class, of how well it is met
      (Csurka et al. 2013; :func:`visionkit.metrics.boundary.boundary_counts`).

    What is undefined is -1. How pictures are ordered, batched or shared among ranks changes
    nothing, not even the last bit.

    Args:
        index: the split's truth.
        boundary: how far boundaries may lie apart, as a part of the picture's diagonal; 0 to leave
            them out.

    Attributes:
        names: of the classes, each told apart from the others.
    """

    monitor = "miou"
    mode = "max"

    def __init__(self, index: MaskIndex, boundary: Amount = 0.0075) -> None:
        if not boundary >= 0:
            raise ValueError(f"boundary must be 0 or more, got {boundary}")
        self.index = index
        self.boundary = boundary
        self.names = told_apart(index.classes)
        super().__init__(index.image_ids)

    def reset(self) -> None:
        """Forget every result."""
        super().reset()
        self._confusion = np.zeros((len(self.names), len(self.names) + 1), np.int64)
        self._worst: tuple[Poor, ...] = ()

    def update(self, image_ids: Sequence[int], results: Sequence[Result]) -> None:
        """Take what is said of a few pictures, and read their masks.

        Raises:
            ValueError: a picture came twice or isn't of this split; a label is out of range.
            DataError: a mask can't be read, or has another size than its picture.
        """
        if len(image_ids) != len(results):
            raise ValueError(f"{len(image_ids)} image ids for {len(results)} results")
        for image_id, result in zip(image_ids, results, strict=True):
            self._take(self._seen(int(image_id), cast(SemanticMask, result)))

    def _seen(self, image_id: int, result: SemanticMask) -> Seen:
        place, classes, said = self._place(image_id), len(self.names), result.labels
        truth = self._truth(place, said)
        matrix = count_pixels(truth, said, classes)
        square = matrix[:, :classes]
        counts = np.stack([square.diagonal(), square.sum(0), matrix.sum(1)])
        boundaries = np.zeros((0, 4, classes), np.int32)
        if self.detailed and self.boundary:
            boundaries = boundary_counts(truth, said, classes, self.boundary)[None]
        rows = Rows(np.array([image_id], np.int64), counts[None].astype(np.int32), boundaries)
        return Seen(rows, matrix, self._poor(float(rows.mious()[0]), place, said))

    def _truth(self, place: int, said: NDArray[np.uint8]) -> NDArray[np.uint8]:
        with naming_way_out():
            truth = self.index.mask(place)
            if truth.shape != said.shape:
                (height, width), (own_height, own_width) = truth.shape, said.shape
                raise self.index.wrong_size(place, (height, width), (own_height, own_width))
        return truth

    def _poor(self, miou: float, place: int, said: NDArray[np.uint8]) -> tuple[Poor, ...]:
        """The picture, if it has a mistake and is among the worst so far."""
        full = len(self._worst) == WORST
        if not 0 <= miou < 1 or (full and (miou, place) > self._worst[-1][:2]):
            return ()
        return (Poor(miou, place, resize_labels(said, reduced(said.shape)).copy()),)

    def _take(self, seen: Seen) -> None:
        self._add(seen.rows)
        self._confusion += seen.confusion
        self._worst = tuple(sorted(self._worst + seen.worst, key=lambda p: p[:2])[:WORST])

    def state(self) -> Seen:
        """What this rank has seen."""
        rows = Rows.join(self._parts, len(self.names))
        return Seen(rows, self._confusion.copy(), self._worst)

    def merge(self, states: Sequence[object]) -> None:
        """See :class:`visionkit.metrics.base.PartsEvaluator`."""
        self.reset()
        for state in states:
            self._take(cast(Seen, state))

    def confusion(self) -> NDArray[np.int64]:
        """Return the pixels [K, K + 1]: rows true, columns said, the last of them void."""
        return self._confusion.copy()

    def totals(self) -> Counts:
        """Return how many pixels of each class are right, said and true, [K] each."""
        square = self._confusion[:, :-1]
        return Counts(square.diagonal().copy(), square.sum(0), self._confusion.sum(1))

    def compute(self) -> dict[str, float]:
        """Return the figures that the class lists, without those of boundaries."""
        totals = self.totals()
        pixels = int(totals.support.sum())
        figures = {
            "miou": defined_mean(totals.iou),
            "pixel_accuracy": int(totals.right.sum()) / pixels if pixels else -1.0,
            "mean_accuracy": defined_mean(totals.recall),
            "dice": defined_mean(totals.f1),
        }
        kinds = {"iou": totals.iou, "accuracy": totals.recall, "dice": totals.f1}
        for kind, values in kinds.items():
            figures |= {f"{kind}/{n}": v for n, v in zip(self.names, values.tolist(), strict=True)}
        return figures

    def details(self) -> dict[str, float]:
        """Return ``boundary_f1`` and ``boundary_f1/<class>``, unless ``boundary`` is 0."""
        means = self.boundary_f1()
        if means is None:
            return {}
        figures = {f"boundary_f1/{n}": v for n, v in zip(self.names, means.tolist(), strict=True)}
        return {"boundary_f1": defined_mean(means)} | figures

    def boundary_f1(self) -> NDArray[np.float64] | None:
        """Return the boundary score [K] of each class; None where boundaries aren't scored."""
        if not (self.detailed and self.boundary):
            return None
        rows = self.rows()
        if len(rows.boundaries) != len(rows.image_ids):
            raise ValueError("detailed must be set before the first update")
        return boundary_means(boundary_scores(rows.boundaries))

    def rows(self) -> Rows:
        """The counts of each picture, in the order of the index."""
        if self._worked_out is None:
            rows = Rows.join(self._parts, len(self.names))
            order = np.argsort([self._position[i] for i in rows.image_ids.tolist()])
            scored = len(rows.boundaries) == len(order)
            self._worked_out = Rows(
                rows.image_ids[order],
                rows.counts[order],
                rows.boundaries[order] if scored else rows.boundaries,
            )
        found: Rows = self._worked_out
        return found

    def positions(self) -> list[int]:
        """Where the pictures of :meth:`rows` stand in the index."""
        return [self._position[i] for i in self.rows().image_ids.tolist()]

    def worst(self) -> tuple[Poor, ...]:
        """Return a few pictures with mistakes, those of the lowest mean IoU first."""
        return self._worst

    def most_confused(self, count: int = 20) -> list[ConfusedPair]:
        """Return the pairs of classes that are most often confused, most often first."""
        matrix, support = self.confusion(), self.totals().support
        np.fill_diagonal(matrix, 0)
        names = [*self.names, "void"]
        true, said = np.nonzero(matrix)
        order = np.argsort(-matrix[true, said], kind="stable")[:count]
        return [
            ConfusedPair(names[t], names[s], int(matrix[t, s]), float(matrix[t, s] / support[t]))
            for t, s in zip(true[order].tolist(), said[order].tolist(), strict=True)
        ]

    def report(self, folder: Path) -> None:
        """Write tables and pictures of what was seen.

        - ``classes.csv``: the figures of each class, and its pixels (empty where undefined).
        - ``pictures.csv``: of each picture its id, file, mean IoU over the classes that it has,
          pixel accuracy and labelled pixels.
        - ``confused_pairs.csv`` and ``confusion_matrix.png``: which class is taken for which.
        - ``iou.png``: what each class's IoU loses by missed and by wrongly said pixels.
        - ``mistakes.jpg``: the pictures of the lowest mean IoU, where there is any mistake.
        """
        from visionkit.metrics import segmentation_report

        segmentation_report.write(folder, self)
