"""What was found, as one picture of several panels."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from visionkit.data.index import DetectionIndex
from visionkit.doctor.examine import Findings, harms
from visionkit.doctor.scan import shapes_of
from visionkit.doctor.summary import LARGE, SMALL, BoxFigures, box_figures
from visionkit.report import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK = "#27272a"
_FAINT = "#d4d4d8"
_GREY = "#a1a1aa"
_RED = "#e5484d"
_COLOURS = {"train": "#4292c6", "val": "#f0924b", "test": "#7c6bb0"}
_BARS = 8
_ROWS = 44
_KINDS = 34

Panel = Callable[["Axes"], None]


def draw_report(path: Path, found: Findings) -> None:
    """Draw the counts of classes by split, sizes and shapes of pictures and boxes, and the defects.

    Args:
        path: the picture to write.
        found: what was found, with at least one split.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sizes = {s: shapes_of(found.looks[s], index) for s, index in found.splits.items()}
    panels = _panels(found, sizes)
    columns = (len(panels) + 1) // 2
    widths = [1.15, *[1.0] * columns, *([0.8] if found.defects else [])]
    figure = Figure(figsize=(4.1 * sum(widths), 7.6), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, len(widths), width_ratios=widths)
    _classes(_axes(figure, grid[:, 0]), found)
    for n, panel in enumerate(panels):
        last = n == len(panels) - 1 and n % 2 == 0
        rows = slice(0, 2) if last and len(panels) == 1 else n % 2
        panel(_axes(figure, grid[rows, 1 + n // 2]))
    if found.defects:
        _defects(_axes(figure, grid[:, -1]), found)
    figure.suptitle(_title(found), x=0.01, ha="left", fontsize=12, color=_INK)
    figure.savefig(path, pad_inches=0.15)


def _panels(found: Findings, sizes: dict[str, NDArray[np.int64]]) -> list[Panel]:
    """What there is to show beside the classes, in the order of the columns."""
    known = {split: s[s[:, 0] > 0] for split, s in sizes.items()}
    boxes = {
        split: box_figures(index, sizes[split], found.canvas)
        for split, index in found.splits.items()
        if isinstance(index, DetectionIndex)
    }
    panels: list[Panel] = []
    if any(len(b.sides) for b in boxes.values()):
        panels.append(lambda axes: _box_sizes(axes, list(boxes.values()), found.canvas))
        ratios = {split: b.sides[:, 0] / b.sides[:, 1] for split, b in boxes.items()}
        panels.append(lambda axes: _ratios(axes, ratios, "Shapes of boxes"))
        panels.append(lambda axes: _centres(axes, list(boxes.values())))
    if any(len(s) for s in known.values()):
        panels.append(lambda axes: _picture_sizes(axes, known, found.canvas))
        shapes = {split: s[:, 1] / np.maximum(s[:, 0], 1) for split, s in known.items()}
        if len(panels) == 1:
            panels.append(lambda axes: _ratios(axes, shapes, "Shapes of pictures"))
    return panels


def _title(found: Findings) -> str:
    pictures = sum(map(len, found.splits.values()))
    boxes = sum(
        int((~index.crowd).sum())
        for index in found.splits.values()
        if isinstance(index, DetectionIndex)
    )
    parts = [f"{pictures:,} pictures", *([f"{boxes:,} boxes"] if boxes else [])]
    bad = sum(map(harms, found.defects))
    parts.append(f"{bad:,} defects that harm training" if bad else "nothing that harms training")
    return f"{_plain(found.root.resolve().name)}: {', '.join(parts)}"


def _axes(figure: "Figure", place: Any) -> "Axes":
    axes = figure.add_subplot(place)
    axes.tick_params(colors=_INK, labelsize=8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_GREY)
    return axes


def _named(axes: "Axes", title: str, across: str = "", up: str = "") -> None:
    axes.set_title(title, loc="left", fontsize=10, color=_INK)
    axes.set_xlabel(across, fontsize=8.5, color=_INK)
    axes.set_ylabel(up, fontsize=8.5, color=_INK)


def _classes(axes: "Axes", found: Findings) -> None:
    """Examples of each class by split: bars, or with many classes dots on a logarithmic axis."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    counts = {
        split: dict(zip(index.classes, index.counts().tolist(), strict=True))
        for split, index in found.splits.items()
    }
    names = list(dict.fromkeys(name for each in counts.values() for name in each))
    names.sort(key=lambda n: -sum(each.get(n, 0) for each in counts.values()))
    total = len(names)
    cut = total > _ROWS
    if cut:
        names = [*names[: _ROWS // 2], *names[-_ROWS // 2 :]]
    rows = np.arange(len(names))
    few = len(names) <= _BARS
    thick = 0.8 / max(1, len(counts))
    for k, (split, each) in enumerate(counts.items()):
        values = np.array([each.get(name, 0) for name in names])
        colour = _COLOURS[split]
        if few:
            at = rows + (k - (len(counts) - 1) / 2) * thick
            axes.barh(at, values, 0.92 * thick, color=colour, label=split)
            for y, value in zip(at.tolist(), values.tolist(), strict=True):
                axes.annotate(
                    f" {value:,}", (value, y), va="center", fontsize=7.5, color=_INK, clip_on=False
                )
        else:
            at = rows + (k - (len(counts) - 1) / 2) * 0.24  # equal counts don't hide each other
            some = values > 0
            axes.scatter(values[some], at[some], 18, color=colour, label=split, zorder=3)
            none = ~some
            axes.scatter(np.full(int(none.sum()), 0.6), at[none], 16, marker="x", color=colour)
    if few:
        axes.margins(x=0.14)
    else:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlim(0.45, max(12, axes.get_xlim()[1]))
        axes.hlines(rows, 0.45, axes.get_xlim()[1], color=_FAINT, linewidth=0.5)
    if cut:
        axes.axhline(_ROWS // 2 - 0.5, color=_GREY, linewidth=1, linestyle=(0, (4, 2)))
    axes.set_yticks(rows, [_plain(name, 20) for name in names], fontsize=min(9, 330 / len(rows)))
    axes.set_ylim(max(len(names), 4) - 0.4, -0.6)
    axes.grid(axis="x", color=_FAINT, linewidth=0.5)
    axes.tick_params(axis="y", length=0)
    title = f"Examples of {total} classes"
    if cut:
        title = f"Examples: the {_ROWS // 2} most and least frequent of {total} classes"
    _named(axes, title, "examples" if few else "examples (x: none)")
    axes.legend(loc="lower right", frameon=True, edgecolor="none", framealpha=0.8, fontsize=8.5)


def _box_sizes(axes: "Axes", boxes: Sequence[BoxFigures], canvas: tuple[int, int]) -> None:
    """Width and height on the canvas, where the limits of COCO's sizes are straight lines."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    sides = np.concatenate([b.sides * b.scale[:, None] for b in boxes])
    sides = np.maximum(sides, 0.5)
    low, high = sides.min() / 1.25, max(*canvas, sides.max()) * 1.25
    axes.hexbin(
        sides[:, 0],
        sides[:, 1],
        gridsize=42,
        xscale="log",
        yscale="log",
        bins="log",
        mincnt=1,
        cmap="Blues",
        vmin=0.3,
        extent=(np.log10(low), np.log10(high), np.log10(low), np.log10(high)),
        linewidths=0.1,
    )
    ends = np.array([low, high])
    for area, name in ((SMALL, "32²"), (LARGE, "96²")):
        axes.plot(ends, area / ends, color=_RED, linewidth=0.9)
        if area / high < high and area / low > low:
            at = min(high, area / low) / 1.08
            box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1}
            where = at / 1.6, 1.6 * area / at
            axes.text(*where, name, color=_RED, fontsize=8, ha="center", va="center", bbox=box)
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    across = f"width on the canvas of {canvas[1]} x {canvas[0]}, px"
    _named(axes, "Sizes of boxes", across, "height, px")


def _ratios(axes: "Axes", ratios: dict[str, NDArray[np.float64]], title: str) -> None:
    """How often each ratio of width to height occurs, by split."""
    every = np.log2(np.concatenate(list(ratios.values())))
    reach = max(2.0, float(np.ceil(np.quantile(np.abs(every), 0.995))))
    edges = np.linspace(-reach, reach, 49)
    for split, values in ratios.items():
        if not len(values):
            continue
        logs = np.log2(values).clip(-reach, reach)
        counts, _ = np.histogram(logs, edges)
        shares = counts / len(values)
        if split == "train" or len(ratios) == 1:
            axes.stairs(shares, edges, fill=True, color=_COLOURS[split], alpha=0.45, label=split)
        else:
            axes.stairs(shares, edges, color=_COLOURS[split], linewidth=1.3, label=split)
    ticks = np.arange(-int(reach), int(reach) + 1)
    axes.set_xticks(ticks, [f"{2**t}" if t >= 0 else f"1/{2**-t}" for t in ticks.tolist()])
    axes.set_ylim(bottom=0)
    axes.grid(color=_FAINT, linewidth=0.5)
    axes.legend(frameon=False, fontsize=8.5)
    _named(axes, title, "width / height", "share of the split")


def _centres(axes: "Axes", boxes: Sequence[BoxFigures]) -> None:
    """Where in their pictures the boxes have their centres."""
    centres = np.concatenate([b.centres for b in boxes])
    side = int(np.clip(np.sqrt(len(centres)) / 2, 8, 40))
    counts, _, _ = np.histogram2d(centres[:, 1], centres[:, 0], side, [[0, 1], [0, 1]])
    axes.imshow(counts, cmap="Blues", vmin=0, extent=(0, 1, 1, 0), aspect="auto")
    axes.set_xticks([0, 0.5, 1], ["left", "", "right"])
    axes.set_yticks([0, 0.5, 1], ["top", "", "bottom"])
    _named(axes, "Centres of boxes in their pictures")


def _picture_sizes(
    axes: "Axes", sizes: dict[str, NDArray[np.int64]], canvas: tuple[int, int]
) -> None:
    """Width and height; the larger a dot, the more pictures have that size."""
    largest = max(int(s.max()) for s in sizes.values() if len(s))
    for split, each in sizes.items():
        if not len(each):
            continue
        unique, counts = np.unique(each, axis=0, return_counts=True)
        area = 14 + 500 * counts / sum(map(len, sizes.values()))
        axes.scatter(
            unique[:, 1], unique[:, 0], area, color=_COLOURS[split], alpha=0.45, linewidths=0
        )
    end = 1.12 * max(largest, *canvas)
    scale = end / max(canvas)
    axes.plot([0, canvas[1] * scale], [0, canvas[0] * scale], color=_GREY, linewidth=0.8)
    axes.plot(
        [0, canvas[1], canvas[1]],
        [canvas[0], canvas[0], 0],
        color=_RED,
        linewidth=0.9,
        label="canvas",
    )
    axes.set(xlim=(0, end), ylim=(0, end), aspect="equal")
    axes.grid(color=_FAINT, linewidth=0.5)
    axes.legend(loc="upper left", frameon=False, fontsize=8.5)
    _named(axes, "Sizes of pictures", "width, px", "height, px")


def _defects(axes: "Axes", found: Findings) -> None:
    """How many there are of each kind, those that harm training in red."""
    counts = Counter((not harms(defect), defect.kind) for defect in found.defects)
    rows = sorted(counts, key=lambda row: (row[0], -counts[row]))
    rest = len(rows) - _KINDS
    rows = rows[:_KINDS]
    values = [counts[row] for row in rows]
    colours = [_GREY if harmless else _RED for harmless, _ in rows]
    places = np.arange(len(rows))
    axes.barh(places, values, 0.7, color=colours)
    axes.set_xscale("log")
    axes.set_xlim(0.7, max(values) * 4)
    for place, value in zip(places.tolist(), values, strict=True):
        axes.annotate(f" {value:,}", (value, place), va="center", fontsize=7.5, color=_INK)
    axes.set_yticks(places, [kind for _, kind in rows], fontsize=8)
    axes.set_ylim(max(len(rows), 14) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", which="both", length=0, labelbottom=False)
    axes.spines["bottom"].set_visible(False)
    _named(axes, "Defects" + (f" ({rest} more kinds)" if rest > 0 else ""), "red: harms training")


def _plain(name: str, letters: int = 40) -> str:
    """Cut a long name; dollars don't begin a formula."""
    name = printable(name)
    short = name if len(name) <= letters else name[: letters - 1] + "…"
    return short.replace("$", r"\$")
