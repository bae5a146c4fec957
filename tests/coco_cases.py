"""Truth and detections for tests of the COCO figures: drawn, and by hand."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from visionkit.data.index import DetectionIndex
from visionkit.data.strings import StringTable
from visionkit.metrics.coco import CocoEvaluator
from visionkit.metrics.coco_curves import Rules, Seen
from visionkit.results import Detections


def make_index(truth: dict[str, Any]) -> DetectionIndex:
    categories = [c["id"] for c in truth["categories"]]
    groups = [
        [a for a in truth["annotations"] if a["image_id"] == image["id"]]
        for image in truth["images"]
    ]
    flat = [a for group in groups for a in group]
    return DetectionIndex(
        files=StringTable([f"{image['id']}.png" for image in truth["images"]]),
        image_ids=np.array([image["id"] for image in truth["images"]], np.int64),
        sizes=np.zeros((len(groups), 2), np.int32),
        first=np.cumsum([0, *map(len, groups)]),
        boxes=np.array([a["bbox"] for a in flat], np.float64).reshape(-1, 4),
        labels=np.array([categories.index(a["category_id"]) for a in flat], np.int64),
        areas=np.array([a["area"] for a in flat], np.float64),
        crowd=np.array([a["iscrowd"] for a in flat], bool),
        annotation_ids=np.array([a["id"] for a in flat], np.int64),
        classes=tuple(c["name"] for c in truth["categories"]),
        category_ids=tuple(categories),
    )


def make_detections(
    results: Sequence[dict[str, Any]], categories: Sequence[int], dtype: type = np.float32
) -> Detections:
    boxes = np.array([r["bbox"] for r in results], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return Detections(
        boxes.astype(dtype),
        np.array([r["score"] for r in results], dtype),
        np.array([categories.index(r["category_id"]) for r in results], np.int64),
    )


def draw_case(seed: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Crowds, ids with gaps and out of order, empty pictures, > 100 detections, ties in score."""
    rng = np.random.default_rng(seed)
    categories = [90, 3, 17, 4]
    truth: dict[str, Any] = {
        "images": [{"id": int(i)} for i in rng.permutation(500)[:12]],
        "categories": [{"id": c, "name": f"c{c}"} for c in categories],
        "annotations": [],
    }
    results: list[dict[str, Any]] = []
    for n, image in enumerate(truth["images"]):
        for _ in range(0 if n == 0 else int(rng.integers(0, 9))):
            # on a grid of quarters, which float32 holds exactly
            box = (rng.integers(0, 800, 4) / 4 + [0, 0, 4, 4]).tolist()
            truth["annotations"].append(
                {
                    "id": len(truth["annotations"]) + 1,
                    "image_id": image["id"],
                    "category_id": int(rng.choice(categories[:3])),
                    "bbox": box,
                    "area": box[2] * box[3] * float(rng.choice([1.0, 0.3])),
                    "iscrowd": int(rng.random() < 0.15),
                }
            )
        mine = [a for a in truth["annotations"] if a["image_id"] == image["id"]]
        for _ in range(140 if n == 1 else int(rng.integers(0, 12))):
            near = bool(mine) and rng.random() < 0.8
            source = mine[int(rng.integers(len(mine)))] if near else None
            start = source["bbox"] if source else (rng.integers(0, 400, 4) / 4 + 1).tolist()
            box = np.array(start) + (rng.integers(-12, 13, 4) / 4 if rng.random() < 0.7 else 0)
            box[2:] = np.maximum(box[2:], 1)
            category = source["category_id"] if source else int(rng.choice(categories))
            results.append(
                {
                    "image_id": image["id"],
                    "category_id": category,
                    "bbox": box.tolist(),
                    "score": float(rng.integers(1, 17)) / 16,
                }
            )
    return truth, results


