"""Pictures with masks in files: lists of both, pairs of folders, Pascal VOC, Cityscapes.

What is found, for ``split`` in train, val (also valid, validation), test:

- ``{split}.txt``, with a picture and its mask in each line (CamVid);
- ``images/{split}`` and ``masks/{split}`` (or ``labels``, ``annotations``), ``{split}/images`` and
  ``{split}/masks``, ``{split}`` and ``{split}annot`` (or ``{split}_masks``), or masks that are
  called ``*_mask`` among the pictures of ``{split}`` (Roboflow);
- ``images`` and ``masks``, split by visionkit;
- ``ImageSets/Segmentation/{split}.txt``, ``JPEGImages`` and ``SegmentationClass`` (Pascal VOC);
- ``leftImg8bit/{split}`` and ``gtFine/{split}`` (Cityscapes).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from visionkit.argtypes import Range
from visionkit.data.class_listing import Listing, hold_out, parts
from visionkit.data.defects import aside
from visionkit.data.layout import SPLITS, check_root, listed, lose_split
from visionkit.data.mask_classes import LARGEST, LISTS, Colour, Entry, find_list, read_entries
from visionkit.data.mask_files import MaskFiles, values_in
from visionkit.data.mask_index import MaskIndex
from visionkit.data.mask_legend import Legend, make_legend
from visionkit.data.mask_pairs import Found, Pairs, in_folders, in_lists
from visionkit.data.mask_sets import (
    VOC_ENTRIES,
    in_cityscapes,
    in_voc,
    voc_colour,
    with_palette,
)
from visionkit.data.strings import StringTable
from visionkit.errors import ConfigError, DataError
from visionkit.results import VOID

_LAYOUTS: Mapping[str, Callable[[Path], Found | None]] = {
    "cityscapes": in_cityscapes,
    "voc": in_voc,
    "lists": in_lists,
    "folders": in_folders,
}


def read_masks(
    root: str | Path,
    split: str,
    layout: Literal["auto", "lists", "folders", "voc", "cityscapes"] = "auto",
    classes: Sequence[str] | None = None,
    void: Sequence[int | str] | None = None,
    palette: Literal["voc"] | Sequence[tuple[int, int, int]] | None = None,
    validation: Annotated[float, Range(0, 0.9)] = 0.1,
) -> MaskIndex | None:
    """Read one split of a set of pictures with masks.

    Masks hold indices (grey, or the indices of a palette, of 8 or 16 bits) or colours. The classes
    are those of ``classes.txt``, ``class_dict.csv`` and the like in the set's folder, see
    :func:`visionkit.data.mask_classes.read_entries`; else those of the layout; else the values in
    the training masks, named by their numbers. Classes that are called void, ignore or unlabelled
    are none: their pixels are void, as are those of 255 unless a class has that value. Any other
    value is a defect of the mask, told when it is read.

    A set without ``val`` gives it ``validation`` of its training pictures, and one without any
    splits a tenth to ``test``, too: in the order of a hash of the relative path.

    Args:
        root: the set's folder.
        split: ``train``, ``val`` or ``test``.
        layout: which of the above it has; ``auto`` to find out.
        classes: the classes in the order of their values from 0, instead of a list in the folder.
        void: further values, or names of classes, that are void.
        palette: red, green and blue of each class in order, or ``voc`` for Pascal VOC's.
        validation: part of the training pictures that becomes ``val`` where there is none.

    Returns:
        The index, or None where the set has no such split.

    Raises:
        ConfigError: ``palette`` or ``void`` don't fit the classes.
        DataError: nothing of the layouts above is there, or pictures or masks are missing. While
            somebody collects defects, single pictures are left out instead.
    """
    root = check_root(root)
    if split not in SPLITS:
        return None
    found = _find(root, layout)
    held: Mapping[str, float] = {}
    source = split
    if "" in found.splits:
        held, source = parts(validation), ""
    elif "val" not in found.splits and validation and split in ("train", "val"):
        held, source = {"val": validation}, "train"
    if source not in found.splits or (held and split not in ("train", *held)):
        return None
    with aside(unless=source == split or (source, split) == ("", "train")):
        pairs = found.splits[source]()
    legend, told = _legend(found, classes, void or (), palette)
    if not pairs.pictures:
        lose_split(source or split, pairs.source, "no picture with a mask is in it", "add some")
        return None
    ids, pairs = _part(pairs, split, held)
    if not len(ids):
        return None
    return MaskIndex(
        files=StringTable(pairs.pictures),
        image_ids=ids,
        truth=MaskFiles(StringTable(pairs.masks), legend),
        classes=legend.classes,
        warnings=(*pairs.warnings, *told),
    )


def _find(root: Path, layout: str) -> Found:
    readers = _LAYOUTS.values() if layout == "auto" else [_LAYOUTS[layout]]
    for reader in readers:
        found = reader(root)
        if found is not None:
            return found
    what = (
        "no masks found" if layout == "auto" else f"isn't laid out as data.layout.layout={layout}"
    )
    raise DataError(
        f"{root}: {what}: there are neither lists (train.txt with a picture and its mask in each "
        "line) nor folders (images/train and masks/train, train and trainannot, images and masks) "
        "nor VOC's ImageSets/Segmentation nor Cityscapes' gtFine; set data.root to the folder that "
        "holds them"
    )


def _legend(
    found: Found,
    classes: Sequence[str] | None,
    void: Sequence[int | str],
    palette: str | Sequence[Colour] | None,
) -> tuple[Legend, tuple[str, ...]]:
    """What the values of the masks stand for, and what is to be said of it."""
    told: tuple[str, ...] = ()
    source = str(found.homes[0] / LISTS[0])
    path = None if found.fixed else find_list(found.homes)
    entries: Sequence[Entry]
    if classes is not None:
        entries, source = [Entry(name) for name in classes], "data.layout.classes"
    elif path is not None:
        entries, source = read_entries(path), str(path)
    elif found.entries:
        entries = found.entries
    elif palette == "voc":
        entries = VOC_ENTRIES
    elif palette is not None:
        entries = [Entry(str(k)) for k in range(len(palette))]
    else:
        entries, told = _from_values(found, source, void)
    if palette is not None and not isinstance(palette, str):
        wrong = next((c for c in palette if not all(0 <= v <= 255 for v in c)), None)
        if wrong is not None:
            raise ConfigError(f"data.layout.palette: {list(wrong)} is no colour of 0 to 255")
    if palette is None and not any(entry.colour for entry in entries):
        palette = found.palette
    if palette is not None and not isinstance(palette, str) and len(palette) != len(entries):
        raise ConfigError(
            f"data.layout.palette: has {len(palette)} colours for the {len(entries)} classes of "
            f"{source}; give each its colour"
        )
    if palette is not None:
        entries = with_palette(entries, palette)
    legend = make_legend(entries, source, void, found.fixed)
    if palette == "voc":  # whose masks draw outlines in the colour of 255
        red, green, blue = voc_colour(VOID)
        colours = {red << 16 | green << 8 | blue: VOID, **legend.colours}
        legend = replace(legend, colours=colours)
    return legend, told


def _from_values(
    found: Found, source: str, void: Sequence[int | str]
) -> tuple[list[Entry], tuple[str, ...]]:
    """A class for each value in the training masks."""
    split = next(s for s in ("train", "", *found.splits) if s in found.splits)
    with aside():
        pairs = found.splits[split]()
    values = values_in(pairs.masks)
    beyond = [value for value in values if not 0 <= value <= LARGEST]
    strange = [value for value in beyond if value not in void]
    if strange:
        raise DataError(
            f"{pairs.source}: its masks have the value {listed(strange)}, which can be no class "
            f"(0 to {LARGEST}); mend the masks or add it to data.layout.void"
        )
    values = [value for value in values if value not in beyond]
    # of a single class nothing is learned: in 0 and 255, the latter is the object
    if len(values) > 2 or VOID not in values:
        values = [value for value in values if value != VOID]
    if not values:
        raise DataError(f"{pairs.source}: none of its masks can be read; write them anew")
    told = (
        f"{source}: isn't there: the values {listed(values)} of the training masks are the classes;"
        " write their names there, one a line with its value",
    )
    return [Entry(str(value), value) for value in values], told


def _part(pairs: Pairs, split: str, held: Mapping[str, float]) -> tuple[NDArray[np.int64], Pairs]:
    """Positions of the pictures that a split gets, and these."""
    count = len(pairs.pictures)
    if not held:
        return np.arange(count), pairs
    of = hold_out(Listing(pairs.source, pairs.base, pairs.pictures, [()] * count), held)
    ids = np.flatnonzero(of == (list(held).index(split) if split in held else -1))
    line = (
        f"{pairs.source}: has no {' or '.join(held)} of its own: by a hash of their paths, "
        f"{len(ids)} of {count} pictures are {split}"
    )
    mine = replace(
        pairs,
        pictures=[pairs.pictures[i] for i in ids.tolist()],
        masks=[pairs.masks[i] for i in ids.tolist()],
        warnings=(*pairs.warnings, line),
    )
    return ids, mine
