"""What was found, as one picture of several panels."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from visionkit.data.index import DetectionIndex
from visionkit.doctor.class_panels import draw_classes, mask_panels
from visionkit.doctor.examine import Findings, harms
from visionkit.doctor.panel import (
    COLOURS,
    FAINT,
    GREY,
    INK,
    RED,
    Panel,
    axes_at,
    entitle,
    histogram,
    shortened,
)
from visionkit.doctor.scan import shapes_of
from visionkit.doctor.summary import LARGE, SMALL, BoxFigures, box_figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_KINDS = 34


def draw_report(path: Path, found: Findings) -> None:
    """Draw counts of classes by split, sizes and shapes of pictures and boxes, masks, and defects.

    Args:
        path: the picture to write.
        found: what was found, with at least one split.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sizes = {s: shapes_of(found.looks[s], index) for s, index in found.splits.items()}
    panels = _panels(found, sizes)
    columns = (len(panels) + 1) // 2
    classes = any(index.classes for index in found.splits.values())
    widths = [*([1.15] if classes else []), *[1.0] * columns, *([0.8] if found.defects else [])]
    widths = widths or [1.0]  # nothing could be read
    figure = Figure(figsize=(4.1 * sum(widths), 7.6), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, len(widths), width_ratios=widths)
    if classes:
        draw_classes(axes_at(figure, grid[:, 0]), found)
    for n, panel in enumerate(panels):
        last = n == len(panels) - 1 and n % 2 == 0
        rows = slice(0, 2) if last and len(panels) == 1 else n % 2
        panel(axes_at(figure, grid[rows, classes + n // 2]))
    if found.defects:
        _defects(axes_at(figure, grid[:, -1]), found)
    figure.suptitle(_title(found), x=0.01, ha="left", fontsize=12, color=INK)
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
    panels += mask_panels(found)
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
    return f"{shortened(found.root.resolve().name)}: {', '.join(parts)}"


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
        axes.plot(ends, area / ends, color=RED, linewidth=0.9)
        if area / high < high and area / low > low:
            at = min(high, area / low) / 1.08
            box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1}
            where = at / 1.6, 1.6 * area / at
            axes.text(*where, name, color=RED, fontsize=8, ha="center", va="center", bbox=box)
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    across = f"width on the canvas of {canvas[1]} x {canvas[0]}, px"
    entitle(axes, "Sizes of boxes", across, "height, px")


def _ratios(axes: "Axes", ratios: dict[str, NDArray[np.float64]], title: str) -> None:
    """How often each ratio of width to height occurs, by split."""
    every = np.log2(np.concatenate(list(ratios.values())))
    reach = max(2.0, float(np.ceil(np.quantile(np.abs(every), 0.995))))
    edges = np.linspace(-reach, reach, 49)
    histogram(axes, {s: np.log2(each).clip(-reach, reach) for s, each in ratios.items()}, edges)
    ticks = np.arange(-int(reach), int(reach) + 1)
    axes.set_xticks(ticks, [f"{2**t}" if t >= 0 else f"1/{2**-t}" for t in ticks.tolist()])
    entitle(axes, title, "width / height", "share of the split")


def _centres(axes: "Axes", boxes: Sequence[BoxFigures]) -> None:
    """Where in their pictures the boxes have their centres."""
    centres = np.concatenate([b.centres for b in boxes])
    side = int(np.clip(np.sqrt(len(centres)) / 2, 8, 40))
    counts, _, _ = np.histogram2d(centres[:, 1], centres[:, 0], side, [[0, 1], [0, 1]])
    axes.imshow(counts, cmap="Blues", vmin=0, extent=(0, 1, 1, 0), aspect="auto")
    axes.set_xticks([0, 0.5, 1], ["left", "", "right"])
    axes.set_yticks([0, 0.5, 1], ["top", "", "bottom"])
    entitle(axes, "Centres of boxes in their pictures")


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
            unique[:, 1], unique[:, 0], area, color=COLOURS[split], alpha=0.45, linewidths=0
        )
    end = 1.12 * max(largest, *canvas)
    scale = end / max(canvas)
    axes.plot([0, canvas[1] * scale], [0, canvas[0] * scale], color=GREY, linewidth=0.8)
    axes.plot(
        [0, canvas[1], canvas[1]],
        [canvas[0], canvas[0], 0],
        color=RED,
        linewidth=0.9,
        label="canvas",
    )
    axes.set(xlim=(0, end), ylim=(0, end), aspect="equal")
    axes.grid(color=FAINT, linewidth=0.5)
    axes.legend(loc="upper left", frameon=False, fontsize=8.5)
    entitle(axes, "Sizes of pictures", "width, px", "height, px")


def _defects(axes: "Axes", found: Findings) -> None:
    """How many there are of each kind, those that harm training in red."""
    counts = Counter((not harms(defect), defect.kind) for defect in found.defects)
    rows = sorted(counts, key=lambda row: (row[0], -counts[row]))
    rest = len(rows) - _KINDS
    rows = rows[:_KINDS]
    values = [counts[row] for row in rows]
    colours = [GREY if harmless else RED for harmless, _ in rows]
    places = np.arange(len(rows))
    axes.barh(places, values, 0.7, color=colours)
    axes.set_xscale("log")
    axes.set_xlim(0.7, max(values) * 4)
    for place, value in zip(places.tolist(), values, strict=True):
        axes.annotate(f" {value:,}", (value, place), va="center", fontsize=7.5, color=INK)
    axes.set_yticks(places, [kind for _, kind in rows], fontsize=8)
    axes.set_ylim(max(len(rows), 14) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", which="both", length=0, labelbottom=False)
    axes.spines["bottom"].set_visible(False)
    entitle(axes, "Defects" + (f" ({rest} more kinds)" if rest > 0 else ""), "red: harms training")
