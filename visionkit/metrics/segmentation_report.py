"""Tables and pictures of what was segmented rightly and wrongly."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from visionkit.errors import DataError
from visionkit.geometry import Image, resize_labels
from visionkit.metrics import plots, segmentation_plots, sheets
from visionkit.metrics.pixel_counts import SIDE, Poor
from visionkit.metrics.sheets import Words
from visionkit.metrics.tables import cell, clean, write_csv
from visionkit.render import compare
from visionkit.report import write_picture
from visionkit.results import SemanticMask

if TYPE_CHECKING:
    from visionkit.metrics.segmentation import SegmentationEvaluator

PAIRS = 100
_COLUMNS = 2


def write(folder: Path, evaluator: "SegmentationEvaluator") -> None:
    """Write what :meth:`visionkit.metrics.segmentation.SegmentationEvaluator.report` lists."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [clean(n) for n in evaluator.names]
    _write_classes(folder / "classes.csv", evaluator)
    header: Sequence[str] = ("image_id", "file", "miou", "pixel_accuracy", "labelled_pixels")
    write_csv(folder / "pictures.csv", header, _pictures(evaluator))
    header = ("true", "predicted", "pixels", "share")
    pairs = [[p.truth, p.said, p.pixels, cell(p.share)] for p in evaluator.most_confused(PAIRS)]
    write_csv(folder / "confused_pairs.csv", header, pairs)
    matrix = evaluator.confusion()
    if not matrix[:, -1].any():
        matrix = matrix[:, :-1]
    plots.confusion(
        folder / "confusion_matrix.png",
        matrix,
        names,
        "percent of the row's pixels",
        rest="void",
        percent=True,
    )
    segmentation_plots.iou_bars(folder / "iou.png", evaluator.totals(), names)
    _write_mistakes(folder / "mistakes.jpg", evaluator, names)


def _write_classes(path: Path, evaluator: "SegmentationEvaluator") -> None:
    totals, boundaries = evaluator.totals(), evaluator.boundary_f1()
    columns = {
        "iou": totals.iou,
        "dice": totals.f1,
        "accuracy": totals.recall,
        "precision": totals.precision,
    }
    if boundaries is not None:
        columns["boundary_f1"] = boundaries
    values = [[cell(v) for v in column.tolist()] for column in columns.values()]
    rows = zip(evaluator.names, *values, totals.support.tolist(), strict=True)
    write_csv(path, ("class", *columns, "pixels"), rows)


def _pictures(evaluator: "SegmentationEvaluator") -> Iterator[list[object]]:
    rows, index = evaluator.rows(), evaluator.index
    columns = (rows.mious(), rows.accuracies(), rows.pixels().support.sum(1))
    table = zip(evaluator.positions(), *(c.tolist() for c in columns), strict=True)
    for place, miou, accuracy, pixels in table:
        file = str(index.path(place))
        yield [int(index.image_ids[place]), file, cell(miou), cell(accuracy), pixels]


def _write_mistakes(path: Path, evaluator: "SegmentationEvaluator", names: Sequence[str]) -> None:
    """Draw the worst pictures; a sheet of an earlier report is taken away where there are none."""
    worst, accuracies = evaluator.worst(), evaluator.rows().accuracies()
    if not worst:
        path.unlink(missing_ok=True)
        return
    tiles = [_tile(evaluator, poor, tuple(names)) for poor in worst]
    wrong = int((accuracies[accuracies > -1] < 1).sum())
    which = f"the {len(worst)} worst of {wrong}" if wrong > len(worst) else f"all {wrong}"
    mistaken = f"{which} with mistakes" if wrong > 1 else "the only one with a mistake"
    title = f"{mistaken}, of {len(accuracies)} pictures, by mean IoU"
    write_picture(path, sheets.sheet(tiles, title, _COLUMNS))


def _tile(evaluator: "SegmentationEvaluator", poor: Poor, classes: tuple[str, ...]) -> Image:
    name = clean(Path(evaluator.index.path(poor.place)).name)
    lines = [Words(f"mIoU {poor.miou:.3f}", name)]
    height, width = poor.labels.shape
    try:
        image, truth = evaluator.index.pair(poor.place)
    except (DataError, OSError):  # files may have gone since, and the report goes on
        return sheets.tile(None, lines, SIDE)
    if image.shape[:2] != (height, width):
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        image = np.asarray(small, np.uint8)
        truth = resize_labels(truth, (height, width))
    shown = compare(image, SemanticMask(truth, classes), SemanticMask(poor.labels, classes))
    return sheets.with_caption(shown, lines)
