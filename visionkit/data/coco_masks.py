"""COCO's polygons and run lengths as the class of each pixel.

The files are found as :mod:`visionkit.data.coco` finds them.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from visionkit.data.coco_entries import Entry, size_of
from visionkit.data.coco_file import CocoFile, Mended, annotations_of, locate, name_of, open_coco
from visionkit.data.coco_shapes import Shape, paint, shape_of
from visionkit.data.defects import lose, lose_by, note
from visionkit.data.layout import find_pictures, upright_size
from visionkit.data.mask_index import MaskIndex
from visionkit.data.strings import StringTable
from visionkit.errors import DataError
from visionkit.results import VOID

BACKGROUND = "background"
"""The class of the pixels that no object covers."""
_LARGEST = 1 << 30
"""Pixels of a picture; larger ones aren't read."""


@dataclass(frozen=True)
class CocoMasks:
    """The objects of N pictures, painted when a mask is asked for.

    Objects stand in the order of their pictures, and in each in the order of painting: crowds
    first, then from the largest to the smallest. N pictures are a choice of R, with M objects.

    Attributes:
        source: the annotation file.
        rows: [N] int64, which of the R each picture is.
        sizes: [R, 2] int32, height and width.
        first: [R + 1] int64, objects of picture ``r`` are ``first[r]:first[r + 1]``.
        labels: [M] uint8, void for crowds.
        polygons: [M + 1] int64, where the polygons of each object begin.
        corners: [P + 1] int64, where the numbers of each polygon begin.
        numbers: int32, of all polygons, see :class:`visionkit.data.coco_shapes.Shape`.
        runs: [M + 1] int64, where the run lengths of each object begin.
        characters: uint8, of all run lengths.
        empty: what is where no object is, a label or void.
    """

    source: str
    rows: NDArray[np.int64]
    sizes: NDArray[np.int32]
    first: NDArray[np.int64]
    labels: NDArray[np.uint8]
    polygons: NDArray[np.int64]
    corners: NDArray[np.int64]
    numbers: NDArray[np.int32]
    runs: NDArray[np.int64]
    characters: NDArray[np.uint8]
    empty: int

    def size(self, i: int) -> tuple[int, int]:
        """Height and width of mask ``i``."""
        height, width = self.sizes[self.rows[i]].tolist()
        return height, width

    def mask(self, i: int) -> NDArray[np.uint8]:
        """Labels [H, W] of picture ``i``."""
        row, size = int(self.rows[i]), self.size(i)
        columns = np.full(size[::-1], self.empty, np.uint8)
        for m in range(int(self.first[row]), int(self.first[row + 1])):
            begin, end = self.polygons[m : m + 2].tolist()
            polygons = [
                self.numbers[self.corners[p] : self.corners[p + 1]] for p in range(begin, end)
            ]
            runs = self.characters[self.runs[m] : self.runs[m + 1]].tobytes()
            np.copyto(columns, self.labels[m], where=paint(polygons, runs, size))
        return np.ascontiguousarray(columns.T)

    def name(self, i: int) -> str:
        """The annotation file."""
        return self.source

    def wrong_size(
        self, i: int, size: tuple[int, int], picture: str, theirs: tuple[int, int]
    ) -> DataError:
        """Say that a picture isn't of the height and width that the file gives it."""
        return DataError(
            f"{self.source}: says {picture} has {size[1]} x {size[0]} pixels, it has "
            f"{theirs[1]} x {theirs[0]}; mend its width and height"
        )

    def only(self, keep: NDArray[np.bool_]) -> "CocoMasks":
        """The masks of those pictures for which ``keep``, [N], is true."""
        return replace(self, rows=self.rows[keep])


def read_coco_masks(
    root: str | Path, split: str, background: Literal["class", "void"] = "class"
) -> MaskIndex | None:
    """Read one split of a set in COCO's format, for the class of each pixel.

    Where objects overlap, the smallest is seen. A crowd is void where nothing else is. Annotations
    without a mask are dropped, with a line in ``warnings``. Classes are in the order of the
    category ids, after ``background`` if that is a class; a category of this name is that class.

    Args:
        root: the set's folder.
        split: ``train``, ``val`` or ``test``.
        background: whether pixels that no object covers are a ``class``, or ``void``.

    Returns:
        The index, or None where the set has no such split.

    Raises:
        DataError: as :func:`visionkit.data.coco.read_coco`; or there are more classes than a mask
            has room for, or no annotation has a mask.
    """
    found = locate(root, split)
    if found is None:
        return None
    path, folders = found
    file = open_coco(path, split)
    if file is None:
        return None
    classes, label_of = _classes(file, background)
    folder, missing = find_pictures(path, file.names, folders)
    sizes = _sizes(file, folder, missing)
    if file.annotations and not any(each.get("segmentation") for each in file.annotations):
        raise _without_masks(path, len(file.annotations))
    objects = _Objects(file, sizes, label_of)
    for i, annotation in enumerate(file.annotations):
        objects.take(i, annotation)
    told = objects.told()
    keep = np.array([size != (0, 0) for size in sizes], np.bool_)
    index = MaskIndex(
        files=StringTable([f"{folder}/{name}" for name in file.names]),
        image_ids=np.asarray(file.image_ids, np.int64),
        truth=objects.masks(VOID if background == "void" else 0),
        classes=tuple(classes),
        warnings=tuple(f"{path}: {line}" for line in [*file.told, *told]),
    )
    return index if keep.all() else index.only(keep)


