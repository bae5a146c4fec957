"""SegmentationEvaluator against NumPy, torchmetrics, and figures worked out by hand."""

import csv
import pickle
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mask_cases import Labels, as_labels, by_numpy, draw, make_index, masks
from torchmetrics.functional.classification import multiclass_jaccard_index

from visionkit.data.mask_index import MaskIndex
from visionkit.errors import DataError
from visionkit.metrics import plots, segmentation_plots
from visionkit.metrics.class_scores import Counts
from visionkit.metrics.pixel_counts import SIDE, count_pixels
from visionkit.metrics.segmentation import WORST, ConfusedPair, SegmentationEvaluator
from visionkit.results import VOID, SemanticMask

X = VOID
TRUTH = [[0, 0, 1], [1, X, X]]
SAID = [[0, 1, 1], [2, 0, 2]]


def give(evaluator: SegmentationEvaluator, said: list[Labels], which: list[int]) -> None:
    ids = [int(evaluator.index.image_ids[i]) for i in which]
    evaluator.update(ids, masks([said[i] for i in which]))


def scored(
    index: MaskIndex, said: list[Labels], batch: int = 4, order: list[int] | None = None
) -> SegmentationEvaluator:
    evaluator = SegmentationEvaluator(index)
    evaluator.detailed = True
    order = list(range(len(said))) if order is None else order
    for start in range(0, len(order), batch):
        give(evaluator, said, order[start : start + batch])
    return evaluator


def everything(evaluator: SegmentationEvaluator) -> dict[str, float]:
    return evaluator.compute() | evaluator.details()


def test_by_hand() -> None:
    index = make_index([as_labels(TRUTH), as_labels([[1]])])
    evaluator = scored(index, [as_labels(SAID), as_labels([[1]])])
    # class 0: one of two found, none wrongly; class 1: two of three, one wrongly; 2: one wrongly
    assert evaluator.confusion().tolist() == [[1, 1, 0, 0], [0, 2, 1, 0], [0, 0, 0, 0]]
    figures = evaluator.compute()
    assert [figures[f"iou/c{k}"] for k in range(3)] == [1 / 2, 2 / 4, 0]
    assert [figures[f"accuracy/c{k}"] for k in range(3)] == [1 / 2, 2 / 3, -1]
    assert [figures[f"dice/c{k}"] for k in range(3)] == [2 / 3, 4 / 6, 0]
    assert figures["miou"] == pytest.approx(1 / 3, abs=1e-15)
    assert figures["pixel_accuracy"] == 3 / 5
    assert figures["mean_accuracy"] == pytest.approx((1 / 2 + 2 / 3) / 2, abs=1e-15)
    assert figures["dice"] == pytest.approx(4 / 9, abs=1e-15)
    assert list(figures)[:5] == ["miou", "pixel_accuracy", "mean_accuracy", "dice", "iou/c0"]
    assert evaluator.most_confused() == [
        ConfusedPair("c0", "c1", 1, 1 / 2),
        ConfusedPair("c1", "c2", 1, 1 / 3),
    ]


@pytest.mark.parametrize("batch", [1, 4, 10])
@pytest.mark.parametrize("seed", range(3))
def test_equal_to_one_matrix_of_numpy(seed: int, batch: int) -> None:
    truths, said = draw(seed)
    figures = scored(make_index(truths, 7), said, batch).compute()
    expected = by_numpy(truths, said, 7)
    assert figures.keys() == expected.keys()
    assert figures == pytest.approx(expected, abs=1e-12, rel=0)
    assert figures["iou/c6"] == figures["dice/c6"] == figures["accuracy/c5"] == -1
    assert figures["iou/c5"] == 0
    assert 0.2 < figures["miou"] < figures["pixel_accuracy"] < 0.8


