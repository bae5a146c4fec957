"""CocoEvaluator against pycocotools used directly, and against figures worked out by hand."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from visionkit.data.index import DetectionIndex, StringTable
from visionkit.metrics.coco import CocoEvaluator
from visionkit.metrics.coco_curves import ENGINES, Seen
from visionkit.metrics.confusion import confusion_matrix
from visionkit.results import Detections

TWELVE = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


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


def plain_pycocotools(truth: dict[str, Any], results: list[dict[str, Any]]) -> list[float]:
    side = COCO()
    side.dataset = json.loads(json.dumps(truth))
    side.createIndex()
    run = COCOeval(side, side.loadRes(json.loads(json.dumps(results))), "bbox")
    run.evaluate()
    run.accumulate()
    run.summarize()
    return [float(x) for x in run.stats]


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
        scores = rng.choice([0, 0.125, 0.25, 0.5, 0.5, 1.0], found)
        evaluator.update([int(ids[n])], [Detections(mine, scores, labels)])
    return index, evaluator.state()


@pytest.mark.parametrize("part", range(8))
def test_engines_agree_to_the_last_bit(part: int) -> None:
    positive = 0
    for seed in range(30 * part, 30 * (part + 1)):
        index, seen = draw_arrays(seed)
        limits = ((1, 10, 100), (3,), (1, 100), (5, 50, 500))[seed % 4]
        both = [ENGINES[name](index, seen, limits) for name in ("pycocotools", "hotcoco")]
        for name in ("precision", "recall", "scores"):
            reference, fast = (getattr(curves, name) for curves in both)
            assert reference.shape == fast.shape
            assert reference.tobytes() == fast.tobytes(), f"seed {seed}: {name} differs"
        positive += int((both[0].precision > 0).any())
    assert positive > 10


def evaluate(
    truth: dict[str, Any], results: list[dict[str, Any]], dtype: type = np.float32
) -> CocoEvaluator:
    categories = [c["id"] for c in truth["categories"]]
    evaluator = CocoEvaluator(make_index(truth))
    for image in truth["images"]:
        mine = [r for r in results if r["image_id"] == image["id"]]
        evaluator.update([image["id"]], [make_detections(mine, categories, dtype)])
    return evaluator


@pytest.mark.parametrize("seed", range(6))
def test_equals_pycocotools_to_the_last_bit(seed: int, tmp_path: Path) -> None:
    truth, results = draw_case(seed)
    evaluator = evaluate(truth, results)
    figures = evaluator.compute()
    expected = plain_pycocotools(truth, results)
    assert [figures[name] for name in TWELVE] == expected
    assert 0 < figures["AP"] < 1
    # the file that report() writes scores the same
    evaluator.report(tmp_path)
    written = json.loads((tmp_path / "predictions.json").read_text())
    assert plain_pycocotools(truth, written) == expected


def test_class_figures_follow_labels_not_category_order() -> None:
    truth, results = draw_case(1)
    figures = evaluate(truth, results).compute()
    for category in truth["categories"]:
        only = {
            **truth,
            "annotations": [a for a in truth["annotations"] if a["category_id"] == category["id"]],
        }
        mine = [r for r in results if r["category_id"] == category["id"]]
        assert figures[f"AP/{category['name']}"] == pytest.approx(
            plain_pycocotools(only, mine)[0], abs=1e-12
        )
    assert figures["AP/c4"] == -1  # detections, but no truth


def test_order_and_ranks_change_nothing() -> None:
    truth, results = draw_case(2)
    whole = evaluate(truth, results)
    index, categories = whole.index, [c["id"] for c in truth["categories"]]
    ranks = [CocoEvaluator(index), CocoEvaluator(index)]
    for n, image in enumerate(reversed(truth["images"])):
        mine = [r for r in results if r["image_id"] == image["id"]]
        ranks[n % 2].update([image["id"]], [make_detections(mine, categories)])
    states = [rank.state() for rank in ranks]
    for rank in ranks:
        rank.merge(states)
        assert rank.compute() == whole.compute()
    with pytest.raises(ValueError, match="given twice"):
        ranks[0].merge([states[0], states[0]])


def test_only_pictures_seen_count() -> None:
    truth, results = draw_case(3)
    half = {image["id"] for image in truth["images"][:6]}
    evaluator = CocoEvaluator(make_index(truth))
    categories = [c["id"] for c in truth["categories"]]
    for image_id in sorted(half):
        mine = [r for r in results if r["image_id"] == image_id]
        evaluator.update([image_id], [make_detections(mine, categories)])
    part = {
        **truth,
        "images": truth["images"][:6],
        "annotations": [a for a in truth["annotations"] if a["image_id"] in half],
    }
    expected = plain_pycocotools(part, [r for r in results if r["image_id"] in half])
    assert [evaluator.compute()[name] for name in TWELVE] == expected


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


def test_a_case_by_hand() -> None:
    # IoU 20 * 16 / 400 = 0.8 exactly: right at .50 .. .80, seven of the ten thresholds
    result = {"image_id": 5, "category_id": 9, "bbox": [10, 10, 20, 16], "score": 0.5}
    figures = evaluate(one_box(), [result]).compute()
    assert figures["AP"] == pytest.approx(0.7)
    assert figures["AP50"] == figures["AP75"] == pytest.approx(1.0)
    assert figures["APs"] == pytest.approx(0.7)
    assert figures["APm"] == figures["APl"] == figures["ARl"] == figures["AP/a"] == -1
    assert figures["AR1"] == pytest.approx(0.7)
    assert list(figures) == [*TWELVE, "AP/a", "AP/b"]


def test_nothing_found_is_zero_and_no_truth_is_minus_one(tmp_path: Path) -> None:
    nothing = evaluate(one_box(), [])
    figures = nothing.compute()
    assert figures["AP"] == figures["AR100"] == figures["APs"] == figures["AP/b"] == 0
    assert figures["AP/a"] == figures["APl"] == -1
    nothing.report(tmp_path / "nothing")
    assert json.loads((tmp_path / "nothing" / "predictions.json").read_text()) == []

    bare = {**one_box(), "annotations": []}
    result = {"image_id": 5, "category_id": 9, "bbox": [10, 10, 20, 16], "score": 0.5}
    for evaluator in (evaluate(bare, []), evaluate(bare, [result])):
        assert set(evaluator.compute().values()) == {-1.0}
        evaluator.report(tmp_path / "bare")
    unseen = CocoEvaluator(make_index(one_box()))
    assert set(unseen.compute().values()) == {-1.0}
    unseen.report(tmp_path / "unseen")


def test_results_that_cannot_be_are_refused() -> None:
    evaluator = evaluate(one_box(), [])
    empty = make_detections([], [2, 9])
    with pytest.raises(ValueError, match="image 5 was given twice"):
        evaluator.update([5], [empty])
    with pytest.raises(ValueError, match="image 7 isn't in the split"):
        evaluator.update([7], [empty])
    evaluator.reset()
    wrong = Detections(np.zeros((1, 4), np.float32), np.ones(1, np.float32), np.array([2]))
    with pytest.raises(ValueError, match=r"labels must lie in 0\.\.1"):
        evaluator.update([5], [wrong])
    with pytest.raises(ValueError, match="ascending"):
        CocoEvaluator(evaluator.index, (10, 1))


def test_boxes_that_are_not_finite_are_left_out() -> None:
    evaluator = CocoEvaluator(make_index(one_box()))
    boxes = np.array([[10, 10, 30, 30], [np.nan, 0, 1, 1], [0, 0, 5, 5]], np.float32)
    scores = np.array([0.5, 0.9, np.nan], np.float32)
    evaluator.update([5], [Detections(boxes, scores, np.array([1, 1, 1]))])
    assert evaluator.compute()["AP"] == pytest.approx(1.0)
    assert len(evaluator.predictions()) == 1


def test_classes_of_one_name_stay_apart() -> None:
    truth = one_box()
    for category in truth["categories"]:
        category["name"] = "same"
    figures = evaluate(truth, []).compute()
    assert figures["AP/same (2)"] == -1
    assert figures["AP/same (9)"] == 0


def test_report_draws_plots(tmp_path: Path) -> None:
    truth, results = draw_case(4)
    evaluate(truth, results).report(tmp_path)
    for name in ("pr_curve.png", "confusion_matrix.png"):
        assert (tmp_path / name).read_bytes()[:4] == b"\x89PNG"


def test_confusion_matrix_by_hand() -> None:
    truth = np.array([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10], [60, 0, 90, 30]], float)
    truth_labels = np.array([0, 1, 1, 0])
    crowd = np.array([False, False, False, True])
    boxes = np.array(
        [
            [0, 0, 10, 9],  # finds truth 0, class right
            [0, 0, 10, 10],  # truth 0 is taken by the better score: invented
            [20, 0, 30, 6],  # finds truth 1, takes it for class 0
            [41, 0, 51, 4],  # IoU 36 / 104 < .5: invented, truth 2 missed
            [62, 2, 70, 10],  # in the crowd: not counted
            [200, 200, 210, 210],  # below the confidence
        ],
        float,
    )
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.2])
    labels = np.array([0, 0, 0, 1, 0, 1])
    matrix = confusion_matrix(truth, truth_labels, boxes, scores, labels, 2, crowd=crowd)
    assert matrix.tolist() == [[1, 0, 0], [1, 0, 1], [1, 1, 0]]
    # the same whatever the order of the detections
    turned = confusion_matrix(
        truth, truth_labels, boxes[::-1], scores[::-1], labels[::-1], 2, crowd=crowd
    )
    assert turned.tolist() == matrix.tolist()


def test_confusion_prefers_the_same_class_among_equal_overlaps() -> None:
    truth = np.array([[0, 0, 10, 10], [0, 0, 10, 10]], float)
    matrix = confusion_matrix(
        truth, np.array([0, 1]), truth, np.array([0.9, 0.8]), np.array([1, 0]), 2
    )
    assert matrix.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]


@pytest.mark.real
def test_the_coco_api_s_own_example(shared_data: Path) -> None:
    folder = shared_data / "coco_eval_pair"
    truth = json.loads((folder / "instances_val2014_100.json").read_text())
    results = json.loads((folder / "instances_val2014_fakebbox100_results.json").read_text())
    printed = (folder / "val2014_fake_eval_res.txt").read_text().split("type=bbox")[1]
    expected = [float(x) for x in re.findall(r"\] = (-?\d\.\d+)", printed)[:12]]
    # float64: rounding to float32 would decide ties with the IoU thresholds otherwise
    figures = evaluate(truth, results, np.float64).compute()
    assert [round(figures[name], 3) for name in TWELVE] == expected
    assert expected[0] == 0.505
