"""COCO's matching (Lin et al. 2014): precision and recall of every class, area and threshold.

pycocotools is the reference; hotcoco gives the same arrays to the last bit, many times faster,
whatever the :class:`Rules`.
"""

import contextlib
import importlib.util
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visionkit.data.index import DetectionIndex

Array = NDArray[np.float64]

COCO_IOUS = tuple(np.linspace(0.5, 0.95, 10).tolist())
COCO_AREAS = {"all": (0.0, 1e10), "s": (0.0, 1024.0), "m": (1024.0, 9216.0), "l": (9216.0, 1e10)}


@dataclass(frozen=True)
class Rules:
    """What is counted; the defaults are COCO's.

    Attributes:
        max_detections: M limits of detections for each picture and class, ascending.
        iou_thresholds: T overlaps that make a match, ascending.
        areas: A ranges (low, high) in square pixels, both included; the first is that of all boxes.
    """

    max_detections: tuple[int, ...] = (1, 10, 100)
    iou_thresholds: tuple[float, ...] = COCO_IOUS
    areas: tuple[tuple[float, float], ...] = tuple(COCO_AREAS.values())


@dataclass(frozen=True)
class Seen:
    """The detections of n pictures in flat arrays; what ranks exchange.

    Attributes:
        image_ids: [n] int64.
        counts: [n] int64, detections of each picture.
        boxes: [D, 4] float64 ``x1 y1 x2 y2`` in original pixels.
        scores: [D] float64.
        labels: [D] int64.
    """

    image_ids: NDArray[np.int64]
    counts: NDArray[np.int64]
    boxes: Array
    scores: Array
    labels: NDArray[np.int64]

    @staticmethod
    def join(parts: Sequence["Seen"]) -> "Seen":
        """Put parts one after the other."""
        empty = Seen(
            np.zeros(0, np.int64),
            np.zeros(0, np.int64),
            np.zeros((0, 4)),
            np.zeros(0),
            np.zeros(0, np.int64),
        )
        parts = [empty, *parts]
        return Seen(
            np.concatenate([p.image_ids for p in parts]),
            np.concatenate([p.counts for p in parts]),
            np.concatenate([p.boxes for p in parts]),
            np.concatenate([p.scores for p in parts]),
            np.concatenate([p.labels for p in parts]),
        )

    @property
    def first(self) -> NDArray[np.int64]:
        """[n + 1] int64: the detections of picture ``i`` are ``first[i]:first[i + 1]``."""
        return np.concatenate([[0], np.cumsum(self.counts)]).astype(np.int64)

    @property
    def coco_boxes(self) -> Array:
        """[D, 4] ``x y width height``."""
        return np.concatenate([self.boxes[:, :2], self.boxes[:, 2:] - self.boxes[:, :2]], 1)


@dataclass(frozen=True)
class Curves:
    """What COCO's figures are means of; -1 where there is no truth.

    T IoU thresholds, R = 101 recalls, K classes in order of category id, A ranges of areas, M
    limits of detections.

    Attributes:
        precision: [T, R, K, A, M].
        recall: [T, K, A, M].
        scores: [T, R, K, A, M], the score at which each recall is reached.
    """

    precision: Array
    recall: Array
    scores: Array


@dataclass(frozen=True)
class Flat:
    """Truth and detections with pictures and classes numbered from 1 in order of their ids.

    pycocotools takes a match with annotation 0 for a miss; ids from 1 avoid that everywhere.

    Attributes:
        images: how many pictures were seen.
        classes: how many classes there are.
        truth_images: [G] ascending.
        truth_classes: [G].
        truth_boxes: [G, 4] ``x y width height``.
        areas: [G] the file's own.
        crowd: [G] 0 or 1.
        found_images: [D] ascending; within a picture in the order of its result.
        found_classes: [D].
        found_boxes: [D, 4] ``x y width height``.
        scores: [D].
    """

    images: int
    classes: int
    truth_images: NDArray[np.int64]
    truth_classes: NDArray[np.int64]
    truth_boxes: Array
    areas: Array
    crowd: NDArray[np.int64]
    found_images: NDArray[np.int64]
    found_classes: NDArray[np.int64]
    found_boxes: Array
    scores: Array