def test_equal_to_torchmetrics_over_all_pixels() -> None:
    truths, said = draw(7)
    said = [np.where(s == VOID, np.uint8(5), s) for s in said]
    figures = scored(make_index(truths, 7), said).compute()
    true, claim = (
        torch.from_numpy(np.concatenate([m.ravel() for m in kind]).astype(np.int64))
        for kind in (truths, said)
    )
    expected = multiclass_jaccard_index(claim, true, 7, average="none", ignore_index=VOID)
    found = [figures[f"iou/c{k}"] for k in range(6)]
    assert found == pytest.approx(expected[:6].tolist(), abs=1e-6)


def test_batches_order_and_ranks_change_not_one_bit() -> None:
    truths, said = draw(1)
    index = make_index(truths, 7)
    reference = scored(index, said, 1)
    expected = everything(reference)
    assert expected["boundary_f1"] > 0.2
    rng = np.random.default_rng(0)
    for batch in (4, 10, 21):
        order = rng.permutation(len(said)).tolist()
        assert everything(scored(index, said, batch, order)) == expected
    for ranks in (2, 3):
        order = rng.permutation(len(said)).tolist()
        parts = [scored(index, said, 4, order[rank::ranks]).state() for rank in range(ranks)]
        parts.append(scored(index, said, 4, []).state())  # a rank that had nothing to do
        merged = scored(index, said, 4, [2, 3])  # which merging forgets
        merged.merge(pickle.loads(pickle.dumps(parts)))
        assert everything(merged) == expected
        assert [p.place for p in merged.worst()] == [p.place for p in reference.worst()]
        rows, own = merged.rows(), reference.rows()
        assert (rows.image_ids == own.image_ids).all() and (rows.counts == own.counts).all()


def test_what_is_undefined() -> None:
    void = np.full((4, 5), VOID, np.uint8)
    index = make_index([void, void])
    nothing = SegmentationEvaluator(index)
    nothing.detailed = True
    assert set(everything(nothing).values()) == {-1.0}
    assert len(everything(nothing)) == 4 + 9 + 4
    said = [as_labels([[0, 1, 2, 0, VOID]] * 4)] * 2
    assert set(everything(scored(index, said)).values()) == {-1.0}
    assert scored(index, said).worst() == ()


def test_what_is_said_at_void_changes_nothing() -> None:
    truths, said = draw(2)
    index = make_index(truths, 7)
    rng = np.random.default_rng(1)
    other = [
        np.where(t == VOID, rng.choice([0, 3, 6, VOID], t.shape), s).astype(np.uint8)
        for t, s in zip(truths, said, strict=True)
    ]
    assert any((a != b).any() for a, b in zip(said, other, strict=True))
    assert everything(scored(index, other)) == everything(scored(index, said))


def test_said_to_be_void_is_wrong() -> None:
    evaluator = scored(make_index([as_labels([[0, 0, 1, 1]])], 2), [as_labels([[0, X, 1, 1]])])
    assert evaluator.confusion().tolist() == [[1, 0, 1], [0, 2, 0]]
    figures = evaluator.compute()
    assert figures["iou/c0"] == figures["accuracy/c0"] == 0.5
    assert figures["iou/c1"] == 1 and figures["pixel_accuracy"] == 0.75
    assert evaluator.most_confused() == [ConfusedPair("c0", "void", 1, 0.5)]


def test_a_large_picture_counts_by_its_pixels() -> None:
    """Per-picture means would give 0.5: the traps' first."""
    truths = [np.zeros((30, 30), np.uint8), as_labels([[1]])]
    evaluator = scored(make_index(truths, 2), [truths[0], as_labels([[0]])])
    figures = evaluator.compute()
    assert figures["iou/c0"] == 900 / 901 and figures["iou/c1"] == 0
    assert figures["pixel_accuracy"] == 900 / 901


def test_as_many_classes_as_fit() -> None:
    truth = np.arange(256, dtype=np.uint8).reshape(16, 16)
    figures = scored(make_index([truth], 255), [truth[::-1].copy()]).compute()
    assert figures["pixel_accuracy"] == figures["miou"] == 0
    assert scored(make_index([truth], 255), [truth]).compute()["miou"] == 1


