"""CocoEvaluator against pycocotools used directly, and against figures worked out by hand."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coco_cases import draw_case, evaluate, make_detections, make_index, one_box, scene
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from visionkit.build import build, call, plain
from visionkit.compose import compose
from visionkit.metrics.coco import CocoEvaluator
from visionkit.metrics.coco_curves import COCO_IOUS
from visionkit.metrics.confusion import confusion_matrix
from visionkit.metrics.tide import KINDS
from visionkit.results import Detections

AP_OF_EACH = ("AP/a", "AP/b")
TWELVE = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def plain_pycocotools(truth: dict[str, Any], results: list[dict[str, Any]]) -> list[float]:
    side = COCO()
    side.dataset = json.loads(json.dumps(truth))
    side.createIndex()
    run = COCOeval(side, side.loadRes(json.loads(json.dumps(results))), "bbox")
    run.evaluate()
    run.accumulate()
    run.summarize()
    return [float(x) for x in run.stats]


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


def test_thresholds_and_areas_can_be_set() -> None:
    # IoU .8 and area 400; detections of [0, 400) are only counted where they match
    result = {"image_id": 5, "category_id": 9, "bbox": [10, 10, 20, 16], "score": 0.5}
    index, seen = make_index(one_box()), make_detections([result], [2, 9])
    areas = {"all": [0, 1e10], "tiny": [0, 399], "rest": [400, 1e10]}
    for engine in ("hotcoco", "pycocotools"):
        evaluator = CocoEvaluator(index, (1, 5), engine, [0.3, 0.75, 0.8, 0.81], areas)
        evaluator.update([5], [seen])
        figures = evaluator.compute()
        assert list(figures) == [
            *("AP", "AP75", "APtiny", "APrest", "AR1", "AR5", "ARtiny", "ARrest", "AP/a", "AP/b")
        ]
        for name in ("AP", "APrest", "AR1", "AR5", "ARrest"):
            assert figures[name] == pytest.approx(0.75), name
        assert figures["AP75"] == pytest.approx(1)
        assert figures["APtiny"] == figures["ARtiny"] == -1
    # all areas need not be all
    evaluator = CocoEvaluator(index, areas={"all": [0, 399]})
    evaluator.update([5], [seen])
    assert list(evaluator.compute()) == ["AP", "AP50", "AP75", "AR1", "AR10", "AR100", *AP_OF_EACH]
    assert evaluator.compute()["AP"] == evaluator.details()["F1"] == -1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_detections": (10, 1)}, "max_detections must be ascending"),
        ({"max_detections": ()}, "max_detections must be ascending"),
        ({"iou_thresholds": [0.75, 0.5]}, "iou_thresholds must be ascending"),
        ({"iou_thresholds": [0, 0.5]}, "above 0"),
        ({"iou_thresholds": []}, "iou_thresholds"),
        ({"areas": {"s": [0, 9]}}, "begin with all"),
        ({"areas": {}}, "begin with all"),
        ({"areas": {"all": [0, 9], "50": [0, 1]}}, "names begin with a letter, got '50'"),
        ({"areas": {"all": [9, 0]}}, r"areas\.all must be \[low, high\]"),
        ({"areas": {"all": [0, 9], "s": [1]}}, r"areas\.s must be \[low, high\] .*, got \[1\]"),
        ({"areas": {"all": [-1, 9]}}, r"areas\.all must be \[low, high\] from 0 on, got \[-1, 9\]"),
        ({"areas": {"all": "0-9"}}, r"areas\.all must be \[low, high\] from 0 on, got '0-9'"),
        ({"areas": {"all": 9}}, r"areas\.all must be \[low, high\] from 0 on, got 9"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        CocoEvaluator(make_index(one_box()), **options)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("evaluator.iou_thresholds=[0.3,0.5]", ((0.3, 0.5), ("all", "s", "m", "l"))),
        ("evaluator.areas={all:[0,1e10],tiny:[0,256]}", (COCO_IOUS, ("all", "tiny"))),
    ],
)
def test_options_on_the_command_line(override: str, expected: tuple[Any, Any]) -> None:
    node = plain(compose(["task=detection", override])["evaluator"])
    evaluator = call(build(node, "evaluator"), "evaluator", index=make_index(one_box()))
    assert (evaluator.rules.iou_thresholds, evaluator.areas) == expected


def test_details_by_hand() -> None:
    truth = [(0, [0, 0, 10, 10], False), (0, [20, 0, 30, 10], False), (1, [50, 0, 60, 10], False)]
    found = [
        (0, [0, 0, 10, 10], 0.9),  # right
        (0, [80, 0, 90, 10], 0.6),  # of nothing
        (0, [20, 0, 30, 10], 0.5),  # right
        (0, [95, 0, 99, 10], 0.5),  # of nothing, as sure: both stay or go
        (1, [50, 0, 60, 4], 0.85),  # IoU .4
        (2, [50, 0, 60, 10], 0.8),  # a class without truth, on b's
    ]
    details = scene(truth, found, 3).details()
    errors = [f"error/{kind}" for kind in KINDS]
    every = [f"{name}/{k}" for name in ("F1", "confidence") for k in "abc"]
    assert list(details) == ["F1", *every, *errors]
    # a: 2 of 2 right at .9 would be F1 2 / 3, as 4 / 6 at .5: of equals the surer
    assert (details["F1/a"], details["confidence/a"]) == (pytest.approx(2 / 3), 0.9)
    assert (details["F1/b"], details["confidence/b"]) == (0, -1)
    assert details["F1/c"] == details["confidence/c"] == -1
    assert details["F1"] == pytest.approx(1 / 3)
    # b has nothing right: AP 1 with its box mended, 1 / 2 by the class of c's, which is less sure
    assert details["error/localisation"] == pytest.approx(0.5)
    assert details["error/classification"] == pytest.approx(0.25)
    assert details["error/missed"] == details["error/duplicate"] == details["error/both"] == 0
    assert details["error/background"] > 0


def test_figures_follow_what_is_seen_next() -> None:
    evaluator = evaluate(one_box(), [])
    assert evaluator.details()["F1"] == evaluator.compute()["AP"] == 0
    evaluator.reset()
    right = {"image_id": 5, "category_id": 9, "bbox": [10, 10, 20, 20], "score": 0.5}
    evaluator.update([5], [make_detections([right], [2, 9])])
    assert evaluator.details()["F1"] == 1
    assert evaluator.compute()["AP"] == pytest.approx(1)


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
    for name in ("pr_curve.png", "f1_curve.png", "errors.png", "confusion_matrix.png"):
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
