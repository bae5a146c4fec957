"""The pictures that a table names."""

import os
import posixpath
from collections.abc import Sequence
from pathlib import Path

from visionkit.data.defects import lose
from visionkit.data.label_table import Table
from visionkit.data.layout import listed
from visionkit.errors import DataError
from visionkit.geometry import IMAGE_SUFFIXES


class Pictures:
    """Finds the files that a table names, listing each folder once.

    Args:
        folders: where to look, in that order. Absolute names need none.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = [str(f) for f in dict.fromkeys(folders) if f.is_dir()]
        self._listed: dict[str, dict[str, str]] = {}

    def find(self, name: str) -> str | None:
        """The file called ``name``, which may lack the suffix of a picture."""
        parent, base = posixpath.split(posixpath.normpath(name.replace("\\", "/")))
        for folder in self.folders:
            place = os.path.normpath(os.path.join(folder, parent))
            file = self._files(place).get(base)
            if file is not None:
                return os.path.join(place, file)
        return None

    def _files(self, folder: str) -> dict[str, str]:
        """The files of a folder by name and, pictures, by name without suffix."""
        if folder not in self._listed:
            try:
                with os.scandir(folder) as entries:
                    files = sorted(e.name for e in entries if not e.is_dir())
            except OSError:
                files = []
            stems = {
                stem: name
                for name in reversed(files)
                for stem, suffix in [os.path.splitext(name)]
                if suffix.lower() in IMAGE_SUFFIXES
            }
            self._listed[folder] = stems | {name: name for name in files}
        return self._listed[folder]


def find_all(table: Table, rows: Sequence[int], pictures: Pictures) -> dict[int, str]:
    """The file of each of a table's rows.

    Raises:
        DataError: one is missing, or given twice, and nobody collects defects; or all are missing.
    """
    found = {i: pictures.find(table.names[i]) if table.names[i] else None for i in rows}
    missing = [i for i, file in found.items() if file is None]
    files: dict[int, str] = {}
    first: dict[str, int] = {}
    for i in missing:
        cause = (
            f"there is no picture {table.names[i]!r} ({len(missing)} of {len(rows)} are missing; "
            f"looked in {listed(pictures.folders)})"
        )
        mend = "put it there or remove the line"
        if len(missing) == len(rows):
            raise DataError(f"{table.path}:{table.lines[i]}: {cause}; {mend}")
        lose("missing-file", f"{table.path}:{table.lines[i]}", cause, mend)
    for i, file in found.items():
        if file is None:
            continue
        if first.setdefault(file, i) == i:
            files[i] = file
        else:
            lose(
                "listed-twice",
                f"{table.path}:{table.lines[i]}",
                f"{table.names[i]!r} has a line already, {table.lines[first[file]]}",
                "give each picture one line, with several classes as a|b",
            )
    return files
