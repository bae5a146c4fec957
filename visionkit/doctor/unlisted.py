"""Pictures that lie among those of a set, but that no annotation names."""

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from visionkit.data.defects import Defect
from visionkit.data.index import DetectionIndex, Index
from visionkit.data.layout import listed, names_in
from visionkit.data.mask_index import MaskIndex
from visionkit.geometry import IMAGE_SUFFIXES


def unlisted(splits: Mapping[str, Index], given_up: Collection[str] = ()) -> list[Defect]:
    """Find them, in the folders of those that are named; a defect for each folder.

    Args:
        splits: all of the set.
        given_up: files that are named, but that the readers couldn't use.
    """
    named: dict[str, set[str]] = {}
    for file in given_up:
        folder, name = os.path.split(file)
        named.setdefault(folder, set()).add(name)
    folders: set[str] = set()
    for index in splits.values():
        if not isinstance(index, DetectionIndex | MaskIndex):
            return []
        for i in range(len(index)):
            folder, name = os.path.split(index.files[i])
            named.setdefault(folder, set()).add(name)
            folders.add(folder)
            if isinstance(index, MaskIndex):  # masks may lie among the pictures
                folder, name = os.path.split(index.mask_name(i))
                named.setdefault(folder, set()).add(name)
    found = []
    for folder in sorted(folders):
        others = sorted(
            name
            for name in names_in(folder) - named[folder]
            if Path(name).suffix.lower() in IMAGE_SUFFIXES and not name.startswith(".")
        )
        if others:
            cause = f"{len(others)} of its pictures are in no split: {listed(others, 3)}"
            mend = "annotate them or leave them: they aren't used"
            found.append(Defect("unlisted-picture", folder, cause, mend, "noted"))
    return found
