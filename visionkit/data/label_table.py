"""Tables (CSV) that give pictures their classes: reading, and what the columns mean."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from visionkit.data.defects import lose
from visionkit.data.layout import listed, read_text
from visionkit.errors import DataError

FILE_COLUMNS = (
    *("file", "filename", "file_name", "image", "path", "filepath", "file_path", "image_path"),
    *("image_name", "image_id", "img", "picture", "id", "name"),
)
LABEL_COLUMNS = ("label", "class", "labels", "classes", "class_name", "category", "tags", "target")
SPLIT_COLUMNS = ("split", "set", "subset")

_MARKS = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}


@dataclass(frozen=True)
class Columns:
    """Which columns to take, and what a cell with several classes means.

    Attributes:
        file: the column of the pictures' names; None for the first of :data:`FILE_COLUMNS`.
        label: that of the classes; None for the first of :data:`LABEL_COLUMNS`, else every other
            column is a class, with 0 or 1.
        several: whether pictures may have several classes; None to see from the tables.
    """

    file: str | None = None
    label: str | None = None
    several: bool | None = None


@dataclass(frozen=True)
class Table:
    """The rows of a table.

    Attributes:
        path: the file.
        names: of the pictures, as they are written.
        lines: in the file.
        cells: the classes of each row, as they are written; None where each class has a column.
        marks: for each row the classes whose columns have a 1; None where there are cells.
        classes: those that have columns.
        splits: the split of each row, as it is written; None where there is no such column.
    """

    path: Path
    names: list[str]
    lines: list[int]
    cells: list[str] | None
    marks: list[tuple[str, ...]] | None
    classes: tuple[str, ...]
    splits: list[str] | None


def read_table(path: Path, columns: Columns, labelled: bool = True) -> Table | None:
    """Read a table.

    Args:
        path: a file of comma, semicolon or tab separated values; the first line names the columns.
        columns: which to take.
        labelled: whether it is an error if no column gives the classes.

    Returns:
        The table; None if it has no classes and ``labelled`` is false.

    Raises:
        DataError: the file is empty, or columns are missing or unknown.
    """
    text = read_text(path)
    header = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(",;\t", key=header.count)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        rows = [(reader.line_num, [c.strip() for c in row]) for row in reader if any(row)]
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: broken CSV ({error}); mend the line") from error
    if len(rows) < 2:
        what = "has no rows but the first" if rows else "is empty"
        raise DataError(f"{path}: {what}; give a line for each picture below one of column names")
    names, rows = rows[0][1], rows[1:]
    for line, row in rows:
        if len(row) != len(names):
            cause = f"has {len(row)} values for {len(names)} columns"
            lose("bad-row", f"{path}:{line}", cause, "mend the line")
    rows = [(line, row) for line, row in rows if len(row) == len(names)]
    file = _column(path, names, columns.file, FILE_COLUMNS, "file_column")
    if file is None:
        raise DataError(
            f"{path}: no column gives the pictures' files (there are {listed(names)}); call it "
            "'file', or name it with data.layout.file_column"
        )
    if not labelled and columns.label is not None and columns.label not in names:
        return None
    label = _column(path, names, columns.label, LABEL_COLUMNS, "label_column")
    if not labelled and label is not None and not any(row[label] for _, row in rows):
        return None
    split = _column(path, names, None, SPLIT_COLUMNS, "")
    others = [k for k in range(len(names)) if k not in (file, split)]
    if label is None and (not others or (not labelled and not _all_marks(rows, others))):
        if not labelled:
            return None
        raise DataError(
            f"{path}: no column gives the classes (there are {listed(names)}); call it 'label', or "
            "name it with data.layout.label_column"
        )
    marks: list[tuple[str, ...]] | None = None
    if label is None:
        rows = _markable(path, names, rows, others)
        marks = [tuple(names[k] for k in others if _MARKS[row[k].lower()]) for _, row in rows]
    if not rows:
        raise DataError(f"{path}: no row can be used; mend the rows")
    return Table(
        path=path,
        names=[row[file] for _, row in rows],
        lines=[line for line, _ in rows],
        cells=None if label is None else [row[label] for _, row in rows],
        marks=marks,
        classes=() if label is not None else tuple(names[k] for k in others),
        splits=None if split is None else [row[split] for _, row in rows],
    )


def _column(
    path: Path, names: list[str], wanted: str | None, usual: Sequence[str], option: str
) -> int | None:
    """The number of the wanted column, or of the first of the usual ones."""
    if wanted is not None:
        if wanted not in names:
            raise DataError(
                f"{path}: has no column {wanted!r} (there are {listed(names)}); "
                f"mend data.layout.{option}"
            )
        return names.index(wanted)
    lower = [name.lower().replace(" ", "_") for name in names]
    return next((lower.index(name) for name in usual if name in lower), None)


def _all_marks(rows: list[tuple[int, list[str]]], columns: list[int]) -> bool:
    return all(row[k].lower() in _MARKS for _, row in rows for k in columns)


def _markable(
    path: Path, names: list[str], rows: list[tuple[int, list[str]]], columns: list[int]
) -> list[tuple[int, list[str]]]:
    """The rows that have 0 or 1 for each class."""
    kept = []
    some = {k for k in columns if any(row[k].lower() in _MARKS for _, row in rows)}
    mend = (
        "where no column is called 'label', all others are classes with 0 or 1: name the column of "
        "the classes with data.layout.label_column, or remove this one"
    )
    for line, row in rows:
        wrong = next((k for k in columns if row[k].lower() not in _MARKS), None)
        if wrong is None:
            kept.append((line, row))
            continue
        cause = f"column {names[wrong]!r} has {row[wrong]!r}"
        if wrong not in some:
            raise DataError(f"{path}:{line}: {cause}; {mend}")
        lose("bad-row", f"{path}:{line}", cause, mend)
    return kept


def classes_of(
    tables: Sequence[Table], several: bool | None
) -> tuple[list[list[tuple[str, ...]]], bool]:
    """Split every cell into classes.

    Several classes stand in one cell with ``|``, ``;`` or a comma (no space after it) between.

    Args:
        tables: all of the set, since what one has tells how to read the others.
        several: see :class:`Columns`.

    Returns:
        For each table the classes of each row, and whether each picture is to have exactly one.
    """
    cells = [cell for table in tables for cell in table.cells or ()]
    separator = None
    if several is not False:
        separator = next((s for s in "|;" if any(s in cell for cell in cells)), None)
        commas = [cell for cell in cells if "," in cell]
        if separator is None and commas and not any(", " in cell for cell in commas):
            separator = ","
    found: list[list[tuple[str, ...]]] = []
    for table in tables:
        if table.marks is not None:
            found.append(table.marks)
            continue
        each = []
        for cell in table.cells or ():
            parts = [p.strip() for p in cell.split(separator)] if separator else [cell]
            each.append(tuple(dict.fromkeys(p for p in parts if p)))
        found.append(each)
    if several is None:
        several = separator is not None or any(
            len(row) != 1
            for table, rows in zip(tables, found, strict=True)
            if table.marks is not None
            for row in rows
        )
    return found, not several


def with_one_class(
    table: Table, numbers: Sequence[int], classes: Sequence[tuple[str, ...]]
) -> list[int]:
    """Those of the rows ``numbers`` that have exactly one class.

    Raises:
        DataError: one hasn't, and nobody collects defects.
    """
    for i in numbers:
        if len(classes[i]) != 1:
            lose(
                "several-classes" if classes[i] else "no-class",
                f"{table.path}:{table.lines[i]}",
                f"the picture has {'several classes' if classes[i] else 'no class'}",
                "give it one, or allow any number with data.layout.multi_label=true",
            )
    return [i for i in numbers if len(classes[i]) == 1]


def in_order(names: set[str]) -> tuple[str, ...]:
    """Class names sorted, numbers by their value."""
    numbers = all(name.isdecimal() for name in names)
    return tuple(sorted(names, key=lambda n: (int(n), n) if numbers else (0, n)))