def _classes(file: CocoFile, background: str) -> tuple[list[str], list[int]]:
    """The names by label, and the label of each of the file's classes.

    Raises:
        DataError: there are too many.
    """
    names = list(file.classes)
    if background == "class":
        theirs = [name.lower() for name in names]
        own = names.pop(theirs.index(BACKGROUND)) if BACKGROUND in theirs else BACKGROUND
        names = [own, *names]
    if len(names) > VOID:
        raise DataError(
            f"{file.path}: declares {len(file.classes)} categories, but a mask has room for "
            f"{VOID} classes, background among them; take some out"
        )
    return names, [names.index(name) for name in file.classes]


def _sizes(file: CocoFile, folder: Path, missing: Collection[str]) -> list[tuple[int, int]]:
    """Height and width of each picture; 0 0 of those that can't be used."""
    sizes = []
    for image, image_id, name in zip(file.images, file.image_ids, file.names, strict=True):
        size = size_of(image)
        if name in missing:
            size = (0, 0)
        elif size == (0, 0):
            try:
                size = upright_size(f"{folder}/{name}")
            except DataError as error:
                lose_by(error, "unreadable")
        elif size[0] * size[1] > _LARGEST:
            cause = f"image id {image_id} is said to have {size[1]} x {size[0]} pixels"
            lose("wrong-size", file.path, cause, "mend its width and height")
            size = (0, 0)
        sizes.append(size)
    return sizes


class _Objects:
    """The annotations of a file that have a mask, column by column.

    Args:
        file: the file.
        sizes: height and width of its pictures, 0 0 of those that aren't used.
        label_of: the label of each of its classes.
    """

    def __init__(
        self, file: CocoFile, sizes: Sequence[tuple[int, int]], label_of: Sequence[int]
    ) -> None:
        self.file, self.sizes, self.label_of = file, sizes, label_of
        self.owner: list[int] = []
        self.labels: list[int] = []
        self.crowd: list[bool] = []
        self.shapes: list[Shape] = []
        self.mended = Mended(file.path)
        self.dropped: Counter[str] = Counter()

    def take(self, number: int, annotation: Entry) -> None:
        """Add an annotation, unless it can't be used."""
        place = self.file.place(number, annotation)
        if place is None or self.sizes[place[0]] == (0, 0):
            return
        where = name_of(annotation.get("id"), number)
        try:
            shape = shape_of(annotation.get("segmentation"), self.sizes[place[0]])
        except ValueError as error:
            kind = "bad-mask" if annotation.get("segmentation") else "no-mask"
            self._drop(kind, f"{where} has {error}", "draw its mask or remove it")
            return
        if shape.unusable:
            cause = f"{where} has {shape.unusable} unusable of its polygons"
            self._drop("bad-polygon", cause, "give each 3 corners or more, of finite numbers")
        self.owner.append(place[0])
        self.labels.append(self.label_of[place[1]])
        self.crowd.append(self.mended.is_crowd(annotation.get("iscrowd")))
        self.shapes.append(shape)

    def _drop(self, kind: str, cause: str, mend: str) -> None:
        self.dropped[kind] += 1
        note(kind, self.file.path, cause, mend, "dropped")

    def told(self) -> list[str]:
        """What was dropped and mended, in words.

        Raises:
            DataError: nothing is left of the annotations.
        """
        lost = self.dropped["no-mask"] + self.dropped["bad-mask"]
        if lost and not self.shapes:
            raise _without_masks(self.file.path, lost)
        told = []
        for kind, what in (
            ("no-mask", "without a segmentation: dropped"),
            ("bad-mask", "with an unusable segmentation: dropped"),
            ("bad-polygon", "with unusable polygons: these were dropped"),
        ):
            if self.dropped[kind]:
                told.append(f"{annotations_of(self.dropped[kind])} {what}")
        return [*told, *self.mended.lines()]

    def masks(self, empty: int) -> CocoMasks:
        """What was taken, in the order of painting."""
        owner = np.array(self.owner, np.int64)
        crowd = np.array(self.crowd, np.bool_)
        areas = np.array([shape.area for shape in self.shapes], np.float64)
        order = np.lexsort((-areas, ~crowd, owner))
        shapes = [self.shapes[m] for m in order.tolist()]
        polygons = [each for shape in shapes for each in shape.polygons]
        labels = np.where(crowd, VOID, np.array(self.labels, np.int64))[order]
        return CocoMasks(
            source=str(self.file.path),
            rows=np.arange(len(self.sizes), dtype=np.int64),
            sizes=np.array(self.sizes, np.int32).reshape(-1, 2),
            first=_starts(np.bincount(owner, minlength=len(self.sizes)).tolist()),
            labels=labels.astype(np.uint8),
            polygons=_starts([len(shape.polygons) for shape in shapes]),
            corners=_starts([len(each) for each in polygons]),
            numbers=np.concatenate([np.zeros(0, np.int32), *polygons]),
            runs=_starts([len(shape.runs) for shape in shapes]),
            characters=np.frombuffer(b"".join(shape.runs for shape in shapes), np.uint8),
            empty=empty,
        )


def _without_masks(path: Path, count: int) -> DataError:
    return DataError(
        f"{path}: none of its {annotations_of(count)} has a usable mask; choose data=coco for its "
        "boxes, or export the set with segmentation"
    )


def _starts(lengths: Sequence[int]) -> NDArray[np.int64]:
    """Where each of several parts begins, and where the last ends."""
    return np.append(0, np.cumsum(np.array(lengths, np.int64))).astype(np.int64)
