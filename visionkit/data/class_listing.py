"""From a list of pictures with the names of their classes to the index of one split."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visionkit.data.class_index import ClassIndex
from visionkit.data.strings import StringTable

SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""What people call the files and folders of a split."""


@dataclass(frozen=True)
class Listing:
    """Pictures before they are split.

    Attributes:
        source: where they are listed, for messages.
        base: the folder that hashes of their paths are relative to.
        files: paths.
        rows: the classes of each.
        warnings: what was mended while reading, one line each.
    """

    source: Path
    base: Path
    files: Sequence[str]
    rows: Sequence[tuple[str, ...]]
    warnings: tuple[str, ...] = ()


def parts(validation: float) -> dict[str, float]:
    """What a set without splits holds back; the rest is for training."""
    return {"val": validation, "test": 0.1} if validation else {"test": 0.1}


def make_class_index(
    listing: Listing,
    classes: Sequence[str],
    exclusive: bool,
    split: str,
    held: Mapping[str, float],
) -> ClassIndex | None:
    """Make the index of one split.

    Args:
        listing: its pictures, with those that it lends to other splits.
        classes: names by label.
        exclusive: whether each picture has exactly one.
        split: ``train``, or one of ``held``.
        held: the parts of the pictures that other splits than ``train`` get.

    Returns:
        The index, or None where its part comes to no picture.
    """
    if any(held.values()) and split not in ("train", *held):
        return None
    files, rows, warnings = listing.files, listing.rows, list(listing.warnings)
    ids = np.arange(len(files))
    if any(held.values()):
        which = list(held).index(split) if split in held else -1
        ids = np.flatnonzero(hold_out(listing, held) == which)
        if not len(ids):
            return None
        files, rows = [files[i] for i in ids.tolist()], [rows[i] for i in ids.tolist()]
        warnings.append(
            f"{listing.source}: has no {' or '.join(held)} of its own: by a hash of their paths, "
            f"{len(ids)} of {len(listing.files)} pictures are {split}"
        )
    label_of = {name: k for k, name in enumerate(classes)}
    if exclusive:
        labels = np.array([label_of[row[0]] for row in rows], np.int64)
        if split == "train" and len(np.unique(labels)) == 1:
            warnings.append(f"{listing.source}: all training pictures are of one class")
    else:
        labels = np.zeros((len(rows), len(classes)), np.bool_)
        for i, row in enumerate(rows):
            labels[i, [label_of[name] for name in row]] = True
    return ClassIndex(
        classes=tuple(classes),
        image_ids=ids.astype(np.int64),
        labels=labels,
        files=StringTable(files),
        warnings=tuple(warnings),
    )


def hold_out(listing: Listing, held: Mapping[str, float]) -> NDArray[np.int64]:
    """Which of ``held`` each picture belongs to, [N]; -1 for none of them.

    In each class the pictures stand in the order of their paths' hashes, and the first go. A class
    of more pictures than there are splits has one in each.
    """
    of = np.full(len(listing.files), -1, np.int64)
    groups: dict[tuple[str, ...], list[tuple[bytes, int]]] = {}
    for i, (file, row) in enumerate(zip(listing.files, listing.rows, strict=True)):
        path = Path(os.path.relpath(file, listing.base)).as_posix()
        code = hashlib.blake2b(os.fsencode(path), digest_size=8).digest()
        groups.setdefault(row[:1], []).append((code, i))
    for group in groups.values():
        order = [i for _, i in sorted(group)]
        start = 0
        for k, part in enumerate(held.values()):
            count = max(round(part * len(order)), 1 if len(order) > len(held) + 1 else 0)
            of[order[start : start + count]] = k
            start += count
    return of
