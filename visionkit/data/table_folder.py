"""Pictures in any folder, beside tables (CSV) of their classes."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from visionkit.data.class_index import ClassIndex
from visionkit.data.class_listing import SPELLINGS, Listing, make_class_index, parts
from visionkit.data.defects import aside, is_collecting, lose
from visionkit.data.label_table import (
    Columns,
    Table,
    classes_of,
    in_order,
    read_table,
    with_one_class,
)
from visionkit.data.layout import listed, names_in
from visionkit.data.table_pictures import Pictures, find_all
from visionkit.errors import DataError

log = logging.getLogger(__name__)

_OF_SPLIT = ("_classes.csv", "labels.csv", "metadata.csv")
_OF_ALL = ("labels.csv", "metadata.csv")


@dataclass(frozen=True)
class _Rows:
    """The rows of a table that belong to one split: their numbers and classes."""

    table: Table
    numbers: list[int]
    classes: list[tuple[str, ...]]


def find_tables(root: Path, table: str | None) -> dict[str, Path]:
    """The tables of a set by split; that of the whole set under the empty name.

    Args:
        root: the set's folder.
        table: the name of the whole set's; None to look for the usual names.

    Raises:
        DataError: ``table`` isn't there.
    """
    if table is not None:
        if not (root / table).is_file():
            raise DataError(f"{root}: there is no table {table!r}; mend data.layout.table")
        return {"": root / table}
    candidates = {
        split: [f"{s}.csv" for s in spellings] + [f"{s}/{n}" for s in spellings for n in _OF_SPLIT]
        for split, spellings in SPELLINGS.items()
    }
    found = {split: _first_file(root, names) for split, names in candidates.items()}
    if not any(found.values()):
        found = {"": _first_file(root, _OF_ALL)}
    return {split: path for split, path in found.items() if path is not None}


def _first_file(root: Path, names: Sequence[str]) -> Path | None:
    return next((root / name for name in names if (root / name).is_file()), None)


def read_tables(
    root: Path, split: str, paths: Mapping[str, Path], columns: Columns, validation: float
) -> ClassIndex | None:
    """Read one split; see :func:`visionkit.data.folder.read_folder`.

    Args:
        root: the set's folder.
        split: ``train``, ``val`` or ``test``.
        paths: see :func:`find_tables`.
        columns: which to take.
        validation: part of the training rows that becomes ``val`` where there is none.
    """
    tables = _read_all(split, paths, columns)
    found, exclusive = classes_of(list(tables.values()), columns.several)
    chosen: dict[str, _Rows] = {}
    for (name, table), rows in zip(tables.items(), found, strict=True):
        with aside(unless=_tells(name, split)):
            parts_of = _by_split(name, table)
            for part, numbers in parts_of.items():
                if exclusive:
                    numbers = with_one_class(table, numbers, rows)
                chosen[part] = _Rows(table, numbers, [rows[i] for i in numbers])
    classes, chosen = _classes(chosen, split)
    held: Mapping[str, float] = {}
    source = split
    if "" in chosen:
        source, held = "", parts(validation)
    elif "val" not in {*chosen, *paths} and validation and split in ("train", "val"):
        source, held = "train", {"val": validation}
    if source not in chosen:
        return None
    mine = chosen[source]
    if not mine.numbers:
        raise DataError(f"{mine.table.path}: no row can be used; mend the rows")
    with aside(unless=_tells(source, split)):
        files = find_all(mine.table, mine.numbers, _places(root, source, mine.table))
    rows = [row for i, row in zip(mine.numbers, mine.classes, strict=True) if i in files]
    listing = Listing(mine.table.path, root, list(files.values()), rows)
    return make_class_index(listing, classes, exclusive, split, held)


def _tells(name: str, split: str) -> bool:
    """Whether reading ``split`` tells what is wrong with the rows of ``name``."""
    return name == split or (name == "" and split == "train")


def _read_all(split: str, paths: Mapping[str, Path], columns: Columns) -> dict[str, Table]:
    """Read the tables of all splits, since what one has tells how to read the others."""
    tables: dict[str, Table] = {}
    for name, path in paths.items():
        try:
            with aside(unless=_tells(name, split)):
                table = read_table(path, columns, labelled=name != "test")
            first = next(iter(tables.values()), table)
            if table is not None and first is not None and _way(table) != _way(first):
                if name != "test":
                    raise DataError(
                        f"{path}: has {_way(table)}, but {first.path} has {_way(first)}; "
                        "give every table the same columns"
                    )
                table = None
        except DataError:
            if is_collecting() and name not in ("", split):
                continue
            raise
        if table is not None:
            tables[name] = table
        elif split == name:
            log.warning("%s: gives no classes, so there is nothing to score: left out", path)
    return tables


def _way(table: Table) -> str:
    """How a table gives the classes."""
    return "a column for each class" if table.cells is None else "one column of classes"


def _by_split(name: str, table: Table) -> dict[str, list[int]]:
    """The rows of each split that a table has."""
    if name or table.splits is None:
        return {name: list(range(len(table.names)))}
    split_of = {s: split for split, spellings in SPELLINGS.items() for s in spellings}
    found: dict[str, list[int]] = {}
    for i, value in enumerate(table.splits):
        split = split_of.get(value.lower())
        if split is None:
            where = f"{table.path}:{table.lines[i]}"
            lose("bad-split", where, f"{value!r} is no split", "write train, val or test")
            continue
        found.setdefault(split, []).append(i)
    return found


def _classes(chosen: Mapping[str, _Rows], split: str) -> tuple[tuple[str, ...], dict[str, _Rows]]:
    """The classes of the training rows, which must be all there are, and the rows that have them.

    Only what is wrong with the rows of ``split`` is told.
    """
    columns = [rows.table for rows in chosen.values() if rows.table.marks is not None]
    if columns:
        classes = columns[0].classes
        for table in columns[1:]:
            differ = sorted(set(table.classes) ^ set(classes))
            if differ:
                raise DataError(
                    f"{table.path}: {columns[0].path} has other columns of classes (they differ "
                    f"in {listed(differ)}); give every table the same"
                )
        return classes, dict(chosen)
    every = [name for name in ("train", "") if name in chosen] or list(chosen)
    known = {c for name in every for row in chosen[name].classes for c in row}
    kept = {}
    for name, rows in chosen.items():
        pairs = []
        for i, row in zip(rows.numbers, rows.classes, strict=True):
            extra = [c for c in row if c not in known]
            if extra:
                with aside(unless=_tells(name, split)):
                    lose(
                        "class-in-one-split",
                        f"{rows.table.path}:{rows.table.lines[i]}",
                        f"no training picture is of the class {extra[0]!r}",
                        "add some there or remove the line",
                    )
            else:
                pairs.append((i, row))
        kept[name] = _Rows(rows.table, [i for i, _ in pairs], [row for _, row in pairs])
    return in_order(known), kept


def _places(root: Path, split: str, table: Table) -> Pictures:
    """Where the pictures of a split may be: the usual folders, then any that isn't another's."""
    ours = [s for name in ((split, "train") if split else SPELLINGS) for s in SPELLINGS[name]]
    others = {s for spellings in SPELLINGS.values() for s in spellings} - set(ours)
    bases = [b / inner for b in (table.path.parent, root) for inner in ("", "images")]
    named = [base / name for base in bases for name in ours]
    folders = [root / name for name in sorted(names_in(root)) if not name.startswith(".")]
    rest = [f for f in folders if not others & set(re.split("[^a-z]+", f.name.lower()))]
    return Pictures([*bases, *named, *rest])