def flatten(index: DetectionIndex, seen: Seen) -> Flat:
    """Put the truth of the pictures seen beside what was found in them."""
    position = {int(i): n for n, i in enumerate(index.image_ids.tolist())}
    order = np.argsort(seen.image_ids, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(1, len(order) + 1)
    places = np.array([position[i] for i in seen.image_ids[order].tolist()], np.int64)
    counts = index.first[places + 1] - index.first[places]
    rows = np.concatenate(
        [np.arange(index.first[p], index.first[p + 1]) for p in places] or [np.zeros(0)]
    ).astype(np.int64)
    classes = 1 + np.argsort(np.argsort(index.category_ids))
    found_images = np.repeat(rank, seen.counts)
    by_image = np.argsort(found_images, kind="stable")
    return Flat(
        images=len(order),
        classes=len(classes),
        truth_images=np.repeat(np.arange(1, len(order) + 1), counts),
        truth_classes=classes[index.labels[rows]],
        truth_boxes=np.asarray(index.boxes[rows], np.float64),
        areas=np.asarray(index.areas[rows], np.float64),
        crowd=index.crowd[rows].astype(np.int64),
        found_images=found_images[by_image],
        found_classes=classes[seen.labels][by_image],
        found_boxes=seen.coco_boxes[by_image],
        scores=seen.scores[by_image],
    )


def pycocotools_curves(index: DetectionIndex, seen: Seen, rules: Rules) -> Curves:
    """Match with pycocotools, the reference."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    flat = flatten(index, seen)
    frame: dict[str, Any] = {
        "images": [{"id": i + 1} for i in range(flat.images)],
        "categories": [{"id": c + 1} for c in range(flat.classes)],
    }
    names = ("image_id", "category_id", "bbox", "area", "iscrowd")
    truth = (flat.truth_images, flat.truth_classes, flat.truth_boxes, flat.areas, flat.crowd)
    area = flat.found_boxes[:, 2] * flat.found_boxes[:, 3]
    found = (flat.found_images, flat.found_classes, flat.found_boxes, area, np.zeros_like(area))
    with contextlib.redirect_stdout(io.StringIO()):
        # COCO.loadRes fails on an empty list, so both sides are made by hand
        both = [COCO(), COCO()]
        for side, columns in zip(both, (truth, found), strict=True):
            rows = zip(*(c.tolist() for c in columns), strict=True)
            annotations = [
                {"id": n, **dict(zip(names, row, strict=True))} for n, row in enumerate(rows, 1)
            ]
            if side is both[1]:
                for annotation, score in zip(annotations, flat.scores.tolist(), strict=True):
                    annotation["score"] = score
            side.dataset = {**frame, "annotations": annotations}
            side.createIndex()
        run = COCOeval(both[0], both[1], "bbox")
        run.params.maxDets = list(rules.max_detections)
        run.params.iouThrs = np.array(rules.iou_thresholds)
        run.params.areaRng = [list(area) for area in rules.areas]
        run.params.areaRngLbl = [str(n) for n in range(len(rules.areas))]
        run.evaluate()
        run.accumulate()
    return Curves(run.eval["precision"], run.eval["recall"], run.eval["scores"])


def hotcoco_curves(index: DetectionIndex, seen: Seen, rules: Rules) -> Curves:
    """Match with hotcoco."""
    from hotcoco import COCO, COCOeval

    flat = flatten(index, seen)
    truth = COCO.from_arrays(
        [{"id": i + 1} for i in range(flat.images)],
        [{"id": c + 1, "name": str(c + 1)} for c in range(flat.classes)],
        flat.truth_images,
        flat.truth_classes,
        flat.truth_boxes,
        area=flat.areas,
        iscrowd=flat.crowd,
    )
    columns = (flat.found_images, flat.found_boxes, flat.scores, flat.found_classes)
    found = truth.load_res(np.column_stack(columns).astype(np.float64))
    run = COCOeval(truth, found, "bbox")
    run.params.max_dets = list(rules.max_detections)
    run.params.iou_thrs = list(rules.iou_thresholds)
    # of two equal ranges only one would be filled
    areas = list(dict.fromkeys(rules.areas))
    run.params.area_rng = [list(area) for area in areas]
    run.params.area_rng_lbl = [str(n) for n in range(len(areas))]
    run.evaluate()
    run.accumulate()
    arrays = run.eval
    assert arrays is not None
    places = [areas.index(area) for area in rules.areas]
    return Curves(
        arrays["precision"][:, :, :, places],
        arrays["recall"][:, :, places],
        arrays["scores"][:, :, :, places],
    )


ENGINES: dict[str, Callable[[DetectionIndex, Seen, Rules], Curves]] = {
    "hotcoco": hotcoco_curves,
    "pycocotools": pycocotools_curves,
}


def default_engine() -> str:
    """Name the fastest engine that is installed."""
    return "hotcoco" if importlib.util.find_spec("hotcoco") else "pycocotools"
