"""COCO's JSON, as people have it: the original folders, or Roboflow's.

Layouts that are found, for ``split`` in train, val, test:

- ``annotations/instances_{split}.json`` or ``instances_{split}2017.json``, with the pictures in
  ``images/``, ``images/{split}/``, ``images/{split}2017/``, ``{split}/`` or ``{split}2017/``;
- ``{split}/_annotations.coco.json`` (``valid`` too, for val), with the pictures beside it.
"""

from pathlib import Path
from typing import Any

import numpy as np

from visionkit.data.coco_entries import Entry, box_of, id_problems, is_finite, size_of
from visionkit.data.coco_file import CocoFile, Mended, annotations_of, locate, name_of, open_coco
from visionkit.data.defects import note
from visionkit.data.index import DetectionIndex
from visionkit.data.layout import find_pictures, make_index

_LARGEST_AREA = 1e10
"""Square pixels, above which COCO's score leaves an object out."""


def read_coco(root: str | Path, split: str) -> DetectionIndex | None:
    """Read one split of a set in COCO's format.

    What can be mended is, with a line in ``warnings``: missing or impossible ``iscrowd`` and
    ``area``, missing annotation ids, ids that repeat or are 0 (pycocotools counts a match with 0 as
    a miss). Boxes that are no boxes are dropped. Labels are given in the order of the category ids.

    Args:
        root: the set's folder.
        split: ``train``, ``val`` or ``test``.

    Returns:
        The index, or None where the set has no such split.

    Raises:
        DataError: nothing of the layouts above is there, pictures are missing, or the annotation
            file is broken or contradicts itself. While somebody collects defects, what concerns one
            entry is left out instead, and a split without images is None.
    """
    found = locate(root, split)
    return None if found is None else read_coco_file(*found, split)


def read_coco_file(path: Path, folders: list[Path], split: str) -> DetectionIndex | None:
    """Read one annotation file whose pictures lie in one of ``folders``; see :func:`read_coco`."""
    file = open_coco(path, split)
    if file is None:
        return None
    reader = _Annotations(file)
    for i, annotation in enumerate(file.annotations):
        reader.take(i, annotation)
    ids = reader.usable_ids()
    folder, missing = find_pictures(path, file.names, folders)
    index = make_index(
        files=[f"{folder}/{name}" for name in file.names],
        image_ids=file.image_ids,
        sizes=[size_of(image) for image in file.images],
        owner=reader.owner,
        boxes=reader.boxes,
        labels=reader.labels,
        areas=reader.areas,
        crowd=reader.crowd,
        annotation_ids=ids,
        classes=file.classes,
        category_ids=file.category_ids,
        mended=[f"{path}: {line}" for line in [*file.told, *reader.told()]],
        source=str(path),
        where=lambda m: (str(path), reader.name(m)),
    )
    return index.only(np.array([name not in missing for name in file.names])) if missing else index


class _Annotations:
    """The annotations of a file that are boxes, column by column."""

    def __init__(self, file: CocoFile) -> None:
        self.file = file
        self.owner: list[int] = []
        self.boxes: list[list[float]] = []
        self.labels: list[int] = []
        self.areas: list[float] = []
        self.crowd: list[bool] = []
        self.ids: list[Any] = []
        self.numbers: list[int] = []
        self.dropped = 0
        self.renumbered = False
        self.mended = Mended(file.path)

    def take(self, number: int, annotation: Entry) -> None:
        """Add an annotation, unless it can't be used."""
        place = self.file.place(number, annotation)
        if place is None:
            return
        box = box_of(annotation)
        if box is None:
            self.dropped += 1
            where = name_of(annotation.get("id"), number)
            cause = f"{where} has no usable bbox: {annotation.get('bbox')!r}"
            mend = "give it 4 finite numbers, no negative size"
            note("bad-box", self.file.path, cause, mend, "dropped")
            return
        self.owner.append(place[0])
        self.boxes.append(box)
        self.labels.append(place[1])
        self.areas.append(self._area(annotation.get("area"), box))
        self.crowd.append(self.mended.is_crowd(annotation.get("iscrowd")))
        self.ids.append(annotation.get("id"))
        self.numbers.append(number)

    def _area(self, given: object, box: list[float]) -> float:
        if is_finite(given) and 0 <= given <= _LARGEST_AREA:
            return given
        self.mended.add("bad-area" if is_finite(given) else "missing-area")
        return min(box[2] * box[3], _LARGEST_AREA)

    def name(self, m: int) -> str:
        """What to call annotation ``m`` of the columns."""
        return name_of(self.ids[m], self.numbers[m])

    def usable_ids(self) -> list[int]:
        """The annotations' ids, or other ones if these can't be used."""
        problems = id_problems(self.ids)
        for kind, cause in problems.items():
            note(kind, self.file.path, cause, "number the annotations from 1", "mended")
        self.renumbered = bool(problems)
        return list(range(1, len(self.ids) + 1)) if problems else self.ids

    def told(self) -> list[str]:
        """What was dropped and mended, in words."""
        told = []
        if self.dropped:
            what = "without a usable bbox (4 finite numbers, no negative size): dropped"
            told.append(f"{annotations_of(self.dropped)} {what}")
        told += self.mended.lines()
        if self.renumbered:
            what = "had missing, repeated or zero ids: all numbered from 1"
            told.append(f"{annotations_of(len(self.ids))} {what}")
        return told
