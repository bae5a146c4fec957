"""Lists of classes, with the values and colours of masks that stand for them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from visionkit.data.layout import names_in, read_text
from visionkit.errors import DataError

Colour = tuple[int, int, int]

LISTS = (
    "classes.txt",
    "labels.txt",
    "class_dict.csv",
    "label_colors.txt",
    "classes.csv",
    "_classes.csv",
    "labelmap.txt",
)
"""Files that may list the classes, in the order in which they are looked for."""

_NAMES = re.compile("(class[ _])?names?|class(es)?|labels?")
_NUMBERS = re.compile("id|index|(pixel )?value|r|g|b|red|green|blue")
_UNSAID = "(?:void|ignored?|unlabell?ed)"
LARGEST = 65535
"""The largest value that may stand for a class."""


@dataclass(frozen=True)
class Entry:
    """One line of a list of classes.

    Attributes:
        name: of the class.
        value: of its pixels in a mask of indices; None for the line's number, from 0.
        colour: of its pixels in a mask of colours, if any is known.
    """

    name: str
    value: int | None = None
    colour: Colour | None = None


def is_void(name: str) -> bool:
    """Whether a class is called void, ignore or unlabelled, alone or in brackets."""
    name = name.strip().lower()
    alone = re.fullmatch(rf"{_UNSAID}(\s*[(\[].*)?", name)
    return bool(alone or re.search(rf"[(\[]\s*{_UNSAID}\s*[)\]]", name))


def find_list(folders: Iterable[Path]) -> Path | None:
    """Return the first list of classes that is in one of the folders."""
    for folder in folders:
        names = {name.lower(): name for name in sorted(names_in(folder))}
        for wanted in LISTS:
            if wanted in names:
                return folder / names[wanted]
    return None


def read_entries(path: Path) -> list[Entry]:
    """Read a list of classes.

    Each line is a name, or has besides it a value, or red, green and blue, or both; before it or
    after it, separated by spaces, commas, semicolons or tabs. ``0: name`` and CVAT's
    ``name:red,green,blue::`` are read, too. A first line that names the columns is skipped, as are
    empty lines and those that begin with ``#``.

    Raises:
        DataError: it can't be read, a line is none of these, or only some have a value.
    """
    entries: list[Entry] = []
    lines = [(n, line.strip()) for n, line in enumerate(read_text(path).splitlines(), 1)]
    lines = [(n, line) for n, line in lines if line and not line.startswith("#")]
    for position, (number, line) in enumerate(lines):
        fields = _fields(line)
        if position == 0 and len(lines) > 1 and _is_header(fields):
            continue
        entry = _entry(fields, spaces=not re.search("[,;\t:]", line))
        if entry is None:
            raise DataError(
                f"{path}:{number}: {line!r} is no class; write its name, and if need be a value "
                "or red, green and blue (0 to 255)"
            )
        entries.append(entry)
    if not entries:
        raise DataError(f"{path}: lists no class; write one a line")
    if len({entry.value is None for entry in entries}) == 2:
        raise DataError(f"{path}: gives only some classes a value; give it to all or to none")
    return entries


def _is_header(fields: Sequence[str]) -> bool:
    """Whether fields name the columns; without one for the names, `red` is a class."""
    others = [field for field in fields if not _NAMES.fullmatch(field.lower())]
    return len(others) < len(fields) and all(_NUMBERS.fullmatch(f.lower()) for f in others)


def _fields(line: str) -> list[str]:
    cvat = re.fullmatch(r"([^:]+):(\d+),(\d+),(\d+)(:.*)?", line)
    if cvat:
        return list(cvat.groups()[:4])
    numbered = re.fullmatch(r"(\d+)\s*:\s*(.+)", line)
    if numbered:
        return list(numbered.groups())
    if re.search("[,;\t]", line):
        fields = [field.strip().strip('"') for field in re.split("[,;\t]", line)]
        each = [f.split() if re.fullmatch(r"[\d ]+", f) else [f] for f in fields if f]
        return [field for parts in each for field in parts]
    return line.split()


def _entry(fields: Sequence[str], spaces: bool) -> Entry | None:
    """Make a class of the fields of a line.

    Args:
        fields: name, value, colour.
        spaces: whether they were separated by spaces, which a name may contain.
    """
    whole = [bool(re.fullmatch(r"\d+", field)) for field in fields]
    if all(whole) and len(whole) > 2:
        return None
    before = next((k for k, number in enumerate(whole) if not number), len(fields) - 1)
    before -= before == 2  # a name like `3 d printer`
    after = next((k for k, number in enumerate(reversed(whole)) if not number), 0)
    after = 3 if after >= 3 else 1 if after == 1 and not before and not spaces else 0
    if before > 4 or (before > 1 and after):
        return None
    numbers = [int(field) for field in (*fields[:before], *fields[len(fields) - after :])]
    name = " ".join(fields[before : len(fields) - after])
    value = numbers.pop(0) if len(numbers) in (1, 4) else None
    if not name or max([0, *numbers]) > 255 or (value or 0) > LARGEST:
        return None
    return Entry(name, value, (numbers[0], numbers[1], numbers[2]) if numbers else None)
