"""The figures of a run, as a file and on the screen."""

import contextlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from visionkit.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.console import Console
    from rich.table import Table

    from visionkit.geometry import Image

_LAST = ("loss", "images", "seconds")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """Open a text file that takes the place of the old one when it is whole.

    What UTF-8 can't hold, as the name of a file may have, is written as its code.

    Raises:
        DataError: the disk is full or the folder can't be written; the old file is untouched.
    """
    with (
        _beside(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace") as file,
    ):
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        cause = f"can't be written ({error.strerror})"
        raise DataError(f"{path}: {cause}; make room or choose another folder") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_picture(path: Path, image: "Image", quality: int = 90) -> None:
    """Write a picture so that the file is either the old one or the whole new one.

    Args:
        path: with the suffix of its format.
        image: [H, W, 3] uint8 RGB.
        quality: of a JPEG, 0..100; its colours have full resolution.

    Raises:
        DataError: the disk is full or the folder can't be written.
    """
    import cv2

    full = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    how = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, full]
    options = how if path.suffix.lower() in (".jpg", ".jpeg") else []
    done, data = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    with _beside(path) as temporary:
        if not done:
            raise OSError(0, "the picture can't be encoded")
        temporary.write_bytes(data.tobytes())


def write_animation(
    path: Path, frames: Iterable["Image"], milliseconds: int = 200, last: int | None = None
) -> None:
    """Write an endless animation so that the file is either the old one or the whole new one.

    Args:
        path: ends in ``.gif``; each frame has 256 colours of its own.
        frames: [H, W, 3] uint8 RGB each, of one size; at least one.
        milliseconds: that a frame is shown.
        last: and the last one, if not as long.

    Raises:
        DataError: the disk is full or the folder can't be written.
    """
    from PIL import Image as Pillow

    first, *rest = (Pillow.fromarray(frame).quantize() for frame in frames)
    durations = [*([milliseconds] * len(rest)), last or milliseconds]
    with _beside(path) as temporary:
        first.save(temporary, "GIF", save_all=True, append_images=rest, duration=durations, loop=0)


def write_mask(path: Path, labels: "NDArray[np.uint8]") -> None:
    """Write a mask as a PNG of 8-bit indices with the palette of the classes' colours.

    Readers that keep the indices (Pillow's mode ``P``) get the labels back. The file is either the
    old one or the whole new one.

    Args:
        path: ends in ``.png``.
        labels: [H, W] uint8, 255 where there is no class.

    Raises:
        DataError: the disk is full or the folder can't be written.
    """
    from PIL import Image as Pillow

    from visionkit.colours import palette

    picture = Pillow.fromarray(labels)
    picture.putpalette(palette().tobytes())  # of a grey picture, this makes one of indices
    with _beside(path) as temporary:
        picture.save(temporary, format="PNG")


def write_json(path: Path, data: Any, indent: int | None = None) -> None:
    """Write JSON so that the file is either the old one or the whole new one.

    Names of files that aren't UTF-8 read back as they are: JSON has the codes of their letters.

    Raises:
        ValueError: a number is NaN or infinite, which JSON doesn't know.
        DataError: the disk is full or the folder can't be written; the old file is untouched.
    """
    with replacing(path) as file:
        # json.dump() takes twice as long
        file.write(json.dumps(data, indent=indent, allow_nan=False, ensure_ascii=False))
        file.write("\n")


def ordered(metrics: Mapping[str, float]) -> dict[str, float]:
    """Sort figures for people: those of the task as they came, ``loss images seconds``, classes.

    Figures of one class have a slash in their name; they keep their order.
    """
    single = [k for k in metrics if "/" not in k and k not in _LAST]
    common = [k for k in _LAST if k in metrics]
    return {k: metrics[k] for k in (*single, *common, *(k for k in metrics if "/" in k))}


def printable(data: Any) -> Any:
    """Plain data, whose texts any UTF-8 file or terminal takes: the rest as its code."""
    if isinstance(data, str):
        return data if data.isascii() else data.encode("utf-8", "backslashreplace").decode()
    if isinstance(data, Mapping):
        return {printable(key): printable(value) for key, value in data.items()}
    return [printable(value) for value in data] if isinstance(data, list | tuple) else data