@pytest.mark.parametrize(
    ("said", "error", "message"),
    [
        ([[0, 1, 2]], DataError, r"mask0.png: is 3 x 2 pixels, its picture /picture0.png is 3 x 1"),
        ([[0, 1, 2], [0, 3, 0]], ValueError, r"must lie in 0..2"),
    ],
)
def test_what_does_not_fit_is_refused(said: list, error: type, message: str) -> None:
    evaluator = SegmentationEvaluator(make_index([as_labels(TRUTH)]))
    with pytest.raises(error, match=message):
        give(evaluator, [as_labels(said)], [0])
    assert evaluator.compute()["miou"] == -1  # nothing was counted


def test_pictures_come_once_and_from_the_split() -> None:
    index = make_index([as_labels(TRUTH)])
    evaluator = scored(index, [as_labels(SAID)])
    before = evaluator.compute()
    with pytest.raises(ValueError, match="was given twice"):
        give(evaluator, [as_labels(SAID)], [0])
    with pytest.raises(ValueError, match="isn't in the split"):
        evaluator.update([-5], masks([as_labels(SAID)]))
    with pytest.raises(ValueError, match="2 image ids for 1 results"):
        evaluator.update([1, 2], masks([as_labels(SAID)]))
    assert evaluator.compute() == before
    with pytest.raises(ValueError, match="given twice"):
        evaluator.merge([evaluator.state(), evaluator.state()])
    evaluator.reset()
    assert evaluator.compute()["miou"] == -1
    with pytest.raises(ValueError, match="uint8"):
        count_pixels(as_labels(TRUTH), np.zeros((2, 3), np.int64), 3)


def test_boundaries_cost_nothing_unless_they_are_asked_for() -> None:
    truths, said = draw(3, count=6)
    index = make_index(truths, 7)
    evaluator = SegmentationEvaluator(index)
    give(evaluator, said, list(range(6)))
    assert evaluator.details() == {}
    assert evaluator.state().rows.boundaries.size == 0
    evaluator.detailed = True
    with pytest.raises(ValueError, match="before the first update"):
        evaluator.details()
    without = SegmentationEvaluator(index, boundary=0)
    without.detailed = True
    give(without, said, list(range(6)))
    assert without.details() == {}
    with pytest.raises(ValueError, match="boundary must be"):
        SegmentationEvaluator(index, boundary=-0.1)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_report_says_what_the_figures_say(tmp_path: Path) -> None:
    truths, said = draw(5)
    index = make_index(truths, 7, tmp_path)
    evaluator = scored(index, said, 4, list(reversed(range(len(said)))))
    evaluator.report(tmp_path / "report")
    figures = everything(evaluator)
    rows = read(tmp_path / "report" / "classes.csv")
    assert [r["class"] for r in rows] == list(index.classes)
    for kind in ("iou", "dice", "accuracy", "boundary_f1"):
        texts = [r[kind] for r in rows]
        values = [figures[f"{kind}/c{k}"] for k in range(7)]
        assert texts == ["" if v == -1 else f"{v:.6f}" for v in values]
    labelled = sum(int((t != VOID).sum()) for t in truths)
    assert sum(int(r["pixels"]) for r in rows) == labelled
    pictures = read(tmp_path / "report" / "pictures.csv")
    assert [int(r["image_id"]) for r in pictures] == index.image_ids.tolist()
    assert [Path(r["file"]).name for r in pictures[:2]] == ["picture0.png", "picture1.png"]
    accuracy = float((truths[0] == said[0])[truths[0] != VOID].mean())
    assert pictures[0]["pixel_accuracy"] == f"{accuracy:.6f}"
    present = [k for k in range(7) if (truths[0] == k).any()]
    own = by_numpy(truths[:1], said[:1], 7)
    assert float(pictures[0]["miou"]) == pytest.approx(
        np.mean([own[f"iou/c{k}"] for k in present]), abs=1e-6
    )
    assert pictures[3]["miou"] == pictures[3]["pixel_accuracy"] == ""  # all void
    assert pictures[4]["miou"] == "1.000000"
    mious = {i: float(r["miou"]) for i, r in enumerate(pictures) if r["miou"]}
    places = [p.place for p in evaluator.worst()]
    assert len(places) == WORST and places == sorted(mious, key=lambda i: mious[i])[:WORST]
    pairs = read(tmp_path / "report" / "confused_pairs.csv")
    matrix = evaluator.confusion()
    assert sum(int(p["pixels"]) for p in pairs) == matrix.sum() - np.trace(matrix)
    assert {p["predicted"] for p in pairs} >= {"c5", "void"}
    for name in ("confusion_matrix.png", "iou.png", "mistakes.jpg"):
        assert cv2.imread(str(tmp_path / "report" / name)).shape[0] > 200


