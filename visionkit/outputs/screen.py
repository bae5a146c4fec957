"""What the screen tells of a prediction: how far it is, a table, and what can't be read."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from visionkit.errors import DataError
from visionkit.outputs.base import BESIDE, Entry
from visionkit.results import Detections, Result

if TYPE_CHECKING:
    from rich.console import Console

_ROWS = 24
_WARNINGS = 20


class _Row(NamedTuple):
    """What the table says of a picture: results themselves may be large."""

    name: str
    found: str
    boxes: int | None = None
    best: str | None = None


class Told:
    """What is told at the end: the first rows of the table, and counts.

    Args:
        noun: what is counted, ``pictures`` or ``frames``.
    """

    def __init__(self, noun: str) -> None:
        self.noun = noun
        self.rows: list[_Row] = []
        self.count = self.objects = 0
        self.beside = ""
        self.boxes = False

    def add(self, entry: Entry) -> None:
        """Take a picture."""
        row = _row(entry)
        if len(self.rows) < _ROWS:
            self.rows.append(row)
        self.count += 1
        self.boxes = row.boxes is not None
        self.objects += row.boxes or 0
        said = [entry.result, *(part.result for part in entry.parts.values())]
        self.beside = next((BESIDE[type(one)][0] for one in said if type(one) in BESIDE), "")


@contextmanager
def progress(console: "Console", noun: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show how far it is, on a terminal alone; gives what is to be called with the count done."""
    if not console.is_terminal:
        yield lambda done: None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    with Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(noun),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    ) as bar:
        task = bar.add_task("", total=total)
        yield lambda done: bar.update(task, completed=done)


def _row(entry: Entry) -> _Row:
    result: Result = entry.result
    name = entry.file if entry.seconds is None else f"{entry.seconds:.2f} s"
    said = [result, *(part.result for part in entry.parts.values())]
    boxes = [one for one in said if isinstance(one, Detections)]
    if not boxes:
        return _Row(name, result.summary())
    count = sum(map(len, boxes))
    best = f"{max(one.scores.max(initial=0) for one in boxes):.2f}" if count else "-"
    return _Row(name, result.summary(), count, best)


def tell(console: "Console", told: Told, errors: Sequence[DataError], end: str) -> None:
    """Print what couldn't be read, the table, and a line that sums up and closes with ``end``."""
    for error in errors[:_WARNINGS]:
        console.print(f"warning: {error}", style="yellow", markup=False, soft_wrap=True)
    if len(errors) > _WARNINGS:
        console.print(f"... and {len(errors) - _WARNINGS} more warnings", style="yellow")
    if told.rows:
        _print_table(console, told)
    what = f"{told.objects} objects in " if told.boxes else ""
    also = {"mask": " and their masks", "made": " and what was made of them"}.get(told.beside, "")
    left_out = f", {len(errors)} unreadable" if errors else ""
    console.print(
        f"{what}{told.count} {told.noun}{also}{left_out}{end}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _print_table(console: "Console", told: Told) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(told.noun.removesuffix("s"), overflow="ellipsis", no_wrap=True, max_width=48)
    table.add_column("found", overflow="fold")
    if told.boxes:
        table.add_column("best", justify="right")
    for row in told.rows:
        name = row.name if len(row.name) <= 48 else "..." + row.name[-45:]
        cells = [name, row.found] if row.best is None else [name, row.found, row.best]
        table.add_row(*map(Text, cells))
    console.print(table)
    if told.count > len(told.rows):
        console.print(f"... and {told.count - len(told.rows)} more {told.noun}", style="dim")
