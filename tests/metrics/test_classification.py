"""ClassificationEvaluator against torchmetrics, and against figures worked out by hand."""

import csv
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torchmetrics.functional import classification as reference

from visionkit.data.class_index import ClassIndex
from visionkit.data.strings import StringTable
from visionkit.metrics import plots, sheets
from visionkit.metrics.class_scores import average_precision, calibration, true_ranks
from visionkit.metrics.classification import ClassificationEvaluator, ClassRow
from visionkit.results import Classification


def make_index(
    labels: NDArray[np.int64] | NDArray[np.bool_],
    classes: int | tuple[str, ...] = 3,
    files: list[str] | None = None,
) -> ClassIndex:
    count = len(labels)
    names = classes if isinstance(classes, tuple) else tuple(f"c{k}" for k in range(classes))
    shades = np.arange(count, dtype=np.uint8)[:, None, None]
    return ClassIndex(
        classes=names,
        image_ids=np.random.default_rng(count).permutation(10 * count)[:count].astype(np.int64),
        labels=labels,
        files=StringTable(files) if files else None,
        pixels=None if files else np.broadcast_to(shades, (count, 28, 28)).copy(),
    )


def scored(
    index: ClassIndex, probabilities: NDArray[np.floating], bins: int = 15
) -> ClassificationEvaluator:
    evaluator = ClassificationEvaluator(index, bins)
    give(evaluator, index, probabilities, range(len(index)))
    return evaluator


def give(
    evaluator: ClassificationEvaluator,
    index: ClassIndex,
    probabilities: NDArray[np.floating],
    which: "range | list[int]",
) -> None:
    rows = [
        Classification(probabilities[i].astype(np.float32), index.classes, index.exclusive)
        for i in which
    ]
    evaluator.update([int(index.image_ids[i]) for i in which], rows)


def evaluate(
    labels: list[int] | list[list[int]], probabilities: list[list[float]], bins: int = 15
) -> ClassificationEvaluator:
    truth = np.array(labels, bool if isinstance(labels[0], list) else np.int64)
    said = np.array(probabilities, np.float32)
    return scored(make_index(truth, said.shape[1]), said, bins)


