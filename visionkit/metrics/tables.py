"""Tables of figures as CSV files."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from visionkit.report import replacing


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table so that the file is either the old one or the whole new one.

    Raises:
        DataError: the disk is full or the folder can't be written.
    """
    with replacing(path) as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(header)
        for row in rows:
            table.writerow([clean(c) if isinstance(c, str) else c for c in row])


def cell(value: float) -> str:
    """Six digits, or nothing where a figure is undefined."""
    return "" if value == -1 else f"{value:.6f}"


def clean(text: str) -> str:
    """Replace what no text file can hold: the bytes of file names that aren't UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")


def told_apart(names: Sequence[str]) -> list[str]:
    """Tell classes of one name apart by their label."""
    return [n if names.count(n) == 1 else f"{n} ({k})" for k, n in enumerate(names)]
