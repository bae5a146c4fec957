"""Sets whose pictures have labels of several kinds, from readers that know one kind each.

Every reader is one of those that data sets have for a single task, such as
:func:`visionkit.data.coco.read_coco`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visionkit.data.class_index import ClassIndex
from visionkit.data.index import DetectionIndex, Index
from visionkit.data.joint_index import JoinedSet, JointIndex, Known
from visionkit.errors import ConfigError, DataError

Reader = Callable[[Path, str], Index | None]


def read_joint(root: str | Path, split: str, parts: Mapping[str, Reader]) -> JointIndex | None:
    """Read one split of a set whose pictures are labelled for several parts.

    The labels of a picture are found by its file; where the readers name different files, by the
    file's name without its folder and ending. Pictures that a part has no label for are left out,
    with a line in ``warnings``.

    Args:
        root: the set's folder, which every reader reads.
        split: ``train``, ``val`` or ``test``.
        parts: a reader for each part, by the part's name.

    Returns:
        The index, or None where no reader finds such a split.

    Raises:
        DataError: a reader raises it, a part lacks the split, or no picture has all labels.
    """
    known = _read(Path(root), split, parts)
    if known is None:
        return None
    joined, warnings = join(known, f"{root}: {split}")
    return JointIndex((joined,), _warnings(known, warnings))


def read_sets(
    root: str | Path, split: str, sets: Mapping[str, Mapping[str, Any]]
) -> JointIndex | None:
    """Read one split of several sets of different pictures, each labelled for parts of its own.

    Args:
        root: what the roots of the sets start from, where they aren't absolute.
        split: ``train``, ``val`` or ``test``.
        sets: by a name that messages use: ``root`` of the set, and ``parts``, see
            :func:`read_joint`.

    Returns:
        The index, or None where no set has such a split.

    Raises:
        ConfigError: two sets have a part of the same name, or something else is given of one.
        DataError: a set raises it, or lacks a split that another has.
    """
    _check_sets(sets)
    found: dict[str, JointIndex | None] = {}
    for name, one in sets.items():
        place = Path(root).expanduser() / Path(str(one["root"])).expanduser()
        found[name] = read_joint(place, split, one["parts"])
    there = {name: index for name, index in found.items() if index is not None}
    if not there:
        return None
    lacking = [name for name in sets if name not in there]
    if lacking:
        raise DataError(
            f"data.layout.sets.{lacking[0]}: no {split} split, which {', '.join(there)} has; add "
            "it, or take it away from the others"
        )
    joined = tuple(one for index in there.values() for one in index.sets)
    return JointIndex(joined, tuple(w for index in there.values() for w in index.warnings))


def read_shown(root: str | Path, split: str, boxes: Reader) -> ClassIndex | None:
    """Read which classes each picture shows, from a reader of boxes.

    Args:
        root: the set's folder.
        split: ``train``, ``val`` or ``test``.
        boxes: gives a :class:`visionkit.data.index.DetectionIndex`.

    Returns:
        The index, whose pictures may have several classes or none; None where there is no such
        split.

    Raises:
        ConfigError: the reader gives something else.
    """
    index = boxes(Path(root), split)
    if index is None:
        return None
    if not isinstance(index, DetectionIndex):
        raise ConfigError(
            "data.layout.parts: read_shown wants a reader of boxes, such as "
            "visionkit.data.coco.read_coco"
        )
    return shown_classes(index)


def shown_classes(index: DetectionIndex) -> ClassIndex:
    """The classes that the boxes of each picture have; crowds count."""
    marks = np.zeros((len(index), len(index.classes)), np.bool_)
    owner = np.repeat(np.arange(len(index)), np.diff(index.first))
    marks[owner, index.labels] = True
    return ClassIndex(index.classes, index.image_ids, marks, files=index.files)


def join(parts: Mapping[str, Known], where: str) -> tuple[JoinedSet, tuple[str, ...]]:
    """Find the pictures that every part has labels for, in the order of the first part.

    Args:
        parts: the index of each part.
        where: the set and its split, for messages.

    Returns:
        The set, and a line that says how many pictures are left out, if any.

    Raises:
        DataError: there are none.
    """
    for key in (_path, _stem):
        rows = _common([_places(index, key) for index in parts.values()])
        if len(rows[0]):
            break
    else:
        raise DataError(
            f"{where}: no picture has labels for {' and '.join(parts)}; check that their readers "
            "name the same files, or read sets of different pictures with data=joint_sets"
        )
    most = max(len(index) for index in parts.values())
    lost = most - len(rows[0])
    told = f"{where}: {lost} of {most} pictures are left out, they lack labels for some part"
    joined = JoinedSet(dict(parts), dict(zip(parts, rows, strict=True)))
    return joined, (told,) if lost else ()


def refuse_joint(splits: Mapping[str, Index]) -> None:
    """Refuse labels of several kinds, where one kind is looked at.

    Raises:
        ConfigError: as it says.
    """
    if any(isinstance(index, JointIndex) for index in splits.values()):
        raise ConfigError(
            "data: this set has labels of several kinds, and one kind is checked at a time; check "
            "each by itself, such as data=coco and then data=coco_masks"
        )


def narrowed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Take labels that no part learns out of the data of a plain configuration.

    Args:
        settings: of a training run; without ``parts`` nothing is done.
    """
    if not settings.get("parts"):
        return dict(settings)
    return {**settings, "data": only_parts(settings["data"], settings["parts"])}