def draw_arrays(seed: int) -> tuple[DetectionIndex, Seen]:
    """Areas and overlaps on the borders, ties, duplicates, crowds, empty pictures and classes."""
    rng = np.random.default_rng(seed)
    images, classes = int(rng.integers(1, 7)), int(rng.integers(1, 6))
    ids = rng.permutation(40)[:images].astype(np.int64)
    counts = rng.integers(0, 9, images) * (rng.random(images) < 0.8)
    total = int(counts.sum())
    # sides that make areas of exactly 32**2 and 96**2, and overlaps of exactly .5, .75, .8
    sides = np.array([8, 16, 20, 24, 32, 40, 64, 96, 128, 0])
    boxes = np.concatenate([rng.integers(0, 30, (total, 2)) * 4, rng.choice(sides, (total, 2))], 1)
    areas = (boxes[:, 2] * boxes[:, 3]).astype(float)
    own = rng.random(total) < 0.3
    areas[own] = rng.choice([0, 1024, 1023.5, 9216, 9216.5, 1e5, 2e10], own.sum())
    index = DetectionIndex(
        files=StringTable([f"{i}.png" for i in ids]),
        image_ids=ids,
        sizes=np.zeros((images, 2), np.int32),
        first=np.cumsum([0, *counts]),
        boxes=boxes.astype(np.float64),
        labels=rng.integers(0, classes, total),
        areas=areas,
        crowd=rng.random(total) < 0.2,
        annotation_ids=np.arange(total),
        classes=tuple(f"c{c}" for c in range(classes)),
        category_ids=tuple(rng.permutation(90)[:classes].tolist()),
    )
    evaluator = CocoEvaluator(index)
    for n in rng.permutation(images):
        found = int(rng.choice([0, 3, 12, 130], p=[0.2, 0.4, 0.3, 0.1]))
        start = boxes[index.first[n] : index.first[n + 1]].astype(float)
        if len(start) == 0:
            start = np.array([[4.0, 4, 32, 32]])
        mine = start[rng.integers(0, len(start), found)]
        factors = [1, 1, 0.5, 0.75, 0.8, 0.65, 1.25, 2]
        mine[:, 2:] *= rng.choice(factors, (found, 2)) ** (rng.random((found, 1)) < 0.5)
        mine[:, 2:] += mine[:, :2]
        labels = rng.integers(0, classes, found)
        if rng.random() < 0.5:
            labels[:] = rng.integers(0, classes)
        scores = rng.choice([0, 0.125, 0.25, 0.5, 0.5, 1.0], found)
        evaluator.update([int(ids[n])], [Detections(mine, scores, labels)])
    return index, evaluator.state()


def draw_rules(seed: int) -> Rules:
    """Thresholds, areas and limits other than COCO's, many on values that the cases hit exactly."""
    rng = np.random.default_rng(seed)
    limits = ((1, 10, 100), (3,), (1, 100), (5, 50, 500))[seed % 4]
    ious = rng.choice([0.05, 0.1, 0.25, 0.3, 0.5, 0.55, 0.64, 0.75, 0.8, 1], 5, replace=False)
    areas = [(0.0, 1e10) if seed % 3 else (64.0, 9216.0)]
    for low, high in rng.choice([0, 64, 256, 1024, 1024, 9216, np.inf], (int(rng.integers(4)), 2)):
        areas.append((float(min(low, high)), float(max(low, high))))
    areas += areas[: int(rng.integers(2))]  # a range twice, by two names
    shuffled = [areas[i] for i in rng.permutation(len(areas))]
    return Rules(limits, tuple(sorted(ious[: rng.integers(1, 6)].tolist())), tuple(shuffled))


def evaluate(
    truth: dict[str, Any], results: list[dict[str, Any]], dtype: type = np.float32
) -> CocoEvaluator:
    categories = [c["id"] for c in truth["categories"]]
    evaluator = CocoEvaluator(make_index(truth))
    for image in truth["images"]:
        mine = [r for r in results if r["image_id"] == image["id"]]
        evaluator.update([image["id"]], [make_detections(mine, categories, dtype)])
    return evaluator


def one_box(area: float = 400.0) -> dict[str, Any]:
    return {
        "images": [{"id": 0}, {"id": 5}],
        "categories": [{"id": 2, "name": "a"}, {"id": 9, "name": "b"}],
        "annotations": [
            {
                "id": 1,
                "image_id": 5,
                "category_id": 9,
                "bbox": [10, 10, 20, 20],
                "area": area,
                "iscrowd": 0,
            }
        ],
    }


def scene(
    truth: Sequence[tuple[int, Sequence[float], bool]],
    found: Sequence[tuple[int, Sequence[float], float]],
    classes: int = 2,
) -> CocoEvaluator:
    """One picture with (label, x1 y1 x2 y2, crowd) and what was found: (label, box, score)."""
    boxes = np.array([box for _, box, _ in truth], np.float64).reshape(-1, 4)
    boxes[:, 2:] -= boxes[:, :2]
    index = DetectionIndex(
        files=StringTable(["0.png"]),
        image_ids=np.zeros(1, np.int64),
        sizes=np.zeros((1, 2), np.int32),
        first=np.array([0, len(truth)]),
        boxes=boxes,
        labels=np.array([label for label, _, _ in truth], np.int64),
        areas=boxes[:, 2] * boxes[:, 3],
        crowd=np.array([crowd for _, _, crowd in truth], bool),
        annotation_ids=np.arange(len(truth)),
        classes=tuple("abcdefgh"[:classes]),
        category_ids=tuple(range(classes, 0, -1)),
    )
    evaluator = CocoEvaluator(index)
    result = Detections(
        np.array([box for _, box, _ in found], np.float64).reshape(-1, 4),
        np.array([score for _, _, score in found], np.float64),
        np.array([label for label, _, _ in found], np.int64),
    )
    evaluator.update([0], [result])
    return evaluator
