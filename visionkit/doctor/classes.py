"""What is wrong with the classes of a set, and with its splits."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from visionkit.data.class_index import ClassIndex
from visionkit.data.defects import Defect, Effect
from visionkit.data.index import DetectionIndex, Index
from visionkit.data.layout import listed
from visionkit.data.mask_index import UNLABELLED, MaskIndex
from visionkit.doctor.masks import mask_pixels
from visionkit.doctor.pictures import Look

Looks = Mapping[str, Sequence[Look]]


def check_classes(
    root: Path,
    splits: Mapping[str, Index],
    few: int = 10,
    imbalance: float = 50.0,
    looks: Looks | None = None,
) -> list[Defect]:
    """Find classes that can't be learned or scored, and splits that are missing.

    Args:
        root: the set's folder, which the defects name.
        splits: by name.
        few: training examples, below which a class is told.
        imbalance: how many times as many the most frequent class may have as the rarest.
        looks: at the pictures of each split, which masks are counted by.
    """
    looks = looks or {}
    found = [*_lists(root, splits), *_splits(root, splits, looks)]
    counts = {s: examples(index, looks.get(s, ())) for s, index in splits.items()}
    declared = list(dict.fromkeys(name for index in splits.values() for name in index.classes))
    unused = [c for c in declared if not any(counts[split].get(c) for split in splits)]
    for name in unused:
        mend = "take it out of the list of classes"
        found.append(_note("unused-class", root, f"no split has an example of {name}", mend))
    for split in splits:
        for name in [c for c in declared if c not in unused and not counts[split].get(c)]:
            if split == "train":
                cause = f"train has no example of {name}, but other splits have"
                mend = "add some to train: what is never seen can't be learned"
                found.append(_note("untrained-class", root, cause, mend, split))
            else:
                cause = f"{split} has no example of {name}"
                mend = "move some there: a score leaves the class out"
                found.append(_note("class-absent", root, cause, mend, split))
    if "train" not in splits:
        return found
    train = {name: count for name, count in counts["train"].items() if count}
    for name in sorted(train, key=lambda n: train[n]):
        if train[name] < few:
            cause = f"{name} has {train[name]} training example{'s' * (train[name] > 1)}"
            mend = f"add more, at least {few}, or join classes"
            found.append(_note("few-examples", root, cause, mend, "train"))
    found += _imbalance(root, splits["train"], imbalance, looks.get("train", ()))
    return found


def examples(index: Index, looks: Sequence[Look] = ()) -> dict[str, int]:
    """How many examples of each class a split has: pictures, boxes, or masks that show it.

    Args:
        index: the split.
        looks: at its pictures.
    """
    if isinstance(index, MaskIndex):
        counts = (mask_pixels(index, looks)[:, :-1] > 0).sum(0)
    else:
        counts = index.counts()
    return dict(zip(index.classes, counts.tolist(), strict=True))


def amounts(index: Index, looks: Sequence[Look] = ()) -> dict[str, int]:
    """How much of each class a split has: pictures, boxes, or pixels.

    Args:
        index: the split.
        looks: at its pictures.
    """
    if isinstance(index, MaskIndex):
        counts = mask_pixels(index, looks)[:, :-1].sum(0)
    else:
        counts = index.counts()
    return dict(zip(index.classes, counts.tolist(), strict=True))


def extremes(counts: Mapping[str, int]) -> tuple[str, str, float] | None:
    """The classes with most and fewest of what has any, and their ratio; None if none has."""
    some = {name: count for name, count in counts.items() if count}
    if not some:
        return None
    most, fewest = max(some, key=lambda n: some[n]), min(some, key=lambda n: some[n])
    return most, fewest, some[most] / some[fewest]


def _imbalance(root: Path, train: Index, limit: float, looks: Sequence[Look]) -> Iterator[Defect]:
    counts = amounts(train, looks)
    ends = extremes(counts)
    if ends is None or ends[2] <= limit:
        return
    most, fewest, ratio = ends
    masks = isinstance(train, MaskIndex)
    what = "pixels" if masks else "examples"
    cause = (
        f"{most} has {counts[most]:,} training {what}, {fewest} {counts[fewest]:,}: "
        f"{ratio:.0f} times as many"
    )
    other = "weigh them in the loss, or draw their pictures" if masks else "or draw them"
    mend = f"add some of the rare ones, {other} more often by data.sampling=balanced"
    yield _note("imbalance", root, cause, mend, "train")


def _lists(root: Path, splits: Mapping[str, Index]) -> Iterator[Defect]:
    """Classes that one split declares and another doesn't, or in another order."""
    first, *others = splits
    reference = splits[first].classes
    for split in others:
        classes = splits[split].classes
        for name in [c for c in (*reference, *classes) if (c in reference) != (c in classes)]:
            has, lacks = (first, split) if name in reference else (split, first)
            cause = f"the class {name} is declared in {has}, but not in {lacks}"
            mend = "give all splits the same list of classes"
            yield Defect("class-in-one-split", str(root), cause, mend, "stops", split)
        if set(reference) == set(classes) and reference != classes:
            cause = f"{first} and {split} have the same classes in another order"
            mend = "give all splits the same list of classes"
            yield Defect("class-order", str(root), cause, mend, "stops", split)


