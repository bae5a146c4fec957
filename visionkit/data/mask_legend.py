"""The label of each value and each colour of masks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visionkit.argtypes import nearest
from visionkit.data.layout import listed
from visionkit.data.mask_classes import LARGEST, Entry, is_void
from visionkit.errors import ConfigError, DataError
from visionkit.results import VOID


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

    def labels(
        self, pixels: NDArray[Any], name: str, palette: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8]:
        """Translate the pixels of a mask.

        Args:
            pixels: [H, W] values, or [H, W, 3] colours.
            name: of the mask, for messages.
            palette: [P, 3] uint8, the colours of the values from 0, if the mask has some.

        Returns:
            [H, W], 0..K-1 or :data:`visionkit.results.VOID`.

        Raises:
            DataError: a value or a colour stands for nothing, or the colours of the palette stand
                for other classes than their values do.
        """
        if palette is not None and self.colours and self._contradicts(pixels, palette):
            raise DataError(
                f"{name}: its palette's colours are those of {self.source}, but its indices are of "
                "other classes; save it as RGB, or as grey with the list's indices"
            )
        if pixels.ndim == 3:
            if self.colours:
                return self._of_colours(pixels, name)
            if (pixels != pixels[:, :, :1]).any():
                raise DataError(
                    f"{name}: is in colours, but {self.source} says of none what it stands for; "
                    "write lines like `name red green blue` there, or set data.layout.palette"
                )
            pixels = pixels[:, :, 0]
        if pixels.dtype == np.uint8:
            codes = np.take(self._table, pixels)
        else:  # a value beyond those of classes may be void: -1, or the largest there is
            beyond = (pixels < 0) | (pixels > LARGEST)
            codes = np.take(self._table, np.where(beyond, 0, pixels))
            codes[beyond] = -1
            for value in self.values:
                if not 0 <= value <= LARGEST:
                    codes[pixels == value] = VOID
        unknown = codes < 0
        if unknown.any():
            if not self.others:
                raise self._unknown(name, np.unique(pixels[unknown]).tolist(), "value")
            codes[unknown] = VOID
        return codes.astype(np.uint8)

    def _contradicts(self, values: NDArray[Any], palette: NDArray[np.uint8]) -> bool:
        """Whether the colours of a mask's values are all known, tell its classes apart, and differ.

        Void without a known colour is passed over: few lists have one for it.
        """
        used = np.flatnonzero(np.bincount(values.ravel()))
        if used[-1] >= len(palette):
            return False
        said: dict[int, set[int]] = {}
        differs = False
        for value in used.tolist():
            red, green, blue = palette[value].tolist()
            number = red << 16 | green << 8 | blue
            own = self.values.get(value, -1)
            if number in self.colours:
                said.setdefault(number, set()).add(own)
                differs |= self.colours[number] != own
            elif own != VOID:
                return False
        return differs and all(len(labels) == 1 for labels in said.values())

    @cached_property
    def _table(self) -> NDArray[np.int16]:
        """The label of each value that a class may have, -1 where it has none."""
        table = np.full(LARGEST + 1, -1, np.int16)
        for value, label in self.values.items():
            if 0 <= value <= LARGEST:
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
