"""Results as JSON and CSV."""

import csv
from pathlib import Path
from typing import Any

from visionkit.outputs.base import Entry, Output
from visionkit.report import replacing, write_json

_PLACE = ("x1", "y1", "x2", "y2")


class JsonRecords(Output):
    """A list of what was found, a record for each picture.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._records: list[dict[str, Any]] = []

    def add(self, entry: Entry) -> None:
        """See :class:`Output`."""
        self._records.append(entry.record)

    def finish(self) -> None:
        """See :class:`Output`."""
        write_json(self.path, self._records)


class CsvRows(Output):
    """A row for each thing that was found.

    The columns are ``file``, of a video ``frame`` and ``seconds``, ``label``, ``name``, and what
    results have of ``score``, ``share`` (of the picture) and ``x1 y1 x2 y2`` (in its pixels). A
    picture in which nothing was found has no row.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._columns: list[str] = []
        self._rows: list[list[Any]] = []

    def add(self, entry: Entry) -> None:
        """See :class:`Output`."""
        record = entry.record
        where = [k for k in ("file", "frame", "seconds") if k in record]
        found = {"label": record["labels"], "name": record["names"]}
        found |= {k: record[f"{k}s"] for k in ("score", "share") if f"{k}s" in record}
        if "boxes" in record:
            corners = zip(*record["boxes"], strict=True) if record["boxes"] else [()] * len(_PLACE)
            found |= dict(zip(_PLACE, corners, strict=True))
        self._columns = [*where, *found]
        here = [record[k] for k in where]
        self._rows += [[*here, *row] for row in zip(*found.values(), strict=True)]

    def finish(self) -> None:
        """See :class:`Output`."""
        with replacing(self.path) as file:
            csv.writer(file, lineterminator="\n").writerows([self._columns, *self._rows])
