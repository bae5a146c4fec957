"""COCO's JSON, as people have it: the original folders, or Roboflow's.

Layouts that are found, for ``split`` in train, val, test:

- ``annotations/instances_{split}.json`` or ``instances_{split}2017.json``, with the pictures in
  ``images/``, ``images/{split}/``, ``images/{split}2017/``, ``{split}/`` or ``{split}2017/``;
- ``{split}/_annotations.coco.json`` (``valid`` too, for val), with the pictures beside it.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from visionkit.data.coco_entries import (
    Entry,
    box_of,
    categories_of,
    id_problems,
    images_of,
    is_finite,
    load,
    size_of,
)
from visionkit.data.defects import lose, note
from visionkit.data.index import DetectionIndex
from visionkit.data.layout import (
    SPLITS,
    check_root,
    find_pictures,
    listed,
    lose_split,
    make_index,
    split_names,
)
from visionkit.errors import DataError

_MENDED = {
    "missing-area": ("without an area: width * height taken", "add it to each"),
    "bad-area": ("with an area below 0 or above 1e10: width * height taken", "mend it"),
    "missing-iscrowd": ("without iscrowd: taken as 0", "add it to each"),
    "text-iscrowd": ("with iscrowd as text: taken as the number", "write it without quotes"),
    "bad-iscrowd": ("with an iscrowd other than 0 and 1: taken as 0", "write 0 or 1"),
}
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
    root = check_root(root)
    found = _find(root, split)
    if found is None:
        if not any(_find(root, other) for other in SPLITS):
            raise DataError(
                f"{root}: no COCO data set: neither annotations/instances_{split}.json, "
                f"annotations/instances_{split}2017.json nor {split}/_annotations.coco.json is "
                "there; set data.root to the folder that holds them, or choose another data="
            )
        return None
    return read_coco_file(*found, split)


def _find(root: Path, split: str) -> tuple[Path, list[Path]] | None:
    """The annotation file of a split, and where its pictures may be."""
    for name in split_names(split):
        for year in ("", "2017"):
            path = root / "annotations" / f"instances_{name}{year}.json"
            if path.is_file():
                spellings = dict.fromkeys(
                    f"{n}{y}" for n in split_names(split) for y in (year, "", "2017")
                )
                folders = [root / "images" / s for s in spellings] + [root / s for s in spellings]
                return path, [*folders, root / "images", root]
    for name in split_names(split):
        path = root / name / "_annotations.coco.json"
        if path.is_file():
            return path, [path.parent]
    return None


def read_coco_file(path: Path, folders: list[Path], split: str) -> DetectionIndex | None:
    """Read one annotation file whose pictures lie in one of ``folders``; see :func:`read_coco`."""
    entries, annotations, categories = load(path)
    if not entries:
        cause = "lists no images; an empty split can't be used"
        lose_split(split, path, cause, "remove the file")
        return None
    images, image_ids, names = images_of(path, entries)
    if not images:
        raise DataError(f"{path}: none of its {len(entries)} images can be used; mend their ids")
    category_ids, classes, label_of, told = categories_of(path, categories, annotations)
    reader = _Annotations(path, entries, image_ids, category_ids, label_of)
    for i, annotation in enumerate(annotations):
        reader.take(i, annotation)
    ids = reader.usable_ids()
    folder, missing = find_pictures(path, names, folders)
    index = make_index(
        files=[f"{folder}/{name}" for name in names],
        image_ids=image_ids,
        sizes=[size_of(image) for image in images],
        owner=reader.owner,
        boxes=reader.boxes,
        labels=reader.labels,
        areas=reader.areas,
        crowd=reader.crowd,
        annotation_ids=ids,
        classes=classes,
        category_ids=category_ids,
        mended=[f"{path}: {line}" for line in [*told, *reader.told()]],
        source=str(path),
        where=lambda m: (str(path), reader.name(m)),
    )
    return index.only(np.array([name not in missing for name in names])) if missing else index


class _Annotations:
    """The annotations of a file that are boxes, column by column.

    Args:
        path: the file, for messages.
        entries: its images.
        image_ids: those that can be used.
        category_ids: the classes' ids.
        label_of: the label of each category id.
    """

    def __init__(
        self,
        path: Path,
        entries: list[Entry],
        image_ids: list[int],
        category_ids: list[int],
        label_of: dict[int, int],
    ) -> None:
        self.path, self.category_ids, self.label_of = path, category_ids, label_of
        self.position = {image_id: i for i, image_id in enumerate(image_ids)}
        self.given_up = {repr(image.get("id")) for image in entries} - set(map(repr, image_ids))
        self.owner: list[int] = []
        self.boxes: list[list[float]] = []
        self.labels: list[int] = []
        self.areas: list[float] = []
        self.crowd: list[bool] = []
        self.ids: list[Any] = []
        self.numbers: list[int] = []
        self.dropped = 0
        self.renumbered = False
        self.mended: Counter[str] = Counter()

    def take(self, number: int, annotation: Entry) -> None:
        """Add an annotation, unless it can't be used."""
        path, label_of = self.path, self.label_of
        where = _name(annotation.get("id"), number)
        category, image = annotation.get("category_id"), annotation.get("image_id")
        if type(category) is not int or category not in label_of:
            lose(
                "undeclared-category",
                path,
                f"{where} has category id {category!r}, which isn't declared "
                f"(declared: {listed(self.category_ids)})",
                "add it to categories or remove the annotation",
            )
            return
        if type(image) is not int or image not in self.position:
            if repr(image) not in self.given_up:
                lose(
                    "dangling-annotation",
                    path,
                    f"{where} has image id {image!r}, which isn't among the images",
                    "add the image or remove the annotation",
                )
            return
        box = box_of(annotation)
        if box is None:
            self.dropped += 1
            cause = f"{where} has no usable bbox: {annotation.get('bbox')!r}"
            mend = "give it 4 finite numbers, no negative size"
            note("bad-box", path, cause, mend, "dropped")
            return
        self.owner.append(self.position[image])
        self.boxes.append(box)
        self.labels.append(label_of[category])
        self.areas.append(self._area(annotation.get("area"), box))
        self.crowd.append(self._is_crowd(annotation.get("iscrowd")))
        self.ids.append(annotation.get("id"))
        self.numbers.append(number)

    def _area(self, given: object, box: list[float]) -> float:
        if is_finite(given) and 0 <= given <= _LARGEST_AREA:
            return given
        self.mended["bad-area" if is_finite(given) else "missing-area"] += 1
        return min(box[2] * box[3], _LARGEST_AREA)

    def _is_crowd(self, given: object) -> bool:
        if isinstance(given, int | float) and given in (0, 1):
            return bool(given)
        if given is None:
            self.mended["missing-iscrowd"] += 1
        else:
            self.mended["text-iscrowd" if given in ("0", "1") else "bad-iscrowd"] += 1
        return given == "1"

    def name(self, m: int) -> str:
        """What to call annotation ``m`` of the columns."""
        return _name(self.ids[m], self.numbers[m])

    def usable_ids(self) -> list[int]:
        """The annotations' ids, or other ones if these can't be used."""
        problems = id_problems(self.ids)
        for kind, cause in problems.items():
            note(kind, self.path, cause, "number the annotations from 1", "mended")
        self.renumbered = bool(problems)
        return list(range(1, len(self.ids) + 1)) if problems else self.ids

    def told(self) -> list[str]:
        """What was dropped and mended, in words."""
        told = {}
        if self.dropped:
            told["without a usable bbox (4 finite numbers, no negative size): dropped"] = (
                self.dropped
            )
        for kind, count in self.mended.items():
            what, mend = _MENDED[kind]
            told[what] = count
            note(kind, self.path, f"{_annotations(count)} {what}", mend, "mended")
        if self.renumbered:
            told["had missing, repeated or zero ids: all numbered from 1"] = len(self.ids)
        return [f"{_annotations(count)} {what}" for what, count in told.items()]


def _name(id_: object, number: int) -> str:
    return f"annotation number {number}" if id_ is None else f"annotation {id_}"


def _annotations(count: int) -> str:
    return "1 annotation" if count == 1 else f"{count} annotations"
