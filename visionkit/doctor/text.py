"""What was found, as text on the screen."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from visionkit.data.defects import Defect
from visionkit.doctor.examine import Findings, harms
from visionkit.doctor.pictures import Look
from visionkit.report import printable

EXAMPLES = 3
_CLASSES = 20
_ENDS = 6
_EFFECTS = {
    "stops": "stops training",
    "dropped": "left out of training",
    "mended": "read as meant",
    "noted": "worth knowing",
}
_ORDER = tuple(_EFFECTS)


def print_findings(found: Findings, summary: dict[str, Any], console: Console) -> None:
    """Print a table of the splits, the defects by kind, and whether training would suffer.

    Args:
        found: what was found.
        summary: of :func:`visionkit.doctor.summary.summarise`.
        console: the screen.
    """
    found, summary = _printable(found), printable(summary)
    if found.splits:
        console.print(_splits(summary))
        if any(index.classes for index in found.splits.values()):
            console.print()
            console.print(_class_table(summary))
        for line in _lines(summary):
            console.print(line, highlight=False, soft_wrap=True, markup=False)
    for note in found.notes:
        _say(console, f"note: {_short(note, found.root)}", "dim")
    groups: dict[tuple[str, str], list[Defect]] = {}
    for defect in found.defects:
        groups.setdefault((defect.kind, defect.effect), []).append(defect)
    for defects in sorted(groups.values(), key=_rank):
        _print_kind(defects, found.root, console)
    console.print()
    bad = [defect for defect in found.defects if harms(defect)]
    kinds = len({defect.kind for defect in bad})
    if bad:
        words = (
            f"training would suffer from {_count(len(bad), 'defect')} of {_count(kinds, 'kind')}"
        )
        _say(console, words, "bold red")
        if any(defect.effect == "stops" for defect in bad) and _survives_dropping(found):
            _say(console, "data.defects=drop trains without what it can't use", "")
    else:
        _say(console, "found nothing that training would suffer from", "bold green")


def _printable(found: Findings) -> Findings:
    """The same with texts that any terminal takes: names of files may not be UTF-8."""
    words = ("file", "cause", "mend")
    return replace(
        found,
        root=Path(printable(str(found.root))),
        defects=[replace(d, **{w: printable(getattr(d, w)) for w in words}) for d in found.defects],
        notes=printable(found.notes),
    )


def _print_kind(defects: Sequence[Defect], root: Path, console: Console) -> None:
    first = defects[0]
    what = "harms training" if _silent(first) else _EFFECTS[first.effect]
    console.print()
    head = Text(first.kind, "bold red" if harms(first) else "bold")
    console.print(head.append(f"  {len(defects):,}, {what}", "dim"))
    mends = list(dict.fromkeys(defect.mend for defect in defects))
    for defect in defects[:EXAMPLES]:
        file = "" if defect.file == str(root) else f"{_short(defect.file, root)}: "
        mend = "" if len(mends) == 1 else f"; {defect.mend}"
        _say(console, f"  {file}{_short(defect.cause, root)}{mend}")
    if len(defects) > EXAMPLES:
        _say(console, f"  and {len(defects) - EXAMPLES:,} more", "dim")
    if len(mends) == 1:
        _say(console, f"  -> {mends[0]}")


def _rank(defects: Sequence[Defect]) -> tuple[bool, int, int]:
    first = defects[0]
    return not harms(first), _ORDER.index(first.effect), -len(defects)


def _survives_dropping(found: Findings) -> bool:
    """Whether there is anything left to train on with ``data.defects=drop``."""
    train = found.splits.get("train")
    if train is None:
        return False
    looks = found.looks["train"]
    left = train.only(np.array([_usable(look) for look in looks])) if looks else train
    return bool(len(left)) and left.untrainable() is None


def _usable(look: Look) -> bool:
    """Whether a picture can be read, and what belongs to it has its size and no defect."""
    if any(map(_stops, look.defects)):
        return False
    mask = look.mask
    if mask is not None and (mask.size != look.size or any(map(_stops, mask.defects))):
        return False
    return look.size is not None


def _stops(defect: Defect) -> bool:
    return defect.effect == "stops"


def _silent(defect: Defect) -> bool:
    """Whether training would suffer without a word."""
    return harms(defect) and defect.effect in ("mended", "noted")


def _splits(summary: dict[str, Any]) -> Table:
    first = next(iter(summary["splits"].values()))
    columns = [column for column, value in first.items() if not isinstance(value, dict)]
    has_classes = any(figures["classes"] for figures in summary["splits"].values())
    table = _plain_table("split", *columns, *(["classes"] if has_classes else []))
    for split, figures in summary["splits"].items():
        seen = sum(count > 0 for count in figures["classes"].values())
        classes = [f"{seen} of {len(figures['classes'])}"] if has_classes else []
        table.add_row(split, *(_figure(figures[c]) for c in columns), *classes)
    return table


def _figure(value: float) -> str:
    """A count, or a part in percent."""
    return f"{100 * value:.2f} %" if isinstance(value, float) else f"{value:,}"


def _class_table(summary: dict[str, Any]) -> Table:
    """Examples of each class in each split; of many classes the most and the least frequent.

    Of masks, each class's part of the pixels that have one, and in how many masks it is.
    """
    splits = summary["splits"]
    masks = all("shown_in" in figures for figures in splits.values())
    names = list(dict.fromkeys(name for figures in splits.values() for name in figures["classes"]))
    totals = {n: sum(figures["classes"].get(n, 0) for figures in splits.values()) for n in names}
    names.sort(key=lambda n: -totals[n])
    columns = [c for split in splits for c in ((f"{split} pixels", "masks") if masks else (split,))]
    table = _plain_table("class", *columns)
    shown = names if len(names) <= _CLASSES else [*names[:_ENDS], None, *names[-_ENDS:]]
    for name in shown:
        if name is None:
            table.add_row(Text(f"... {len(names) - 2 * _ENDS} more", "dim"))
            continue
        cells = []
        for figures in splits.values():
            count = figures["classes"].get(name)
            cells.append("-" if count is None else f"{count:,}")
            if masks:
                total = max(1, sum(figures["classes"].values()))
                cells[-1] = "-" if count is None else f"{100 * count / total:.3g} %"
                cells.append("-" if count is None else f"{figures['shown_in'][name]:,}")
        table.add_row(Text(name), *cells)
    return table


def _lines(summary: dict[str, Any]) -> list[str]:
    lines = [""]
    pictures = summary["pictures"]
    if "width" in pictures:
        lines.append(f"pictures: {_span(pictures, 'width')}, {_span(pictures, 'height')}")
    if "boxes" in summary:
        boxes = summary["boxes"]
        lines.append(f"boxes: {_span(boxes, 'width')}, {_span(boxes, 'height')}")
        for where, sizes in (("in pictures", boxes), ("on the canvas", boxes["on_canvas"])):
            each = ", ".join(f"{n:,} {size}" for size, n in sizes["sizes"].items())
            lines.append(f"  {where}: {each}")
    imbalance = summary["imbalance"]
    if imbalance:
        most, fewest = imbalance["most"], imbalance["fewest"]
        what = "pixels" if "pixels" in most else "examples"
        unit = " pixels" if what == "pixels" else ""
        lines.append(
            f"classes: {most['class']} {most[what]:,} to {fewest['class']} "
            f"{fewest[what]:,}{unit}, {imbalance['ratio']:.1f} times as many"
        )
    for kind, each in summary["duplicates"].items():
        if each["pictures"]:
            words = "the same as" if kind == "exact" else "nearly the same as"
            between = _count(each["between_splits"], "group")
            lines.append(f"{each['pictures']:,} pictures {words} others; {between} between splits")
    return lines


def _span(figures: dict[str, Any], key: str) -> str:
    low, _, _, median, _, _, high = (f"{value:.4g}" for value in figures[key])
    return f"{key} {low} px" if low == high else f"{key} {low} to {high} px (median {median})"


def _short(text: str, root: Path) -> str:
    """Leave the set's folder out of paths."""
    if str(root) in (".", "/"):
        return text
    return re.sub(rf"(?<![\w./-]){re.escape(str(root))}/", "", text)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _plain_table(first: str, *columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(first, no_wrap=True, overflow="ellipsis", max_width=40)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _say(console: Console, line: str, style: str = "") -> None:
    console.print(Text(line, style), soft_wrap=True, highlight=False)
