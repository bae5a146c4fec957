"""Each kind of error by hand, and what holds of all of them."""

import json
from pathlib import Path

import numpy as np
import pytest
from coco_cases import draw_arrays, evaluate, scene

from visionkit.metrics.coco_curves import Rules, hotcoco_curves
from visionkit.metrics.matching import match
from visionkit.metrics.tide import KINDS, error_breakdown

BOX = [0, 0, 10, 10]
OVER = [0, 0, 10, 9]  # IoU .9 with BOX
NEAR = [0, 0, 8, 5]  # IoU .4 with BOX
OTHER = [50, 50, 60, 60]
FAR = [200, 200, 210, 210]
HALF = 51 / 101  # recalls 0 .. 0.5 of 101 are reached


def breakdown(truth, found):
    return error_breakdown(scene(truth, found).matches())


def only(**costs: float) -> dict[str, float]:
    return {kind: pytest.approx(costs.get(kind, 0.0), abs=1e-12) for kind in KINDS}


def test_nothing_wrong() -> None:
    errors = breakdown([(0, BOX, False)], [(0, OVER, 0.5)])
    assert errors.ap50 == pytest.approx(1)
    assert errors.costs == only()
    assert errors.counts == dict.fromkeys(KINDS, 0)


def test_localisation() -> None:
    errors = breakdown([(0, BOX, False)], [(0, NEAR, 0.5)])
    assert errors.ap50 == 0
    # the truth isn't missed: the poor box explains it
    assert errors.costs == only(localisation=1.0)
    assert errors.counts == dict.fromkeys(KINDS, 0) | {"localisation": 1}


def test_classification() -> None:
    # a has nothing (0), b a wrong detection before its right one (1 / 2)
    truth = [(0, BOX, False), (1, OTHER, False)]
    errors = breakdown(truth, [(1, OVER, 0.9), (1, OTHER, 0.8)])
    assert errors.ap50 == pytest.approx(0.25)
    assert errors.costs == only(classification=0.75)
    assert errors.counts == dict.fromkeys(KINDS, 0) | {"classification": 1}


def test_both() -> None:
    truth = [(0, BOX, False), (1, OTHER, False)]
    errors = breakdown(truth, [(1, NEAR, 0.9), (1, OTHER, 0.8)])
    assert errors.ap50 == pytest.approx(0.25)
    # b becomes 1. To forget a's only truth, which is missed, gains nothing: nothing of a is right
    assert errors.costs == only(both=0.25)
    assert errors.counts == dict.fromkeys(KINDS, 0) | {"both": 1, "missed": 1}


@pytest.mark.parametrize(("kind", "box"), [("duplicate", OVER), ("background", FAR)])
def test_duplicate_and_background(kind: str, box: list[float]) -> None:
    truth = [(0, BOX, False), (0, OTHER, False)]
    errors = breakdown(truth, [(0, BOX, 0.9), (0, box, 0.8), (0, OTHER, 0.7)])
    # right, wrong, right: precision 1 up to recall .5, then 2 / 3
    ap50 = (51 + 50 * 2 / 3) / 101
    assert errors.ap50 == pytest.approx(ap50)
    assert errors.costs == only(**{kind: 1 - ap50})
    assert errors.counts == dict.fromkeys(KINDS, 0) | {kind: 1}


def test_missed() -> None:
    errors = breakdown([(0, BOX, False), (0, OTHER, False)], [(0, BOX, 0.9)])
    assert errors.ap50 == pytest.approx(HALF)
    assert errors.costs == only(missed=1 - HALF)
    assert errors.counts == dict.fromkeys(KINDS, 0) | {"missed": 1}


@pytest.mark.parametrize(
    ("kind", "label", "box"), [("localisation", 0, NEAR), ("classification", 1, BOX)]
)
def test_of_two_claims_to_a_truth_the_better_score_stays(
    kind: str, label: int, box: list[float]
) -> None:
    truth = [(0, BOX, False), (0, OTHER, False), (1, FAR, False)]
    rest = [(0, OTHER, 0.2), (1, FAR, 0.95)]
    # the poor one is surer: wrong, right, right for localisation, and one of b behind its right one
    surer = breakdown(truth, [(label, box, 0.9), (0, OVER, 0.5), *rest])
    before = (2 / 3 + 1) / 2 if kind == "localisation" else 1.0
    assert surer.ap50 == pytest.approx(before)
    assert surer.costs == only(**{kind: 1 - before})
    assert surer.counts == dict.fromkeys(KINDS, 0) | {kind: 1}
    # it is less sure: dropped when mended, as the truth is found already
    less = breakdown(truth, [(label, box, 0.4), (0, OVER, 0.5), *rest])
    before = ((51 + 50 * 2 / 3) / 101 + 1) / 2 if kind == "localisation" else 1.0
    assert less.ap50 == pytest.approx(before)
    assert less.costs == only(**{kind: 1 - before})
    # two claims beside no right one: the surer stays, so OTHER comes second of two
    twice = breakdown(truth, [(label, box, 0.4), (label, box, 0.3), *rest])
    assert twice.counts == dict.fromkeys(KINDS, 0) | {kind: 2}
    base = ((51 / 3 if kind == "localisation" else 51) / 101 + 1) / 2
    assert twice.ap50 == pytest.approx(base)
    assert twice.costs[kind] == pytest.approx(1 - base)


