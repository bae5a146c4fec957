"""COCO's detection figures (Lin et al. 2014), as pycocotools computes them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from visionkit.argtypes import Part
from visionkit.data.index import DetectionIndex
from visionkit.metrics.base import PartsEvaluator
from visionkit.metrics.coco_curves import (
    COCO_AREAS,
    COCO_IOUS,
    ENGINES,
    Curves,
    Rules,
    Seen,
    default_engine,
)
from visionkit.metrics.confusion import confusion_matrix
from visionkit.metrics.f1 import best_f1, f1_curves
from visionkit.metrics.matching import Matches, match, mean_defined
from visionkit.metrics.tide import Errors, error_breakdown
from visionkit.report import write_json
from visionkit.results import Detections, Result

CONFUSION_CONFIDENCE = 0.25
CONFUSION_IOU = 0.5

T = TypeVar("T")


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
        iou_thresholds: the overlaps that AP and AR are means over, ascending; null for COCO's, 0.50
            to 0.95. ``AP50`` and ``AP75`` are given where they are among them.
        areas: ranges of areas by name, each the lowest and the highest in square pixels of the
            original picture. The first must be ``all``, which every figure but ``AP<name>`` and
            ``AR<name>`` uses; null for COCO's, ``all s m l``.

    Raises:
        ValueError: counts, thresholds or areas that make no sense.
    """

    monitor = "AP"
    mode = "max"

    def __init__(
        self,
        index: DetectionIndex,
        max_detections: Sequence[int] = (1, 10, 100),
        engine: Literal["auto", "hotcoco", "pycocotools"] = "auto",
        iou_thresholds: Sequence[Part] | None = None,
        areas: Mapping[str, Any] | None = None,
    ) -> None:
        limits = [int(n) for n in max_detections]
        if not limits or limits[0] < 1 or limits != sorted(set(limits)):
            raise ValueError(f"max_detections must be ascending counts of 1 or more, got {limits}")
        ious = [float(t) for t in (COCO_IOUS if iou_thresholds is None else iou_thresholds)]
        if not ious or not 0 < ious[0] <= ious[-1] <= 1 or ious != sorted(set(ious)):
            raise ValueError(f"iou_thresholds must be ascending, above 0 and up to 1, got {ious}")
        named = _checked_areas(COCO_AREAS if areas is None else areas)
        self.index = index
        self.areas = tuple(named)
        self.rules = Rules(tuple(limits), tuple(ious), tuple(named.values()))
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
        ious = np.array(self.rules.iou_thresholds)
        figures = {"AP": mean_defined(precision[:, :, :, 0, -1])}
        for percent in (50, 75):
            chosen = np.isclose(ious, percent / 100)
            if chosen.any():
                figures[f"AP{percent}"] = mean_defined(precision[chosen, :, :, 0, -1])
        for i, area in enumerate(self.areas[1:], 1):
            figures[f"AP{area}"] = mean_defined(precision[:, :, :, i, -1])
        for i, limit in enumerate(self.rules.max_detections):
            figures[f"AR{limit}"] = mean_defined(recall[:, :, 0, i])
        for i, area in enumerate(self.areas[1:], 1):
            figures[f"AR{area}"] = mean_defined(recall[:, :, i, -1])
        for rank, name in zip(self._ranks(), self._unique_names(), strict=True):
            figures[f"AP/{name}"] = mean_defined(precision[:, :, rank, 0, -1])
        return figures

    def details(self) -> dict[str, float]:
        """Return at IoU 0.5 what is best for each class, and what kind of error costs how much.

        ``F1/<class>`` is the best that a class reaches and ``confidence/<class>`` the confidence
        that does it; ``F1`` is the mean over classes with truth. ``error/<kind>`` is what AP50
        would gain without that kind of error (:func:`visionkit.metrics.tide.error_breakdown`).
        """
        best, names = best_f1(self.matches()), self._unique_names()
        return {
            "F1": mean_defined(best.f1),
            **{f"F1/{n}": v for n, v in zip(names, best.f1.tolist(), strict=True)},
            **{f"confidence/{n}": v for n, v in zip(names, best.confidence.tolist(), strict=True)},
            **{f"error/{kind}": cost for kind, cost in self.errors().costs.items()},
        }

    def _unique_names(self) -> list[str]:
        names = self.index.classes
        return [
            name if names.count(name) == 1 else f"{name} ({category})"
            for name, category in zip(names, self.index.category_ids, strict=True)
        ]

    def curves(self) -> Curves:
        """What the figures are means of."""
        return self._once(
            "curves", lambda: ENGINES[self.engine](self.index, self.state(), self.rules)
        )

    def matches(self) -> Matches:
        """What was right and what wrong at IoU 0.5, over all areas."""
        return self._once("matches", lambda: match(self.index, self.state(), self.rules))

    def errors(self) -> Errors:
        """What kind of error costs how much."""
        return self._once("errors", lambda: error_breakdown(self.matches()))

    def _once(self, name: str, make: Callable[[], T]) -> T:
        """What ``make`` returns, kept until more is seen."""
        kept = self._worked_out = self._worked_out or {}
        if name not in kept:
            kept[name] = make()
        return cast(T, kept[name])

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
        """Write ``predictions.json`` and the plots.

        They are ``pr_curve.png``, ``f1_curve.png``, ``errors.png`` and ``confusion_matrix.png``.
        Scoring predictions.json gives the figures of :meth:`compute`: nothing is rounded.
        """
        from visionkit.metrics import detection_plots, plots

        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "predictions.json", self.predictions())
        precision = self.curves().precision
        names = self._unique_names()
        detection_plots.precision_recall(
            folder / "pr_curve.png",
            precision[:, :, self._ranks(), 0, -1],
            names,
            self.rules.iou_thresholds,
        )
        confidences = np.linspace(0, 1, 1001)
        detection_plots.f1_curve(
            folder / "f1_curve.png",
            f1_curves(self.matches(), confidences),
            confidences,
            best_f1(self.matches()),
            names,
        )
        detection_plots.errors(folder / "errors.png", self.errors())
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


def _checked_areas(areas: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    if next(iter(areas), None) != "all":
        raise ValueError(f"areas must begin with all, got {list(areas)}")
    checked = {}
    for name, bounds in areas.items():
        if not str(name).isidentifier():  # the figures are called AP<name> and AR<name>
            raise ValueError(f"areas: names begin with a letter, got {name!r}")
        try:
            low, high = map(float, bounds)
        except (TypeError, ValueError):
            low, high = 1.0, 0.0
        if not 0 <= low <= high:
            raise ValueError(f"areas.{name} must be [low, high] from 0 on, got {bounds!r}")
        checked[str(name)] = (low, high)
    return checked