def _splits(root: Path, splits: Mapping[str, Index], looks: Looks) -> Iterator[Defect]:
    if "train" not in splits:
        cause = f"there is no train split, only {listed(list(splits))}"
        yield Defect("no-training-split", str(root), cause, "add one", "stops")
    elif "val" not in splits:
        mend = "add one, so that the best checkpoint can be told and training watched"
        yield _note("no-validation-split", root, "there is no val split", mend)
    for split, index in splits.items():
        if isinstance(index, MaskIndex):  # which would read masks again, and stop at a bad one
            labelled = any(amounts(index, looks.get(split, ())).values())
            reason = None if labelled else UNLABELLED
        else:
            reason = index.untrainable()
        if reason is not None:
            mend = "check the annotations"
            effect: Effect = "stops" if split == "train" else "noted"
            yield Defect("nothing-labelled", str(root), f"{split}: {reason}", mend, effect, split)
        elif isinstance(index, DetectionIndex):
            empty = int((np.diff(index.first) == 0).sum())
            if empty > len(index) / 2:
                cause = f"{empty:,} of {len(index):,} pictures of {split} have no box"
                mend = "see whether they are unlabelled: what they show is learned as background"
                yield _note("mostly-empty", root, cause, mend, split)


def conflicts(
    split: str,
    index: ClassIndex | MaskIndex,
    groups: list[list[int]],
    paths: list[str],
    looks: Sequence[Look] = (),
) -> list[Defect]:
    """Pictures that are the same but have different classes, or masks.

    Args:
        split: the split's name.
        index: the split.
        groups: positions of pictures that are the same.
        paths: of all pictures.
        looks: at all pictures.
    """
    what = "mask" if isinstance(index, MaskIndex) else "class"
    found = []

    def differ(one: int, other: int) -> bool:
        if isinstance(index, ClassIndex):
            return not np.array_equal(index.labels[one], index.labels[other])
        digests = [m.digest for i in (one, other) if (m := looks[i].mask) and m.digest]
        return len(digests) == 2 and digests[0] != digests[1]

    for group in groups:
        first, *others = group
        for other in others:
            if differ(first, other):
                cause = f"is the same picture as {paths[first]}, but has another {what}"
                mend = "keep the one that is right"
                found.append(Defect("conflicting-label", paths[other], cause, mend, "noted", split))
    return found


def _note(kind: str, root: Path, cause: str, mend: str, split: str = "") -> Defect:
    return Defect(kind, str(root), cause, mend, "noted", split)
