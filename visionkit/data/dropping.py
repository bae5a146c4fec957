"""Reading a set without what is wrong with it: ``data.defects=drop``."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from visionkit.data.class_lists import same_classes
from visionkit.data.cores import in_threads
from visionkit.data.defects import Defect, collecting, lose_by
from visionkit.data.index import Index, Layout
from visionkit.data.pair_index import PairIndex, UnpairedIndex
from visionkit.data.strings import StringTable
from visionkit.errors import DataError
from visionkit.ops.distributed import from_first_rank

log = logging.getLogger(__name__)

_PICTURES = {
    "can't be read": "missing-file",
    "the file is empty": "empty-file",
    "truncated": "truncated",
    r"is \d+ x \d+ pixels": "wrong-size",
    r"is \d+ pixels wide": "odd-width",
}
_MASKS = {
    r"can't be read \(No such": "missing-mask",
    "the file is empty": "empty-mask",
    "truncated": "truncated-mask",
    "is a JPEG|has 16 bits": "lossy-mask",
    "has the (value|colour)|is in colours|its palette": "unknown-value",
    r"is \d+ x \d+|says .+ has \d+ x \d+": "wrong-size",
}


class Dropping:
    """Reads splits and leaves out the annotations, pictures and classes that have a defect.

    Every picture is decoded once, and every mask, since some damage shows no sooner. A split other
    than ``train`` that can't be read at all is left out. The classes are those of ``train``.

    Args:
        layout: reads one split of a folder.
        root: the folder.
    """

    def __init__(self, layout: Layout, root: Path) -> None:
        self.layout, self.root = layout, root
        self._classes: tuple[str, ...] | None = None
        self._left_out: set[str] = set()

    def read(self, splits: Sequence[str]) -> dict[str, Index]:
        """Read those of ``splits`` that are there, and warn of what is left out; once of a split.

        Raises:
            DataError: nothing of ``train`` can be used, or none of the splits can.
        """
        defects: list[Defect] = []
        errors: list[DataError] = []
        read: dict[str, Index] = {}
        wanted = [split for split in splits if split not in self._left_out]
        if wanted and "train" not in wanted:
            self._learn_classes()
        for split in sorted(wanted, key=lambda name: name != "train"):
            with collecting(split) as found:
                try:
                    index = self._read(split, found)
                except DataError as error:
                    if split == "train":
                        raise
                    errors.append(error)
                    lose_by(error, "unusable-split")
                    index = None
            defects += found
            if index is not None:
                read[split] = index
        if errors and len(errors) == len(splits):
            raise errors[0]
        self._left_out |= set(wanted) - set(read)
        self._warn(defects)
        return read

    def _learn_classes(self) -> None:
        """Take the classes from the training split though it isn't wanted."""
        if self._classes is None:
            with collecting():
                try:
                    index = self.layout(self.root, "train")
                except DataError:  # whoever wants it will hear of it
                    return
            self._classes = None if index is None else index.classes

    def _read(self, split: str, found: list[Defect]) -> Index | None:
        index = self.layout(self.root, split)
        if index is None:
            return None
        if split == "train" or self._classes is None:
            self._classes = index.classes
        index = readable(index)
        index = same_classes(self.root, {split: index}, self._classes)[split]
        if not len(index):
            last = f" ({found[-1].file}: {found[-1].cause})" if found else ""
            raise DataError(f"{self.root}: no picture of {split} can be used{last}; mend the set")
        return index

    def _warn(self, defects: Sequence[Defect]) -> None:
        """One line for each kind of what was left out; readers tell of the rest themselves."""
        kinds: dict[str, list[Defect]] = {}
        for defect in defects:
            if defect.effect == "stops":
                kinds.setdefault(defect.kind, []).append(defect)
        for kind, mine in kinds.items():
            first = "first " if len(mine) > 1 else ""
            log.warning(
                "data.defects=drop: left out %d x %s, %s%s", len(mine), kind, first, mine[0].line
            )


def readable(index: Index) -> Index:
    """Decode every picture, its mask and its partner, and leave out those that can't be read.

    A mask has to have the size of its picture, and no value that stands for nothing; a partner has
    to have the size of its picture.

    Of several ranks the first decodes them for all; before they know of each other, each does.

    Args:
        index: a split whose pictures are files; any other is returned as it is.

    Raises:
        DataError: there is such a picture, and nobody collects defects; or none is left of those
            that others are to look like.
    """
    if isinstance(index, UnpairedIndex):
        kept = _readable(index.other_side(), index.targets)
        if not kept.any():
            folder = Path(index.targets[0]).parent
            raise DataError(f"{folder}: none of its pictures can be read; mend the set")
        index = index if kept.all() else index.only_targets(kept)
    files: StringTable | None = getattr(index, "files", None)
    if files is None:
        return index
    good = _readable(index, files)
    return index if good.all() else index.only(good)


def _readable(index: Index, files: StringTable) -> NDArray[np.bool_]:
    """Which pictures can be read, [N]; the others are lost."""
    problems = from_first_rank(lambda: _problems(index))
    good = np.ones(len(index), np.bool_)
    for i, line in problems:
        good[i] = False
        other = not line.startswith(f"{files[i]}: ")
        cause = line.partition(": ")[2] if other else line.removeprefix(f"{files[i]}: ")
        lose_by(DataError(line), kind_of(cause, other and not isinstance(index, PairIndex)))
    return good


def kind_of(cause: str, of_mask: bool = False) -> str:
    """What kind of defect a picture has that can't be read.

    Args:
        cause: what is said of it.
        of_mask: of its mask.
    """
    kinds = _MASKS if of_mask else _PICTURES
    found = (kind for start, kind in kinds.items() if re.match(start, cause))
    return next(found, "unreadable-mask" if of_mask else "unreadable")


def _problems(index: Index) -> list[tuple[int, str]]:
    """Positions of the pictures that can't be decoded, and why."""
    read = getattr(index, "pair", None) or index.image  # type: ignore[attr-defined]

    def problem(i: int) -> str | None:
        try:
            read(i)
        except DataError as error:
            return str(error)
        return None

    console = Console(stderr=True)
    told = track(
        in_threads(problem, range(len(index))),
        "checking pictures",
        len(index),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    return [(i, line) for i, line in enumerate(told) if line is not None]
