"""Reading a set as training does and finding all that is wrong with it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from rich.console import Console

from visionkit.data.class_index import ClassIndex
from visionkit.data.datamodule import DataModule
from visionkit.data.defects import WAY_OUT, Defect, collecting
from visionkit.data.index import DetectionIndex, Index
from visionkit.data.joint import refuse_joint
from visionkit.data.layout import SPLITS, check_root
from visionkit.data.mask_index import MaskIndex
from visionkit.data.pair_index import UnpairedIndex
from visionkit.doctor.boxes import box_defects
from visionkit.doctor.classes import check_classes, conflicts
from visionkit.doctor.duplicates import alike, joined, same
from visionkit.doctor.masks import mask_defects
from visionkit.doctor.partners import look_at_both
from visionkit.doctor.pictures import Look, without_usual_grey
from visionkit.doctor.scan import path_of, shapes_of
from visionkit.doctor.unlisted import unlisted
from visionkit.errors import DataError

SERIOUS = frozenset(
    {
        "split-overlap",
        "wrong-size",
        "damaged",
        "untrained-class",
        "conflicting-label",
        "no-training-split",
        "nothing-labelled",
    }
)
"""Kinds that harm training or its scores though it would run."""

_KINDS = {
    r"broken JSON|isn't JSON": "broken-json",
    r"broken XML": "broken-xml",
    r"broken YAML": "broken-yaml",
    r"broken CSV": "broken-csv",
    r"lists no (images|pictures)|has no pictures|there are no pictures": "empty-split",
    r"isn't COCO's format|isn't a mapping": "wrong-format",
    r"declares no categories|no category has|no names": "no-classes",
    r"pictures are missing|there is no picture|has a label file": "missing-file",
    r"isn't UTF-8|can't be read": "unreadable",
}
"""What readers say of a file without which there is no split, and the kind that it is."""


_OF_SPLITS = frozenset({*_KINDS.values(), "unusable-split"} - {"missing-file", "unreadable"})


@dataclass(frozen=True)
class Place:
    """A picture of a set: its split, its number in that, and its file."""

    split: str
    number: int
    file: str


@dataclass(frozen=True)
class Limits:
    """From where on something is worth telling.

    Attributes:
        near: bits by which the hashes of near duplicates may differ, see
            :func:`visionkit.doctor.duplicates.alike`; None to look for exact ones only.
        few: training examples of a class: pictures, boxes, or masks that show it.
        imbalance: how many times as many examples the most frequent class has as the rarest; of
            masks, pixels.
        tiny: pixels on the canvas of a box's shorter side.
        many: boxes of a picture.
    """

    near: int | None = 4
    few: int = 10
    imbalance: float = 50.0
    tiny: float = 2.0
    many: int = 100


@dataclass(frozen=True)
class Findings:
    """All that is known of a set.

    Attributes:
        root: its folder.
        canvas: height and width that pictures are scaled to.
        splits: those that could be read.
        looks: at the pictures of each split.
        defects: what is wrong, in the order of reading.
        exact: groups of pictures that are the same.
        near: groups of pictures that are nearly the same; of the same ones only the first.
        notes: what the readers say besides.
    """

    root: Path
    canvas: tuple[int, int]
    splits: Mapping[str, Index]
    looks: Mapping[str, Sequence[Look]]
    defects: Sequence[Defect]
    exact: Sequence[Sequence[Place]] = ()
    near: Sequence[Sequence[Place]] = ()
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def suffers(self) -> bool:
        """Whether training, or the worth of its scores, would suffer."""
        return any(harms(defect) for defect in self.defects)


def harms(defect: Defect) -> bool:
    """Whether training, or the worth of its scores, suffers from a defect."""
    return defect.effect in ("stops", "dropped") or defect.kind in SERIOUS


def examine(
    data: DataModule,
    limits: Limits | None = None,
    threads: int | None = None,
    console: Console | None = None,
) -> Findings:
    """Read all splits of a set, look at every picture once, and say what is wrong.

    Args:
        data: the set.
        limits: from where on something is worth telling.
        threads: pictures decoded at a time; as many as there are cores unless given.
        console: where a progress bar goes.

    Raises:
        DataError: there is no set of that layout.
    """
    limits = limits or Limits()
    splits, defects, notes = _read(data)
    refuse_joint(splits)
    if not splits:
        return Findings(data.root, data.canvas, {}, {}, defects, notes=notes)
    told = {split: {d.kind for d in defects if d.split == split} for split in splits}
    looks, others = look_at_both(splits, threads, console)
    seen = {(d.kind, d.file) for d in defects}
    defects += [
        defect
        for split in splits
        for look in (*looks[split], *others.get(split, ()))
        for defect in look.defects
        if (defect.kind, defect.file) not in seen
    ]
    pictures = sum(map(len, (*looks.values(), *others.values())))
    defects = without_usual_grey(defects, pictures)
    for split, index in splits.items():
        if isinstance(index, DetectionIndex):
            sizes = shapes_of(looks[split], index)
            defects += box_defects(
                split, index, sizes, data.canvas, limits.tiny, limits.many, told[split]
            )
        elif isinstance(index, MaskIndex):
            defects += mask_defects(data.root, split, index, looks[split])
    places = [
        Place(split, i, path_of(split, index, i))
        for split, index in splits.items()
        for i in range(len(index))
    ]
    places += [
        Place(split, i, index.targets[i])
        for split, index in splits.items()
        if isinstance(index, UnpairedIndex)
        for i in range(len(index.targets))
    ]
    flat = [look for each in (looks, others) for split in each for look in each[split]]
    exact = same([look.digest for look in flat])
    near = _near(flat, exact, limits.near)
    exact, twice = _listed_once(exact, places)
    for place in (places[i] for i in twice):
        if "listed-twice" not in told[place.split]:
            cause = f"is listed twice in {place.split}"
            defect = Defect("listed-twice", place.file, cause, "list it once", "noted", place.split)
            defects.append(defect)
    defects += _repeats(places, exact, near, splits, looks)
    defects += check_classes(data.root, splits, limits.few, limits.imbalance, looks)
    if not any(defect.kind in _OF_SPLITS for defect in defects):  # whose pictures aren't known
        defects += unlisted(splits, {defect.file for defect in defects})
    return Findings(
        root=data.root,
        canvas=data.canvas,
        splits=splits,
        looks=looks,
        defects=list(dict.fromkeys(defects)),
        exact=[[places[i] for i in group] for group in exact],
        near=[[places[i] for i in group] for group in near],
        notes=notes,
    )


def _read(data: DataModule) -> tuple[dict[str, Index], list[Defect], list[str]]:
    """The splits that can be read, what their readers found wrong, and what they say besides."""
    splits: dict[str, Index] = {}
    defects: list[Defect] = []
    notes: list[str] = []
    errors: list[DataError] = []
    for split in SPLITS:
        with collecting(split) as found:
            try:
                index = data.layout(data.root, split)
            except DataError as error:
                errors.append(error)
                defects += [*found, _from_error(data.root, split, error)]
                continue
        defects += found
        if index is not None:
            splits[split] = index
            if not isinstance(index, DetectionIndex) or not found:  # else they say what was found
                notes += index.warnings
    if not splits:
        if errors and all(str(error).startswith(f"{data.root}: ") for error in errors):
            raise errors[0]  # the wrong folder, or another layout
        if not defects:
            check_root(data.root)
            raise DataError(f"{data.root}: no {', '.join(SPLITS)} split; check data.root")
    if len(errors) > 1 and len({str(error) for error in errors}) == 1:  # of a file that all share
        lines = {str(error) for error in errors}
        shared = [replace(d, split="") if d.line in lines else d for d in defects]
        defects = list(dict.fromkeys(shared))
    return splits, defects, list(dict.fromkeys(notes))


def _from_error(root: Path, split: str, error: DataError) -> Defect:
    """A defect of what no reader can go on without."""
    line = str(error).removesuffix(WAY_OUT)
    head, _, mend = line.rpartition("; ")
    file, colon, cause = (head or line).partition(": ")
    if not colon:
        file, cause = str(root), head or line
    kind = next((kind for pattern, kind in _KINDS.items() if re.search(pattern, cause)), None)
    return Defect(kind or "unusable-split", file, cause, mend or "mend it", "stops", split)


def _listed_once(
    groups: list[list[int]], places: Sequence[Place]
) -> tuple[list[list[int]], list[int]]:
    """The groups without what is the same file of the same split, and what that was."""
    once: list[list[int]] = []
    again: list[int] = []
    for group in groups:
        first = {(places[i].split, places[i].file): i for i in reversed(group)}
        kept = sorted(first.values())
        once.append(kept)
        again += sorted(set(group) - set(kept))
    return [group for group in once if len(group) > 1], again


def _near(looks: Sequence[Look], exact: list[list[int]], bits: int | None) -> list[list[int]]:
    """Groups of positions of pictures that are nearly the same; of the same ones the first."""
    if bits is None:
        return []
    again = {i for group in exact for i in group[1:]}
    kept = [i for i, look in enumerate(looks) if look.thumb is not None and i not in again]
    if len(kept) < 2:
        return []
    codes = np.array([looks[i].code for i in kept], np.uint64)
    thumbs = np.stack([thumb for i in kept if (thumb := looks[i].thumb) is not None])
    return [[kept[k] for k in group] for group in joined(alike(codes, thumbs, bits))]


def _repeats(
    places: Sequence[Place],
    exact: list[list[int]],
    near: list[list[int]],
    splits: Mapping[str, Index],
    looks: Mapping[str, Sequence[Look]],
) -> list[Defect]:
    """A defect for each picture that repeats another; between splits if there is one in another."""
    found: list[Defect] = []
    for groups, words, kinds in (
        (exact, "is the same picture as", ("exact-duplicate", "split-overlap")),
        (near, "is nearly the same picture as", ("near-duplicate", "near-split-overlap")),
    ):
        for group in groups:
            first = places[group[0]]
            for place in (places[i] for i in group[1:]):
                between = place.split != first.split
                where = f" in {first.split}" if between else ""
                cause = f"{words} {first.file}{where}"
                mend = "keep it in one split" if between else "keep one of them"
                kind = kinds[between]
                found.append(Defect(kind, place.file, cause, mend, "noted", place.split))
    for split, index in splits.items():
        if isinstance(index, ClassIndex | MaskIndex):
            mine = [[i for i in group if places[i].split == split] for group in exact]
            numbers = [[places[i].number for i in group] for group in mine if len(group) > 1]
            paths = [place.file for place in places if place.split == split]
            found += conflicts(split, index, numbers, paths, looks[split])
    return found