def test_a_sheet_of_mistakes_only_where_there_are_any(tmp_path: Path) -> None:
    truths = [as_labels(TRUTH), np.full((3, 3), VOID, np.uint8)]
    index = make_index(truths, 3, tmp_path)
    scored(index, [as_labels(SAID), truths[1]]).report(tmp_path)
    sheet = tmp_path / "mistakes.jpg"
    assert sheet.exists()
    for file in tmp_path.glob("picture*.png"):
        file.unlink()
    scored(index, [as_labels(SAID), truths[1]]).report(tmp_path)  # it goes on without them
    assert sheet.exists()
    right = np.where(truths[0] == VOID, np.uint8(0), truths[0])
    scored(index, [right, truths[1]]).report(tmp_path)
    assert not sheet.exists()
    SegmentationEvaluator(index).report(tmp_path)  # nothing was seen


def test_large_pictures_are_kept_small() -> None:
    truth = np.zeros((800, 1000), np.uint8)
    said = truth.copy()
    said[:, :500] = 1
    kept = scored(make_index([truth], 2), [said]).worst()[0].labels
    assert kept.shape == (round(SIDE * 0.8), SIDE)
    assert (kept[:, : SIDE // 2] == 1).all() and not kept[:, SIDE // 2 :].any()
    assert not np.shares_memory(kept, said)


def test_plots_take_any_number_of_classes(tmp_path: Path) -> None:
    for classes in (1, 3, 80, 130):
        names = [f"class ${k}" for k in range(classes)]
        rng = np.random.default_rng(classes)
        matrix = rng.integers(0, 10**7, (classes, classes + 1))
        plots.confusion(tmp_path / "a.png", matrix, names, "percent", rest="void", percent=True)
        right = np.arange(classes)
        totals = Counts(right, right + 5, right + right % 3)
        segmentation_plots.iou_bars(tmp_path / "b.png", totals, names)
        assert cv2.imread(str(tmp_path / "a.png")) is not None
        assert cv2.imread(str(tmp_path / "b.png")).shape[0] < 4000
    none = np.zeros(2, np.int64)
    segmentation_plots.iou_bars(tmp_path / "c.png", Counts(none, none, none), ["a", "b"])
    assert (tmp_path / "c.png").exists()


def test_percentages_are_short() -> None:
    share = np.array([0, 1e-5, 0.0449, 0.0994, 0.0996, 0.996, 1])
    assert plots._percentages(share).tolist() == ["~0", "~0", "4.5", "9.9", "10", "100", "100"]


def test_heavy_packages_load_only_when_needed() -> None:
    code = (
        "import sys, visionkit.metrics.segmentation, visionkit.metrics.segmentation_report\n"
        "heavy = {'torch', 'matplotlib', 'albumentations'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_results_are_taken_as_heads_give_them() -> None:
    evaluator = SegmentationEvaluator(make_index([as_labels(TRUTH)], ("same", "same", "other")))
    result = SemanticMask(as_labels(SAID), ("same", "same", "other"))
    evaluator.update(evaluator.index.image_ids.tolist(), [result])
    assert [k for k in evaluator.compute() if k.startswith("iou")] == [
        "iou/same (0)",
        "iou/same (1)",
        "iou/other",
    ]
