"""The rows of YOLO's label files."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

from visionkit.data.defects import lose, lose_by, note
from visionkit.data.layout import listed, names_in, read_text, upright_size
from visionkit.errors import DataError

_NOT_NORMALISED = 10.0


class Labels:
    """Pictures and the rows of their label files, column by column.

    Args:
        config: data.yaml, for messages.
        numbers: the classes' numbers.
    """

    def __init__(self, config: Path, numbers: list[int]) -> None:
        self.config, self.numbers = config, numbers
        self.label_of = {number: label for label, number in enumerate(numbers)}
        self.files: list[str] = []
        self.sizes: list[tuple[int, int]] = []
        self.owner: list[int] = []
        self.labels: list[int] = []
        self.boxes: list[tuple[float, float, float, float]] = []
        self.lines: list[int] = []
        self.clipped = 0

    def take(self, file: str, label_file: str | None) -> None:
        """Add a picture and its rows, unless one of the files can't be read."""
        try:
            height, width = upright_size(file)
            text = "" if label_file is None else read_text(Path(label_file))
        except DataError as error:
            lose_by(error, "unreadable")
            return
        here = len(self.files)
        self.files.append(file)
        self.sizes.append((height, width))
        for number, row in enumerate(text.splitlines(), 1):
            found = self._row(f"{label_file}:{number}", row.strip()) if row.strip() else None
            if found is not None:
                label, (x1, y1, x2, y2) = found
                self.owner.append(here)
                self.labels.append(label)
                self.boxes.append((x1 * width, y1 * height, (x2 - x1) * width, (y2 - y1) * height))
                self.lines.append(number)

    def place(self, m: int) -> tuple[str, str]:
        """The file and row of annotation ``m``, and what to call it."""
        return f"{label_file_of(self.files[self.owner[m]])}:{self.lines[m]}", "the row"

    def _row(self, where: str, row: str) -> tuple[int, tuple[float, float, float, float]] | None:
        """Label, and corners of the box as parts of the picture; None for a row that is lost."""
        numbers = _numbers(where, row)
        if numbers is None:
            return None
        category, values = numbers
        if category not in self.label_of:
            lose(
                "undeclared-category",
                where,
                f"class {category} isn't declared in {self.config} "
                f"(declared: {listed(self.numbers)})",
                "add it to names or mend the row",
            )
            return None
        if min(values) < 0 or max(values) > 1:
            self.clipped += 1
            cause = f"{row[:60]!r} has values outside 0..1"
            note("partly-outside", where, cause, "give parts of the picture", "mended")
        if len(values) > 4:
            x, y = values[0::2], values[1::2]
            corners = min(x), min(y), max(x), max(y)
        else:
            cx, cy, w, h = values
            w, h = max(w, 0.0), max(h, 0.0)
            corners = cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2
        x1, y1, x2, y2 = (min(max(v, 0.0), 1.0) for v in corners)
        return self.label_of[category], (x1, y1, x2, y2)


def label_file_of(picture: str) -> str:
    """Where the rows of a picture should be."""
    parts = picture.split(os.sep)
    folders = parts[:-1]
    if "images" in folders:
        folders[len(folders) - 1 - folders[::-1].index("images")] = "labels"
    return os.sep.join([*folders, os.path.splitext(parts[-1])[0] + ".txt"])


def existing(files: Sequence[str]) -> set[str]:
    """Those of ``files`` that exist, listing each folder once."""
    listings: dict[str, frozenset[str]] = {}
    there = set()
    for file in files:
        parent, name = os.path.split(file)
        if parent not in listings:
            listings[parent] = names_in(parent)
        if name in listings[parent]:
            there.add(file)
    return there


def _numbers(where: str, row: str) -> tuple[int, list[float]] | None:
    """The class of a row, and its other numbers: four, or those of a polygon; None if lost."""
    try:
        category, *values = [float(v) for v in row.split()]
    except ValueError:
        lose("bad-row", where, f"{row[:60]!r} isn't numbers", "write: class cx cy w h")
        return None
    if not (len(values) == 4 or (len(values) >= 6 and len(values) % 2 == 0)):
        _lose_shape("bad-row", where, row)
    elif not all(map(math.isfinite, [category, *values])):
        _lose_shape("bad-box", where, row)
    elif category != int(category) or category < 0:
        lose("bad-row", where, f"class {category:g} isn't a whole number", "mend the row")
    elif max(map(abs, values)) > _NOT_NORMALISED:
        lose(
            "bad-box",
            where,
            f"{row[:60]!r} isn't normalised",
            "divide x and w by the picture's width, y and h by its height",
        )
    else:
        return int(category), values
    return None


def _lose_shape(kind: str, where: str, row: str) -> None:
    cause = f"{row[:60]!r} is neither class cx cy w h nor class and a polygon of x y pairs"
    lose(kind, where, cause, "mend the row")