def test_own_class_comes_first() -> None:
    # two classes on one object: a second detection of a is a duplicate, not b's
    truth = [(0, BOX, False), (1, BOX, False)]
    errors = breakdown(truth, [(0, BOX, 0.9), (0, OVER, 0.8), (0, NEAR, 0.7)])
    assert errors.counts == dict.fromkeys(KINDS, 0) | {
        "duplicate": 1,
        "localisation": 1,
        "missed": 1,
    }


def test_borders_of_the_kinds() -> None:
    def kind_of(label: int, box: list[float]) -> list[str]:
        truth = [(0, BOX, False), (1, OTHER, False)]
        errors = breakdown(truth, [(0, BOX, 0.9), (label, box, 0.8)])
        return [k for k in KINDS[:-1] if errors.counts[k]]

    assert kind_of(0, [0, 0, 10, 5]) == ["duplicate"]  # IoU .5 exactly
    assert kind_of(0, [0, 0, 10, 4.99]) == ["localisation"]
    assert kind_of(0, [0, 0, 10, 1]) == ["localisation"]  # .1
    assert kind_of(0, [0, 0, 10, 0.99]) == ["background"]
    assert kind_of(1, [0, 0, 10, 5]) == ["classification"]
    assert kind_of(1, [0, 0, 10, 4.99]) == ["both"]
    assert kind_of(1, [0, 0, 10, 1]) == ["both"]
    assert kind_of(1, [0, 0, 10, 0.99]) == ["background"]


def test_crowds_count_nowhere() -> None:
    truth = [(0, BOX, False), (0, [100, 100, 200, 200], True)]
    inside, beside = [110, 110, 120, 120], [150, 150, 160, 160]
    errors = breakdown(truth, [(0, inside, 0.9), (0, BOX, 0.8), (1, beside, 0.7)])
    assert errors.ap50 == pytest.approx(1)  # b has no truth, so it has no AP
    assert errors.costs == only()
    # nothing of b is in a crowd of a
    assert errors.counts == dict.fromkeys(KINDS, 0) | {"background": 1}


def test_no_truth_and_nothing_found() -> None:
    for truth, found in (([], []), ([], [(0, BOX, 0.5)]), ([(0, BOX, True)], [])):
        errors = breakdown(truth, found)
        assert errors.ap50 == -1
        assert set(errors.costs.values()) == {-1.0}
        assert errors.counts["background"] == len(found)
    errors = breakdown([(0, BOX, False)], [])
    assert errors.ap50 == 0
    assert errors.counts == dict.fromkeys(KINDS, 0) | {"missed": 1}


def test_what_holds_of_every_case() -> None:
    total = dict.fromkeys(KINDS, 0)
    for seed in range(120):
        index, seen = draw_arrays(seed)
        matches = match(index, seen, Rules())
        errors = error_breakdown(matches)
        precision = hotcoco_curves(index, seen, Rules()).precision[0, :, :, 0, -1]
        coco = precision[precision > -1].mean() if (precision > -1).any() else -1.0
        assert errors.ap50 == pytest.approx(coco, abs=1e-12)
        found = sum(errors.counts[kind] for kind in KINDS if kind != "missed")
        assert found == matches.wrong.sum()
        if errors.ap50 == -1:
            continue
        for kind in KINDS:
            assert -1e-12 <= errors.costs[kind] <= 1 - errors.ap50 + 1e-12
            assert errors.counts[kind] or errors.costs[kind] == 0
            total[kind] += errors.counts[kind]
    assert min(total.values()) > 20, total


def test_order_of_pictures_changes_nothing() -> None:
    for seed in range(20):
        index, seen = draw_arrays(seed)
        turned = np.arange(len(seen.counts))[::-1]
        owner = np.repeat(np.arange(len(seen.counts)), seen.counts)
        rows = np.concatenate(
            [np.zeros(0, np.int64), *(np.flatnonzero(owner == i) for i in turned)]
        )
        rows = rows.astype(np.int64)
        other = type(seen)(
            seen.image_ids[turned],
            seen.counts[turned],
            seen.boxes[rows],
            seen.scores[rows],
            seen.labels[rows],
        )
        pair = [error_breakdown(match(index, s, Rules())) for s in (seen, other)]
        assert pair[0] == pair[1]


@pytest.mark.real
def test_equals_another_implementation(shared_data: Path) -> None:
    from hotcoco import COCO, COCOeval

    folder = shared_data / "coco_eval_pair"
    truth, results = (
        folder / "instances_val2014_100.json",
        folder / "instances_val2014_fakebbox100_results.json",
    )
    side = COCO(str(truth))
    run = COCOeval(side, side.load_res(str(results)), "bbox")
    run.evaluate()
    reference = run.tide_errors()
    read = [json.loads(file.read_text()) for file in (truth, results)]
    errors = evaluate(*read, np.float64).errors()
    names = dict(zip(("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss"), KINDS, strict=True))
    assert errors.ap50 == pytest.approx(reference["ap_base"])
    for name, kind in names.items():
        assert errors.costs[kind] == pytest.approx(reference["delta_ap"][name], abs=1e-9)
        assert errors.counts[kind] == reference["counts"][name]
    assert errors.counts["classification"] > 50 < errors.counts["missed"]
