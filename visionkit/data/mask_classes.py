"""What the values and colours of masks stand for."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visionkit.argtypes import nearest
from visionkit.data.layout import listed, names_in, read_text
from visionkit.errors import ConfigError, DataError
from visionkit.results import VOID

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

_HEADER = re.compile(
    "(class[ _])?names?|class(es)?|labels?|id|index|(pixel )?value|r|g|b|red|green|blue"
)
_UNSAID = "(?:void|ignored?|unlabell?ed)"
_LARGEST = 65535


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


@dataclass(frozen=True)
class Legend:
    """The label of each value and each colour.

    Attributes:
        source: what says so, for messages.
        classes: names by label.
        values: label, or :data:`visionkit.results.VOID`, of each value.
        colours: the same of each colour, as ``red << 16 | green << 8 | blue``.
        others: whether any other value is void, too.
    """

    source: str
    classes: tuple[str, ...]
    values: Mapping[int, int]
    colours: Mapping[int, int]
    others: bool = False

    def labels(self, pixels: NDArray[Any], name: str) -> NDArray[np.uint8]:
        """Translate the pixels of a mask.

        Args:
            pixels: [H, W] values, or [H, W, 3] colours.
            name: of the mask, for messages.

        Returns:
            [H, W], 0..K-1 or :data:`visionkit.results.VOID`.

        Raises:
            DataError: a value or a colour stands for nothing.
        """
        if pixels.ndim == 3:
            if self.colours:
                return self._of_colours(pixels, name)
            if (pixels != pixels[:, :, :1]).any():
                raise DataError(
                    f"{name}: is in colours, but {self.source} says of none what it stands for; "
                    "write lines like `name red green blue` there, or set data.layout.palette"
                )
            pixels = pixels[:, :, 0]
        if pixels.dtype != np.uint8:
            outside = (pixels < 0) | (pixels > _LARGEST)
            if outside.any():
                raise self._unknown(name, pixels[outside][:1].tolist(), "value")
            pixels = pixels.astype(np.uint16)
        codes = np.take(self._table, pixels)
        unknown = codes < 0
        if unknown.any():
            if not self.others:
                raise self._unknown(name, np.unique(pixels[unknown]).tolist(), "value")
            codes[unknown] = VOID
        return codes.astype(np.uint8)

    @cached_property
    def _table(self) -> NDArray[np.int16]:
        """The label of each value, -1 where it has none."""
        table = np.full(_LARGEST + 1, -1, np.int16)
        for value, label in self.values.items():
            table[value] = label
        return table

    @cached_property
    def _colours(self) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        """The colours' numbers, sorted, and their labels."""
        numbers = sorted(self.colours)
        labels = [self.colours[number] for number in numbers]
        return np.array(numbers, np.int32), np.array(labels, np.uint8)

    def _of_colours(self, pixels: NDArray[Any], name: str) -> NDArray[np.uint8]:
        red, green, blue = (pixels[:, :, k].astype(np.int32) for k in range(3))
        numbers = red << 16 | green << 8 | blue
        known, labels = self._colours
        at = np.searchsorted(known, numbers)
        np.minimum(at, len(known) - 1, out=at)
        unknown = known[at] != numbers
        found = labels[at]
        if unknown.any():
            if not self.others:
                few = np.unique(numbers[unknown])[:5].tolist()
                colours = [f"({n >> 16} {n >> 8 & 255} {n & 255})" for n in few]
                raise self._unknown(name, colours, "colour")
            found[unknown] = VOID
        return found

    def _unknown(self, name: str, found: Sequence[object], what: str) -> DataError:
        return DataError(
            f"{name}: has the {what} {listed(found, 5)}, which stands for no class; mend the mask "
            f"or add it to {self.source}" + (" or to data.layout.void" if what == "value" else "")
        )


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
        if position == 0 and len(lines) > 1 and all(_HEADER.fullmatch(f.lower()) for f in fields):
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


def _fields(line: str) -> list[str]:
    cvat = re.fullmatch(r"([^:]+):(\d+),(\d+),(\d+)(:.*)?", line)
    if cvat:
        return list(cvat.groups()[:4])
    numbered = re.fullmatch(r"(\d+)\s*:\s*(.+)", line)
    if numbered:
        return list(numbered.groups())
    if re.search("[,;\t]", line):
        return [field.strip().strip('"') for field in re.split("[,;\t]", line) if field.strip()]
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
    if not name or max([0, *numbers]) > 255 or (value or 0) > _LARGEST:
        return None
    return Entry(name, value, (numbers[0], numbers[1], numbers[2]) if numbers else None)


def make_legend(
    entries: Sequence[Entry],
    source: str,
    void: Sequence[int | str] = (),
    others: bool = False,
) -> Legend:
    """Number the classes in their order. Entries of one name are one class.

    The value 255 is void unless an entry has it.

    Args:
        entries: those that are called void are no classes.
        source: what lists them, for messages.
        void: values and names that are void, besides.
        others: whether all other values are.

    Raises:
        ConfigError: ``void`` has a name that no entry has.
        DataError: two classes have one value or one colour, there is no class or too many.
    """
    names = {entry.name for entry in entries}
    for name in void:
        if isinstance(name, str) and name not in names:
            raise ConfigError(
                f"data.layout.void: {source} has no class {name!r}{nearest(name, names)}"
            )
    classes: dict[str, int] = {}
    values: dict[int, int] = {}
    colours: dict[int, int] = {}
    for number, entry in enumerate(entries):
        value = number if entry.value is None else entry.value
        unsaid = is_void(entry.name) or entry.name in void or value in void
        label = VOID if unsaid else classes.setdefault(entry.name, len(classes))
        if values.setdefault(value, label) != label:
            raise DataError(f"{source}: gives the value {value} to two classes; change one")
        if entry.colour is None:
            continue
        red, green, blue = entry.colour
        if colours.setdefault(red << 16 | green << 8 | blue, label) != label:
            raise DataError(
                f"{source}: gives the colour {red} {green} {blue} to two classes; change one"
            )
    if not classes:
        raise DataError(f"{source}: all its classes are void; list one that isn't")
    if len(classes) > VOID:
        raise DataError(
            f"{source}: has {len(classes)} classes; a mask has at most {VOID}; join some"
        )
    values.setdefault(VOID, VOID)
    values.update({value: VOID for value in void if isinstance(value, int)})
    return Legend(source, tuple(classes), values, colours, others)
