"""The classes of a set's splits, which must be the same."""

from collections.abc import Mapping
from pathlib import Path

from visionkit.data.defects import lose
from visionkit.data.index import Index
from visionkit.data.layout import listed


def same_classes(
    root: str | Path, indices: Mapping[str, Index], classes: tuple[str, ...] | None = None
) -> dict[str, Index]:
    """Check that all splits of a set have the same classes in the same order.

    Args:
        root: the set's folder, for messages.
        indices: split name -> index.
        classes: the list that rules, by default that of ``train``, else of the first split.

    Returns:
        The same splits. While somebody collects defects, those that differ come with the list that
        rules and without what is of other classes.

    Raises:
        DataError: two splits differ, and nobody collects; says in which classes.
    """
    ruler = "train" if classes is not None or "train" in indices else next(iter(indices), "")
    ours = classes if classes is not None or not indices else indices[ruler].classes
    alike: dict[str, Index] = {}
    for split, index in indices.items():
        alike[split] = index
        theirs = index.classes
        if ours is None or ours == theirs:
            continue
        lacking = [name for name in ours if name not in theirs]
        extra = [name for name in theirs if name not in ours]
        parts = []
        if lacking:
            parts.append(f"{split} lacks {listed(lacking)}")
        if extra:
            parts.append(f"only {split} has {listed(extra)}")
        if not parts:
            parts.append(f"the order differs: {listed(ours)} against {listed(theirs)}")
        lose(
            "class-in-one-split" if lacking or extra else "class-order",
            root,
            f"{ruler} and {split} have different classes ({'; '.join(parts)})",
            "give all splits the same list of categories",
        )
        alike[split] = index.with_classes(ours)
    return alike
