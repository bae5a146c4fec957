"""COCO's detection figures (Lin et al. 2014), as pycocotools computes them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from visionkit.data.index import DetectionIndex
from visionkit.metrics.base import PartsEvaluator
from visionkit.metrics.coco_curves import ENGINES, Array, Curves, Seen, default_engine
from visionkit.metrics.confusion import confusion_matrix
from visionkit.report import write_json
from visionkit.results import Detections, Result

CONFUSION_CONFIDENCE = 0.25
CONFUSION_IOU = 0.5
_AREAS = ("all", "s", "m", "l")


class CocoEvaluator(PartsEvaluator):
    """Box AP and AR as pycocotools computes them, over the pictures it was given.

    Pictures of the split that :meth:`update` never saw don't count: neither their truth nor a miss.
    So give every picture, also those where nothing was found (with empty results).

    Args:
        index: the split's raw truth: crowds, the file's own areas, category ids with gaps.
        max_detections: detections kept for each picture and class, ascending. The last is the one
            that every figure but ``AR<n>`` uses.
        engine: what matches: ``pycocotools``, the reference; ``hotcoco``, whose arrays are equal to
            the last bit and many times sooner there; ``auto`` for hotcoco where it is installed.
    """

    monitor = "AP"
    mode = "max"

    def __init__(
        self,
        index: DetectionIndex,
        max_detections: Sequence[int] = (1, 10, 100),
        engine: Literal["auto", "hotcoco", "pycocotools"] = "auto",
    ) -> None:
        limits = [int(n) for n in max_detections]
        if not limits or limits[0] < 1 or limits != sorted(set(limits)):
            raise ValueError(f"max_detections must be ascending counts of 1 or more, got {limits}")
        self.index = index
        self.max_detections = tuple(limits)
        self.engine = default_engine() if engine == "auto" else engine
        super().__init__(index.image_ids)

    def update(self, image_ids: Sequence[int], results: Sequence[Result]) -> None:
        """Take the detections of a few images.

        A box or score that isn't finite is left out: it can match nothing.

        Raises:
            ValueError: a picture came twice or isn't of this split; a label is out of range.
        """
        if len(image_ids) != len(results):
            raise ValueError(f"{len(image_ids)} image ids for {len(results)} results")
        for image_id, result in zip(image_ids, results, strict=True):
            self._add(_seen(int(image_id), cast(Detections, result), len(self.index.classes)))

    def state(self) -> Seen:
        """What this rank has seen."""
        return Seen.join(self._parts)

    def compute(self) -> dict[str, float]:
        """Return pycocotools' figures in 0..1 (-1 where there is no truth), and ``AP/<class>``."""
        precision, recall = self.curves().precision, self.curves().recall
        ious = np.linspace(0.5, 0.95, 10)
        figures = {
            "AP": _mean(precision[:, :, :, 0, -1]),
            "AP50": _mean(precision[ious == 0.5, :, :, 0, -1]),
            "AP75": _mean(precision[np.isclose(ious, 0.75), :, :, 0, -1]),
        }
        for i, area in enumerate(_AREAS[1:], 1):
            figures[f"AP{area}"] = _mean(precision[:, :, :, i, -1])
        for i, limit in enumerate(self.max_detections):
            figures[f"AR{limit}"] = _mean(recall[:, :, 0, i])
        for i, area in enumerate(_AREAS[1:], 1):
            figures[f"AR{area}"] = _mean(recall[:, :, i, -1])
        for rank, name in zip(self._ranks(), self._unique_names(), strict=True):
            figures[f"AP/{name}"] = _mean(precision[:, :, rank, 0, -1])
        return figures

    def _unique_names(self) -> list[str]:
        names = self.index.classes
        return [
            name if names.count(name) == 1 else f"{name} ({category})"
            for name, category in zip(names, self.index.category_ids, strict=True)
        ]

    def curves(self) -> Curves:
        """What the figures are means of."""
        if self._worked_out is None:
            self._worked_out = ENGINES[self.engine](self.index, self.state(), self.max_detections)
        found: Curves = self._worked_out
        return found

    def _ranks(self) -> list[int]:
        """Where each label stands among the sorted category ids."""
        return [sorted(self.index.category_ids).index(c) for c in self.index.category_ids]

    def truth(self, image_id: int) -> slice:
        """Where the annotations of a picture stand in the index."""
        i = self._position[image_id]
        return slice(int(self.index.first[i]), int(self.index.first[i + 1]))

    def confusion(
        self, confidence: float = CONFUSION_CONFIDENCE, iou: float = CONFUSION_IOU
    ) -> NDArray[np.int64]:
        """Return the confusion matrix [K+1, K+1] over the pictures seen; the last is background.

        See :func:`visionkit.metrics.confusion.confusion_matrix`.
        """
        seen, classes = self.state(), len(self.index.classes)
        total = np.zeros((classes + 1, classes + 1), np.int64)
        first = seen.first
        for i, image_id in enumerate(seen.image_ids.tolist()):
            truth, here = self.truth(image_id), slice(int(first[i]), int(first[i + 1]))
            boxes = self.index.boxes[truth].copy()
            boxes[:, 2:] += boxes[:, :2]
            total += confusion_matrix(
                boxes,
                self.index.labels[truth],
                seen.boxes[here],
                seen.scores[here],
                seen.labels[here],
                classes,
                crowd=self.index.crowd[truth],
                confidence=confidence,
                iou=iou,
            )
        return total

    def predictions(self) -> list[dict[str, Any]]:
        """Return what was seen in COCO's results format (category ids, ``x y width height``)."""
        return _results(self.index, self.state())

    def report(self, folder: Path) -> None:
        """Write ``predictions.json``, ``pr_curve.png`` and ``confusion_matrix.png``.

        Scoring predictions.json gives the figures of :meth:`compute`: nothing is rounded.
        """
        from visionkit.metrics import plots

        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "predictions.json", self.predictions())
        precision = self.curves().precision
        names = self._unique_names()
        plots.precision_recall(
            folder / "pr_curve.png", precision[:, :, self._ranks(), 0, -1], names
        )
        plots.confusion(
            folder / "confusion_matrix.png",
            self.confusion(),
            names,
            f"confidence {CONFUSION_CONFIDENCE}, IoU {CONFUSION_IOU}",
        )


def _seen(image_id: int, result: Detections, classes: int) -> Seen:
    boxes = np.asarray(result.boxes, np.float64).reshape(-1, 4)
    scores = np.asarray(result.scores, np.float64)
    labels = np.asarray(result.labels, np.int64)
    if not len(boxes) == len(scores) == len(labels):
        raise ValueError(f"image {image_id}: boxes, scores and labels differ in number")
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"image {image_id}: labels must lie in 0..{classes - 1}")
    keep = np.isfinite(boxes).all(1) & np.isfinite(scores)
    count = np.array([keep.sum()], np.int64)
    return Seen(np.array([image_id], np.int64), count, boxes[keep], scores[keep], labels[keep])


def _results(index: DetectionIndex, seen: Seen) -> list[dict[str, Any]]:
    category = np.asarray(index.category_ids, np.int64)[seen.labels].tolist()
    images = np.repeat(seen.image_ids, seen.counts).tolist()
    return [
        {"image_id": i, "category_id": c, "bbox": b, "score": s}
        for i, c, b, s in zip(
            images, category, seen.coco_boxes.tolist(), seen.scores.tolist(), strict=True
        )
    ]


def _mean(values: Array) -> float:
    """The mean over what is defined, as pycocotools takes it; -1 where nothing is."""
    defined = values[values > -1]
    return float(np.mean(defined)) if len(defined) else -1.0