def draw_one(seed: int, count: int = 200, classes: int = 9) -> tuple[ClassIndex, NDArray]:
    """Softmax that is right about half the time; two of the classes never occur."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes - 2, count)
    logits = rng.normal(size=(count, classes)) * 2
    logits[np.arange(count), labels] += 2
    logits[:, -1] = -30  # nor is the last one ever said
    said = torch.tensor(logits).softmax(1).numpy().astype(np.float32)
    return make_index(labels, classes), said


def draw_many(seed: int, count: int = 150, classes: int = 6) -> tuple[ClassIndex, NDArray]:
    rng = np.random.default_rng(seed)
    labels = rng.random((count, classes)) < 0.3
    logits = rng.normal(size=(count, classes)) + 2 * (labels - 0.5)
    said = torch.tensor(logits).sigmoid().numpy()
    return make_index(labels, classes), (np.round(said * 64) / 64).astype(np.float32)


@pytest.mark.parametrize("seed", range(5))
def test_one_class_a_picture_against_torchmetrics(seed: int) -> None:
    index, said = draw_one(seed)
    figures = scored(index, said).compute()
    p, t, k = torch.tensor(said), torch.tensor(index.labels), len(index.classes)
    expected = {
        "accuracy": reference.multiclass_accuracy(p, t, k, average="micro"),
        "top5": reference.multiclass_accuracy(p, t, k, average="micro", top_k=5),
        "macro_f1": reference.multiclass_f1_score(p, t, k, average="macro"),
        "ece": reference.multiclass_calibration_error(p, t, k, n_bins=15, norm="l1"),
    }
    for name, value in expected.items():
        assert figures[name] == pytest.approx(float(value), abs=2e-6), name
    assert 0.3 < figures["accuracy"] < figures["top5"] < 1
    singles = reference.multiclass_f1_score(p, t, k, average="none").tolist()
    assert figures["f1/c8"] == -1  # neither true nor said
    assert [figures[f"f1/c{c}"] for c in range(8)] == pytest.approx(singles[:8], abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_several_classes_a_picture_against_torchmetrics(seed: int) -> None:
    index, said = draw_many(seed)
    said[said == 0.5] = 0.51  # torchmetrics says a class above a half, visionkit from a half on
    figures = scored(index, said, 7).compute()
    p, t, k = torch.tensor(said), torch.tensor(index.labels).long(), len(index.classes)
    expected = {
        "accuracy": reference.multilabel_exact_match(p, t, k),
        "macro_f1": reference.multilabel_f1_score(p, t, k, average="macro"),
        "micro_f1": reference.multilabel_f1_score(p, t, k, average="micro"),
        "mAP": reference.multilabel_average_precision(p, t, k, average="macro"),
        "ece": reference.binary_calibration_error(p.flatten(), t.flatten(), n_bins=7, norm="l1"),
    }
    for name, value in expected.items():
        assert figures[name] == pytest.approx(float(value), abs=2e-6), name
    assert figures["top5"] == -1


def test_one_class_a_picture_by_hand() -> None:
    evaluator = evaluate(
        [0, 0, 1, 2],
        [[0.75, 0.25, 0, 0], [0.25, 0.75, 0, 0], [0, 1, 0, 0], [0.5, 0.25, 0.25, 0]],
        bins=4,
    )
    figures = evaluator.compute()
    # class 0: said twice, true twice, right once; 1: twice, once, once; 2 is never said
    assert figures["f1/c0"] == pytest.approx(2 / 4)
    assert figures["f1/c1"] == pytest.approx(2 / 3)
    assert figures["f1/c2"] == 0
    assert figures["f1/c3"] == -1
    assert figures["macro_f1"] == pytest.approx((1 / 2 + 2 / 3 + 0) / 3)
    assert figures["accuracy"] == 0.5
    assert figures["top5"] == 1  # of four classes
    # .5 wrong; .75 once right, once wrong; 1 right
    assert figures["ece"] == pytest.approx((1 * 0.5 + 2 * 0.25 + 1 * 0) / 4)
    assert evaluator.per_class()[:3] == [
        ClassRow("c0", 0.5, 0.5, 0.5, 2),
        ClassRow("c1", 0.5, 1.0, pytest.approx(2 / 3), 1),
        ClassRow("c2", -1.0, 0.0, 0.0, 1),
    ]
    assert evaluator.confusion().tolist() == [
        [1, 1, 0, 0],
        [0, 1, 0, 0],
        [1, 0, 0, 0],
        [0, 0, 0, 0],
    ]
    assert evaluator.most_confused() == [("c0", "c1", 1, 0.5), ("c2", "c0", 1, 1.0)]
    assert len(evaluator.most_confused(1)) == 1
    names = ["accuracy", "top5", "macro_f1", "ece", "f1/c0", "f1/c1", "f1/c2", "f1/c3"]
    assert list(figures) == names
    assert (evaluator.monitor, evaluator.mode) == ("accuracy", "max")


def test_a_class_that_is_said_but_never_true_counts_as_zero() -> None:
    figures = evaluate([0, 0], [[0.9, 0.1, 0], [0.2, 0.8, 0]]).compute()
    assert figures["f1/c1"] == 0
    assert figures["f1/c2"] == -1
    assert figures["macro_f1"] == pytest.approx((2 / 3 + 0) / 2)


def test_several_classes_a_picture_by_hand() -> None:
    evaluator = evaluate(
        [[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 0]],
        [[0.9, 0.2, 0.1], [0.4, 0.5, 0.8], [0, 0, 0], [0.6, 0.7, 0]],
        bins=1,
    )
    figures = evaluator.compute()
    assert figures["accuracy"] == 2 / 4  # pictures 0 and 2
    assert figures["f1/c0"] == pytest.approx(2 / 4)  # right 1, said 2, true 2
    assert figures["f1/c1"] == 1  # one of them at 0.5
    assert figures["f1/c2"] == 0
    assert figures["macro_f1"] == pytest.approx(0.5)
    assert figures["micro_f1"] == pytest.approx(2 * 3 / (5 + 4))
    # class 0 finds its pictures at places 1 and 3, class 1 at 1 and 2; class 2 has none
    assert figures["mAP"] == pytest.approx(((1 + 2 / 3) / 2 + 1) / 2)
    assert figures["ece"] == pytest.approx(abs(4 - 4.2) / 12)
    assert evaluator.confusion().tolist() == [[1, 0, 1], [0, 2, 0], [0, 0, 0]]
    assert evaluator.most_confused() == [("c0", "c2", 1, 0.5)]
    assert evaluator.monitor == "macro_f1"
    assert ClassificationEvaluator.monitor == "accuracy"
    order = np.argsort(-evaluator.verdicts().wrongness(), kind="stable").tolist()
    assert order[:2] == [1, 3]
    worst = [evaluator.verdicts().mistake(i) for i in order[:2]]
    assert [(m.label, m.missed) for m in worst] == [(2, False), (0, False)]


@pytest.mark.parametrize("draw", [draw_one, draw_many])
def test_order_batches_and_ranks_change_nothing(draw) -> None:
    index, said = draw(3)
    whole = scored(index, said)
    rng = np.random.default_rng(0)
    ranks = [ClassificationEvaluator(index) for _ in range(3)]
    left = rng.permutation(len(index)).tolist()
    while left:
        size = int(rng.integers(1, 9))
        rank = ranks[int(rng.integers(3))]
        give(rank, index, said, left[:size])
        left = left[size:]
    states = [rank.state() for rank in ranks]
    for rank in ranks:
        rank.merge(states)
        assert rank.compute() == whole.compute()
        assert rank.most_confused() == whole.most_confused()
        assert rank.verdicts().wrongness().tolist() == whole.verdicts().wrongness().tolist()
    with pytest.raises(ValueError, match="given twice"):
        ranks[0].merge([states[0], states[0]])


def test_only_pictures_seen_count() -> None:
    index, said = draw_one(1)
    part = ClassificationEvaluator(index)
    give(part, index, said, list(range(0, 200, 3)))
    assert part.compute()["accuracy"] == np.mean(said.argmax(1)[::3] == index.labels[::3])
    assert sum(row.support for row in part.per_class()) == 67
    give(part, index, said, [i for i in range(200) if i % 3])
    assert part.compute() == scored(index, said).compute()
    part.reset()
    assert set(part.compute().values()) == {-1.0}


def test_equal_probabilities_fall_to_the_lower_class() -> None:
    evaluator = evaluate([0, 1], [[0.5, 0.5], [0.5, 0.5]])
    assert evaluator.confusion().tolist() == [[1, 0], [1, 0]]
    flat = np.full((7, 7), 1 / 7, np.float32)
    assert true_ranks(flat, np.arange(7)).tolist() == list(range(7))
    assert scored(make_index(np.arange(7), 7), flat).compute()["top5"] == 5 / 7


def test_bins_contain_their_upper_edge() -> None:
    confidence = np.array([0.0, 0.5, 0.5000001, 1.0])
    found = calibration(confidence, np.array([True, False, True, True]), 2)
    assert found.counts.tolist() == [2, 2]
    assert found.confidence == pytest.approx([0.25, 0.75], abs=1e-6)
    assert found.accuracy.tolist() == [0.5, 1.0]
    assert found.error == pytest.approx(0.25, abs=1e-6)
    accuracy, mean = found.overall()
    assert (accuracy, mean) == (0.75, pytest.approx(0.5, abs=1e-6))
    # all edges of 15 bins, as float32 has them, lie in some bin
    edges = np.linspace(0, 1, 16).astype(np.float32)
    assert calibration(edges, np.ones(16, bool), 15).counts.sum() == 16


def test_average_precision_by_hand() -> None:
    truth = np.array([True, False, True, False])
    assert average_precision(np.array([4.0, 3, 2, 1]), truth) == pytest.approx((1 + 2 / 3) / 2)
    # the middle two pass together
    tied = np.array([4.0, 2, 2, 1])
    assert average_precision(tied, truth) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(tied, ~truth) == pytest.approx((1 / 3 + 2 / 4) / 2)
    assert average_precision(np.zeros(4), truth) == 0.5
    assert average_precision(tied, np.zeros(4, bool)) == -1


def test_what_is_not_finite_is_wrong() -> None:
    nan = float("nan")
    evaluator = evaluate([0, 0, 1], [[nan, 0.2], [float("inf"), 0], [0.25, 0.75]])
    figures = evaluator.compute()
    assert figures["accuracy"] == figures["top5"] == pytest.approx(1 / 3)
    assert figures["ece"] == pytest.approx(0.25 / 3)
    assert figures["f1/c0"] == 0
    assert evaluator.confusion().tolist() == [[0, 0], [0, 1]]
    assert evaluator.per_class()[0] == ClassRow("c0", -1.0, 0.0, 0.0, 2)
    several = evaluate([[0, 0], [1, 0]], [[nan, 0.9], [0.9, 0.1]])
    assert several.compute()["accuracy"] == 0.5
    assert several.compute()["mAP"] == 1
    assert several.verdicts().counts.said.tolist() == [1, 0]
    assert several.verdicts().wrongness().tolist() == [0, -1]


def test_results_that_cannot_be_are_refused() -> None:
    index = make_index(np.array([0, 1]), 2)
    evaluator = ClassificationEvaluator(index)
    first = int(index.image_ids[0])
    good = Classification(np.array([0.5, 0.5], np.float32))
    evaluator.update([first], [good])
    with pytest.raises(ValueError, match=f"image {first} was given twice"):
        evaluator.update([first], [good])
    with pytest.raises(ValueError, match="image 999 isn't in the split"):
        evaluator.update([999], [good])
    with pytest.raises(ValueError, match="2 image ids for 1 results"):
        evaluator.update([1, 2], [good])
    with pytest.raises(ValueError, match="3 probabilities for 2 classes"):
        evaluator.update([0], [Classification(np.zeros(3, np.float32))])
    with pytest.raises(ValueError, match=r"must lie in 0\.\.1"):
        evaluator.update([0], [Classification(np.array([7.5, -3], np.float32))])
    with pytest.raises(ValueError, match="bins"):
        ClassificationEvaluator(index, 0)


def table(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


PICTURES = ("confusion_matrix.png", "reliability.png")


def test_report_tells_every_picture(tmp_path: Path) -> None:
    evaluator = evaluate([1, 0, 0], [[0.75, 0.25, 0], [0.5, 0.25, 0.25], [0.125, 0.875, 0]])
    evaluator.report(tmp_path / "new")
    folder = tmp_path / "new"
    ids = evaluator.index.image_ids.tolist()
    assert table(folder / "predictions.csv") == [
        ["image_id", "file", "true", "predicted", "confidence"],
        [str(ids[0]), "", "c1", "c0", "0.75"],
        [str(ids[1]), "", "c0", "c0", "0.5"],
        [str(ids[2]), "", "c0", "c1", "0.875"],
    ]
    assert table(folder / "classes.csv") == [
        ["class", "precision", "recall", "f1", "support"],
        ["c0", "0.500000", "0.500000", "0.500000", "2"],
        ["c1", "0.000000", "0.000000", "0.000000", "1"],
        ["c2", "", "", "", "0"],
    ]
    assert table(folder / "confused_pairs.csv")[1:] == [
        ["c0", "c1", "1", "0.500000"],
        ["c1", "c0", "1", "1.000000"],
    ]
    for name in PICTURES:
        assert (folder / name).read_bytes()[:4] == b"\x89PNG"
    sheet = cv2.imread(str(folder / "mistakes.jpg"))
    # two pictures of shades 2 and 0, the surest first
    assert sheet.shape[1] >= 2 * sheets.SIDE
    assert sheet[100, 100].mean() == pytest.approx(2, abs=2)
    assert len(list(folder.iterdir())) == 6


def test_report_of_several_classes(tmp_path: Path) -> None:
    evaluator = evaluate([[1, 1], [0, 0]], [[0.75, 0.5], [0.25, 0.75]])
    evaluator.report(tmp_path)
    rows = table(tmp_path / "predictions.csv")[1:]
    assert [r[2:] for r in rows] == [["c0|c1", "c0|c1", "0.75|0.5"], ["", "c1", "0.75"]]
    assert (tmp_path / "mistakes.jpg").exists()


def test_a_sheet_of_mistakes_goes_when_there_are_none(tmp_path: Path) -> None:
    evaluate([0, 1], [[0, 1], [0, 1]]).report(tmp_path)
    assert (tmp_path / "mistakes.jpg").exists()
    evaluate([0, 1], [[1, 0], [0, 1]]).report(tmp_path)
    assert not (tmp_path / "mistakes.jpg").exists()
    assert table(tmp_path / "confused_pairs.csv") == [["true", "predicted", "pictures", "share"]]


def test_files_that_cannot_be_read_do_not_stop_a_report(tmp_path: Path) -> None:
    files = [str(tmp_path / name) for name in ("broken.png", "missing.jpg", "good.png")]
    Path(files[0]).write_bytes(b"\x89PNG\r\n\x1a\nno more")
    cv2.imwrite(files[2], np.full((300, 200, 3), 255, np.uint8))
    index = make_index(np.array([0, 0, 0]), ("a $\\bad$ name", "b\udcff"), files)
    said = np.array([[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]])
    scored(index, said).report(tmp_path / "out")
    sheet = cv2.imread(str(tmp_path / "out" / "mistakes.jpg"))
    third = sheet[40:236, -sheets.SIDE - 4 :]
    assert (third > 250).all(-1).sum() == pytest.approx(196 * 131, rel=0.03)
    assert [row[1] for row in table(tmp_path / "out" / "predictions.csv")[1:]] == files


@pytest.mark.parametrize(("count", "classes"), [(0, 3), (4, 1), (40, 1000)])
def test_any_number_of_pictures_and_classes(count: int, classes: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    said = rng.dirichlet(np.ones(classes), max(count, 1))
    index = make_index(rng.integers(0, classes, max(count, 1)), classes)
    evaluator = ClassificationEvaluator(index)
    give(evaluator, index, said, range(count))
    figures = evaluator.compute()
    assert all(-1 <= v <= 1 for v in figures.values())
    if count == 0:
        assert set(figures.values()) == {-1.0}
    if classes == 1:
        assert (figures["accuracy"], figures["top5"], figures["ece"]) == (1, 1, 0)
    evaluator.report(tmp_path)
    assert len(table(tmp_path / "classes.csv")) == classes + 1
    assert len(table(tmp_path / "predictions.csv")) == count + 1


def test_classes_of_one_name_stay_apart() -> None:
    index = make_index(np.array([0, 1]), ("same", "same"))
    figures = scored(index, np.array([[1, 0], [1, 0]])).compute()
    assert figures["f1/same (0)"] == pytest.approx(2 / 3)
    assert figures["f1/same (1)"] == 0


def test_tiles_enlarge_without_blur() -> None:
    image = np.random.default_rng(0).integers(0, 255, (30, 20, 3)).astype(np.uint8)
    tile = sheets.tile(image, [sheets.Words("truth", "a name that is much too long " * 3)])
    shown = tile[8:188, 38:158]
    assert (shown.reshape(30, 6, 20, 6, 3) == image[:, None, :, None]).all()
    assert tile.shape[1] == 196


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (900, 7), (196, 196)])
def test_tiles_take_any_size(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 200, np.uint8)
    lines = [sheets.Words("truth", "cat", None, "0.97")] * 2
    tile = sheets.tile(image, lines)
    assert tile.shape == sheets.tile(None, lines).shape == (246, 196, 3)
    assert (tile[:196] == 200).all(-1).any()


def long_lines(path: Path) -> int:
    dark = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) < 110
    rows = dark.mean(1) > 0.4
    return int(rows[0]) + int((rows[1:] & ~rows[:-1]).sum())


@pytest.mark.parametrize("rows", [3, 150])
def test_confusion_plots_with_and_without_background(rows: int, tmp_path: Path) -> None:
    matrix = np.zeros((rows, rows), np.int64)
    names = [f"class {k}" for k in range(rows)]
    plots.confusion(tmp_path / "a.png", matrix, names)
    plots.confusion(tmp_path / "b.png", matrix, names[:-1])
    # above and below the matrix, and before the background
    assert [long_lines(tmp_path / name) for name in ("a.png", "b.png")] == [2, 3]


def test_of_many_classes_the_confused_pairs_are_drawn() -> None:
    matrix = np.diag(np.full(6, 99))
    matrix[4, 1] = 7
    matrix[3, 4] = 5
    matrix[0, 2] = 2
    assert plots._most_confused(matrix[:5, :5], 5, 2) == [1, 4]
    assert plots._most_confused(matrix, 5, 3) == [1, 3, 4, 5]  # and the background
    assert len(plots._most_confused(np.eye(200, dtype=np.int64), 200, 60)) == 60


def test_heavy_packages_load_only_when_needed() -> None:
    code = (
        "import sys, visionkit.metrics.classification, visionkit.metrics.class_report\n"
        "heavy = {'torch', 'matplotlib', 'albumentations'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
