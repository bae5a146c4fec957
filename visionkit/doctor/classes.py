"""What is wrong with the classes of a set, and with its splits."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from visionkit.data.class_index import ClassIndex
from visionkit.data.defects import Defect, Effect
from visionkit.data.index import DetectionIndex, Index
from visionkit.data.layout import listed


def check_classes(
    root: Path, splits: Mapping[str, Index], few: int = 10, imbalance: float = 50.0
) -> list[Defect]:
    """Find classes that can't be learned or scored, and splits that are missing.

    Args:
        root: the set's folder, which the defects name.
        splits: by name.
        few: training examples, below which a class is told.
        imbalance: how many times as many the most frequent class may have as the rarest.
    """
    found = [*_lists(root, splits), *_splits(root, splits)]
    counts = _counts(splits)
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
    if train:
        most, fewest = max(train, key=lambda n: train[n]), min(train, key=lambda n: train[n])
        ratio = train[most] / train[fewest]
        if ratio > imbalance:
            cause = (
                f"{most} has {train[most]:,} training examples, {fewest} {train[fewest]:,}: "
                f"{ratio:.0f} times as many"
            )
            mend = "add some of the rare ones, or draw them more often by data.sampling=balanced"
            found.append(_note("imbalance", root, cause, mend, "train"))
    return found


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


def _splits(root: Path, splits: Mapping[str, Index]) -> Iterator[Defect]:
    if "train" not in splits:
        cause = f"there is no train split, only {listed(list(splits))}"
        yield Defect("no-training-split", str(root), cause, "add one", "stops")
    elif "val" not in splits:
        mend = "add one, so that the best checkpoint can be told and training watched"
        yield _note("no-validation-split", root, "there is no val split", mend)
    for split, index in splits.items():
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


def _counts(splits: Mapping[str, Index]) -> dict[str, dict[str, int]]:
    """How many examples of each class each split has."""
    return {
        split: dict(zip(index.classes, index.counts().tolist(), strict=True))
        for split, index in splits.items()
    }


def conflicts(
    split: str, index: ClassIndex, groups: list[list[int]], paths: list[str]
) -> list[Defect]:
    """Pictures that are the same but have different classes.

    Args:
        split: the split's name.
        index: the split.
        groups: positions of pictures that are the same.
        paths: of all pictures.
    """
    found = []
    for group in groups:
        first, *others = group
        for other in others:
            if not np.array_equal(index.labels[first], index.labels[other]):
                cause = f"is the same picture as {paths[first]}, but has another class"
                mend = "keep the one that is right"
                found.append(Defect("conflicting-label", paths[other], cause, mend, "noted", split))
    return found


def _note(kind: str, root: Path, cause: str, mend: str, split: str = "") -> Defect:
    return Defect(kind, str(root), cause, mend, "noted", split)