def write_metrics(folder: Path, metrics: Mapping[str, float]) -> Path:
    """Write ``metrics.json``: flat, in the order of :func:`ordered`, never half a file.

    A figure that is NaN or infinite is written as ``null``: any JSON reader takes it, and it can't
    be mistaken for a score.

    Returns:
        The file.
    """
    path = folder / "metrics.json"
    data = {k: (v if math.isfinite(v) else None) for k, v in ordered(metrics).items()}
    write_json(path, data, indent=2)
    return path


def print_table(
    metrics: Mapping[str, float],
    console: "Console | None" = None,
    parts: Iterable[str] = (),
) -> None:
    """Print the headline figures in a row, and those of the classes below, best first.

    Many classes stand in several columns, as the screen has room. Figures ``kind/name`` of the same
    names share a table, others have one of their own. What is undefined shows as ``-``.

    Args:
        metrics: figures by name.
        console: to print on.
        parts: the names of parts, whose figures stand below the others under a heading each.
    """
    from rich.console import Console

    console = console or Console()
    rest = dict(metrics)
    each = {part: {k: rest.pop(k) for k in metrics if k.startswith(f"{part}/")} for part in parts}
    _print_figures(rest, console)
    for part, mine in each.items():
        console.print(f"\n[bold]{part}[/bold]")
        _print_figures({k.removeprefix(f"{part}/"): v for k, v in mine.items()}, console)


def _print_figures(metrics: Mapping[str, float], console: "Console") -> None:
    figures = ordered(metrics)
    head = {k: v for k, v in figures.items() if "/" not in k}
    classes = {k: v for k, v in figures.items() if "/" in k}
    keys = list(head)
    needed = sum(max(len(k), len(_shown(k, head[k]))) + 2 for k in keys)
    per_row = math.ceil(len(keys) / max(1, math.ceil(needed / console.width)))
    for start in range(0, len(keys), max(1, per_row)):
        table = _plain_table()
        for key in keys[start : start + per_row]:
            table.add_column(key, justify="right", no_wrap=True)
        table.add_row(*(_shown(k, head[k]) for k in keys[start : start + per_row]))
        console.print(table)
    groups: dict[str, dict[str, float]] = {}
    for key, value in classes.items():
        kind, _, name = key.partition("/")
        groups.setdefault(kind, {})[name] = value
    if not groups:
        return
    classes_of = next(iter(groups.values())).keys()
    of_classes = {k: values for k, values in groups.items() if values.keys() == classes_of}
    console.print()
    console.print(_table_by_name("class", of_classes, console.width))
    for kind, values in groups.items():
        if kind not in of_classes:
            console.print()
            console.print(_table_by_name(kind, {"": values}, console.width))


def _table_by_name(title: str, groups: Mapping[str, Mapping[str, float]], width: int) -> "Table":
    """Figures of the same names side by side, in several columns if there are many names."""
    from rich.text import Text

    first = next(iter(groups.values()))
    names = sorted(first, key=lambda n: -first[n] if math.isfinite(first[n]) else math.inf)
    longest = min(max(len(n) for n in names), 28)
    needed = longest + sum(max(5, len(kind)) + 2 for kind in groups) + 2
    columns = min(max(1, width // needed), 4) if len(names) > 16 else 1
    rows = math.ceil(len(names) / columns)
    table = _plain_table()
    for _ in range(columns):
        table.add_column(title, no_wrap=True, overflow="ellipsis", max_width=28)
        for kind in groups:
            table.add_column(kind, justify="right", no_wrap=True)
    for row in range(rows):
        cells: list[Text | str] = []
        for name in names[row::rows]:  # down the columns, as one reads a ranking
            cells += [Text(name), *(_shown(k, group[name]) for k, group in groups.items())]
        table.add_row(*cells)
    return table


def _plain_table() -> "Table":
    from rich.table import Table

    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")


def _shown(name: str, value: float) -> str:
    if not math.isfinite(value) or value == -1:
        return "-"
    if name == "images":
        return f"{value:.0f}"
    return f"{value:.1f}" if name == "seconds" else f"{value:.3f}"
