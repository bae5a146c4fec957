"""The generated shapes with labels of several kinds: boxes, masks, and the classes shown.

Pictures, splits and counts are those of :mod:`visionkit.data.shapes`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from visionkit.data.joint import join, shown_classes
from visionkit.data.joint_index import JointIndex, Known
from visionkit.data.shape_masks import read_shape_masks
from visionkit.data.shapes import read_shapes
from visionkit.errors import ConfigError

Kind = Literal["boxes", "masks", "classes"]


def read_joint_shapes(root: str | Path, split: str, parts: Mapping[str, Kind]) -> JointIndex | None:
    """Read a split of the generated set, making what is needed of it in ``root`` at first.

    Args:
        root: the set's folder; it may not exist yet.
        split: ``train``, ``val`` or ``test``.
        parts: what the labels of each part are, by its name: ``boxes``; ``masks``; or ``classes``,
            of the objects that the picture shows.

    Returns:
        The index, or None for any other split.

    Raises:
        ConfigError: there are no parts.
        DataError: ``root`` holds something else, or can't be written.
    """
    if not parts:
        raise ConfigError("data.layout.parts: there are none; give boxes, masks or classes to one")
    known: dict[str, Known] = {}
    for name, kind in parts.items():
        index = read_kind(Path(root), split, kind)
        if index is None:
            return None
        known[name] = index
    joined, _ = join(known, f"{root}: {split}")
    return JointIndex((joined,))


def read_kind(root: Path, split: str, kind: Kind) -> Known | None:
    """Read a split with labels of one kind."""
    if kind == "masks":
        return read_shape_masks(root / "masks", split)
    boxes = read_shapes(root / "boxes", split)
    return boxes if boxes is None or kind == "boxes" else shown_classes(boxes)


read_joint_shapes.generates = True  # type: ignore[attr-defined]  # its folder need not be there yet
