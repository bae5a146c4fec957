"""Pictures that belong to others: what they are turned into, or are to look like."""

from collections.abc import Mapping
from dataclasses import replace

from rich.console import Console

from visionkit.data.defects import Defect
from visionkit.data.index import Index
from visionkit.data.pair_index import PairIndex, UnpairedIndex, odd, unequal
from visionkit.doctor.pictures import Look
from visionkit.doctor.scan import scan


def look_at_both(
    splits: Mapping[str, Index], threads: int | None = None, console: Console | None = None
) -> tuple[dict[str, list[Look]], dict[str, list[Look]]]:
    """Look at the pictures of each split, and at those that they belong to; see :func:`scan`.

    Args:
        splits: by name.
        threads: see :func:`scan`, as the others.
        console: see there.

    Returns:
        The looks of each split, which have what is wrong with a picture's partner, too; and those
        at the second list of each split of two lists.
    """
    looks = scan(splits, threads, console)
    sides = {
        split: side
        for split, index in splits.items()
        if isinstance(index, PairIndex | UnpairedIndex) and (side := index.other_side()) is not None
    }
    others = scan(sides, threads, console) if sides else {}
    for split, index in splits.items():
        if isinstance(index, PairIndex):
            partners = others.pop(split, [None] * len(index))
            looks[split] = [
                replace(look, defects=(*look.defects, *_of_pair(split, index, i, look, partner)))
                for i, (look, partner) in enumerate(zip(looks[split], partners, strict=True))
            ]
    return looks, others


def _of_pair(
    split: str, index: PairIndex, i: int, look: Look, partner: Look | None
) -> tuple[Defect, ...]:
    """What is wrong with a picture's partner, or with a file that holds both."""

    def defect(kind: str, file: str, line: str) -> Defect:
        cause, _, mend = line.rpartition("; ")
        return Defect(kind, file, cause, mend, "stops", split)

    if partner is None or index.targets is None:
        if look.size is None or look.size[1] % 2 == 0:
            return ()
        return (defect("odd-width", index.path(i), odd(look.size[1])),)
    if look.size is None or partner.size in (None, look.size):
        return partner.defects
    assert partner.size is not None
    line = unequal(partner.size, index.path(i), look.size)
    return (*partner.defects, defect("wrong-size", index.targets[i], line))