def part_names(data: Mapping[str, Any]) -> tuple[str, ...]:
    """The parts that the layout of a plain ``data`` node has labels for; none for one kind."""
    layout = data.get("layout") or {}
    sets = layout.get("sets") or {}
    every = [layout, *(one for one in sets.values() if isinstance(one, Mapping))]
    return tuple(name for one in every for name in one.get("parts") or ())


def only_parts(data: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Return a plain ``data`` node whose layout reads no other parts than the named."""
    layout = data.get("layout")
    if not isinstance(layout, Mapping):
        return dict(data)
    layout = dict(layout)
    if isinstance(layout.get("parts"), Mapping):
        layout["parts"] = {n: part for n, part in layout["parts"].items() if n in names}
    if isinstance(layout.get("sets"), Mapping):
        sets = {name: only_parts({"layout": one}, names) for name, one in layout["sets"].items()}
        # one that has no parts from the start is refused where it is read
        kept = {n for n, one in layout["sets"].items() if not _has_parts(one)}
        layout["sets"] = {
            n: one["layout"] for n, one in sets.items() if n in kept or one["layout"]["parts"]
        }
    return {**data, "layout": layout}


def _has_parts(one: Any) -> bool:
    return isinstance(one, Mapping) and isinstance(one.get("parts"), Mapping)


def _read(root: Path, split: str, parts: Mapping[str, Reader]) -> dict[str, Known] | None:
    """Read a split by every reader; None where none of them finds it."""
    if not parts:
        raise ConfigError("data.layout.parts: there are none; give a reader for each part")
    found: dict[str, Known] = {}
    lacking = []
    for name, reader in parts.items():
        index = reader(root, split)
        if index is None:
            lacking.append(name)
        elif isinstance(index, Known):
            found[name] = index
        else:
            raise ConfigError(
                f"data.layout.parts.{name}: gives pictures with {index.kind}; parts learn boxes, "
                "masks or classes, so choose a reader of one of these"
            )
    if found and lacking:
        raise DataError(
            f"{root}: no {split} split for {lacking[0]}, which {next(iter(found))} has; add it, or "
            "take the other away"
        )
    return found or None


def _check_sets(sets: Mapping[str, Mapping[str, Any]]) -> None:
    owner: dict[str, str] = {}
    if not sets:
        raise ConfigError("data.layout.sets: there are none; give each a root and its parts")
    for name, one in sets.items():
        where = f"data.layout.sets.{name}"
        if not _has_parts(one) or set(one) != {"root", "parts"}:
            raise ConfigError(
                f"{where}: must have root and parts, nothing else; give {where}.root=DIR, and a "
                "reader for each part as conf/data/joint_sets.yaml does"
            )
        for part in one["parts"]:
            if part in owner:
                raise ConfigError(
                    f"{where}.parts.{part}: {owner[part]} has labels for it, too; a part learns "
                    "from one set, put the two together or name another part"
                )
            owner[part] = name


def _path(path: Path) -> str:
    return str(path.absolute())


def _stem(path: Path) -> str:
    return path.stem


def _places(index: Known, key: Callable[[Path], str]) -> dict[str, int]:
    """Where the picture with each key stands; none where two have the same."""
    keys = [key(Path(index.path(i))) for i in range(len(index))]
    places = {k: i for i, k in enumerate(keys)}
    return places if len(places) == len(keys) else {}


def _common(places: Sequence[Mapping[str, int]]) -> list[NDArray[np.int64]]:
    """For each of several lists, where those pictures stand that all of them have."""
    names = [k for k in places[0] if all(k in other for other in places)]
    return [np.array([each[k] for k in names], np.int64) for each in places]


def _warnings(parts: Mapping[str, Known], more: Sequence[str]) -> tuple[str, ...]:
    every = [line for index in parts.values() for line in index.warnings]
    return tuple(dict.fromkeys([*every, *more]))  # readers of one file say the same
