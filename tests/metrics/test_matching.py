"""Matching at one IoU against pycocotools, and the best F1 against trying every confidence."""

import numpy as np
import pytest
from coco_cases import draw_arrays, draw_rules, scene

from visionkit.metrics import matching
from visionkit.metrics.coco_curves import Rules, Seen, pycocotools_curves
from visionkit.metrics.f1 import best_f1, f1_curves
from visionkit.metrics.matching import average_precision, match


@pytest.mark.parametrize("part", range(4))
def test_equals_pycocotools(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # so few pairs at a time that pictures are cut in two
    monkeypatch.setattr(matching, "_PAIRS", 7)
    found = 0
    for seed in range(25 * part, 25 * (part + 1)):
        index, seen = draw_arrays(seed)
        rules = draw_rules(seed)
        for iou in (0.5, rules.iou_thresholds[0]):
            asked = Rules(rules.max_detections[-1:], (iou,), rules.areas[:1])
            curves = pycocotools_curves(index, seen, asked)
            ours = match(index, seen, rules, iou, least=min(0.1, iou))
            counted = ~ours.ignored
            ap = average_precision(ours.labels[counted], ours.right[counted], ours.counts)
            ranks = np.argsort(np.argsort(index.category_ids))
            expected = curves.precision[0, :, ranks, 0, 0].mean(1)
            assert ap == pytest.approx(expected, abs=1e-12), f"seed {seed}, IoU {iou}"
            hits = np.bincount(ours.labels[ours.right], minlength=len(index.classes))
            recall = np.where(ours.counts > 0, hits / np.maximum(ours.counts, 1), -1)
            assert recall == pytest.approx(curves.recall[0, ranks, 0, 0], abs=0)
            found += hits.sum()
    assert found > 30


def test_of_equal_overlaps_the_last_truth_is_taken() -> None:
    truth = [(0, [0, 0, 10, 10], False), (0, [4, 0, 14, 10], False)]
    # the surer lies between both, the other near the last alone
    evaluator = scene(truth, [(0, [6, 0, 16, 10], 0.5), (0, [2, 0, 12, 10], 0.9)])
    assert evaluator.matches().truth.tolist() == [1, -1]
    assert evaluator.compute()["AP50"] == pytest.approx(51 / 101)


def above(seen: Seen, confidence: float) -> Seen:
    """Only the detections of that score or more."""
    keep = seen.scores >= confidence
    owner = np.repeat(np.arange(len(seen.counts)), seen.counts)
    counts = np.bincount(owner[keep], minlength=len(seen.counts)).astype(np.int64)
    return Seen(seen.image_ids, counts, seen.boxes[keep], seen.scores[keep], seen.labels[keep])


def test_best_f1_is_the_best_of_all_confidences() -> None:
    compared = 0
    for seed in range(40):
        index, seen = draw_arrays(seed)
        matches = match(index, seen, Rules())
        tried = np.unique(seen.scores)
        f1 = np.full((len(tried), len(index.classes)), -1.0)
        for n, confidence in enumerate(tried):
            part = match(index, above(seen, confidence), Rules())
            right, wrong = (
                np.bincount(part.labels[which], minlength=len(index.classes))
                for which in (part.right, part.wrong)
            )
            some = part.counts > 0
            f1[n, some] = (2 * right / np.maximum(right + wrong + part.counts, 1))[some]
        best = best_f1(matches)
        assert np.array_equal(f1_curves(matches, tried), f1)
        for k in range(len(index.classes)):
            if matches.counts[k] == 0:
                assert best.f1[k] == best.confidence[k] == -1
            elif len(tried) == 0 or f1[:, k].max() == 0:
                assert (best.f1[k], best.confidence[k]) == (0, -1)
            else:
                assert best.f1[k] == f1[:, k].max()
                assert best.confidence[k] == tried[f1[:, k] == f1[:, k].max()].max()
                compared += 1
    assert compared > 30


def test_nothing_at_all() -> None:
    index, seen = draw_arrays(0)
    none = Seen.join([])
    matches = match(index, none, Rules())
    assert matches.counts.tolist() == [0] * len(index.classes)
    assert best_f1(matches).f1.tolist() == [-1] * len(index.classes)
    empty = Seen(seen.image_ids, 0 * seen.counts, none.boxes, none.scores, none.labels)
    matches = match(index, empty, Rules())
    assert matches.counts.sum() == (~index.crowd & (index.areas <= 1e10)).sum()
    assert set(best_f1(matches).f1.tolist()) <= {0.0, -1.0}
