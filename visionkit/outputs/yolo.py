"""Boxes as YOLO's text files."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np

from visionkit.outputs.base import Entry, Output
from visionkit.report import replacing
from visionkit.results import Detections


class YoloTexts(Output):
    """Writes ``labels/<picture>.txt``, a line for each box: class, place and score.

    The place is ``centre-x centre-y width height`` in parts of the picture. A picture in which
    nothing was found has an empty file. ``classes.txt`` has the names of the classes, in order.

    Args:
        folder: the run's.
        classes: the model's.
    """

    def __init__(self, folder: Path, classes: Sequence[str]) -> None:
        self.folder, self.classes = folder, classes

    def add(self, entry: Entry) -> None:
        """See :class:`Output`."""
        result = cast(Detections, entry.result)
        height, width = entry.image.shape[:2]
        boxes = result.boxes.astype(np.float64) / [width, height, width, height]
        centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
        rows = zip(result.labels.tolist(), centres, sides, result.scores.tolist(), strict=True)
        with replacing(entry.places.below("labels", entry.key, ".txt")) as file:
            for label, centre, side, score in rows:
                figures = (*centre.tolist(), *side.tolist(), score)
                file.write(" ".join([str(label), *(f"{figure:.6f}" for figure in figures)]) + "\n")

    def finish(self) -> None:
        """See :class:`Output`."""
        with replacing(self.folder / "classes.txt") as file:
            file.writelines(f"{name}\n" for name in self.classes)
