"""Panels of the report's picture that tell of classes, and of masks."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from visionkit.data.mask_index import MaskIndex
from visionkit.doctor.classes import amounts, examples
from visionkit.doctor.examine import Findings
from visionkit.doctor.masks import mask_pixels
from visionkit.doctor.panel import COLOURS, FAINT, GREY, INK, Panel, entitle, histogram, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BARS = 8
_ROWS = 44
_HALF = 20
"""Classes that half a column has room for."""

Counts = Mapping[str, Mapping[str, float]]
"""By split and class."""


def draw_classes(axes: "Axes", found: Findings) -> None:
    """Examples of each class by split; of masks, parts of the pixels that have a class.

    They are bars, or with many classes dots on a logarithmic axis.
    """
    counts = {split: amounts(index, found.looks[split]) for split, index in found.splits.items()}
    names = _by_frequency(counts)
    total = len(names)
    cut = total > _ROWS
    if cut:
        names = [*names[: _ROWS // 2], *names[-_ROWS // 2 :]]
    masks = any(isinstance(index, MaskIndex) for index in found.splits.values())
    what, across = ("Pixels", "% of the labelled pixels") if masks else ("Examples", "examples")
    values: Counts = _shares(counts) if masks else counts
    if total <= _BARS:
        _bars(axes, values, names, "{:.3g}" if masks else "{:,}")
    else:
        _dots(axes, values, names, "{:g}" if masks else "{:,.0f}")
        across += " (x: none)"
    if cut:
        axes.axhline(_ROWS // 2 - 0.5, color=GREY, linewidth=1, linestyle=(0, (4, 2)))
    _name_rows(axes, names, min(9, 330 / len(names)), 20)
    title = f"{what} of {total} classes"
    if cut:
        title = f"{what}: the {_ROWS // 2} most and least frequent of {total} classes"
    entitle(axes, title, across)
    axes.legend(loc="lower right", frameon=True, edgecolor="none", framealpha=0.8, fontsize=8.5)


def mask_panels(found: Findings) -> list[Panel]:
    """Panels on the masks of a set: what each shows, and how much of it is void."""
    pixels = {
        split: mask_pixels(index, found.looks[split])
        for split, index in found.splits.items()
        if isinstance(index, MaskIndex)
    }
    pixels = {split: each[each.sum(1) > 0] for split, each in pixels.items()}
    if not any(map(len, pixels.values())):
        return []
    panels: list[Panel] = []
    if len(next(iter(found.splits.values())).classes) <= _HALF:
        panels.append(lambda axes: _shown(axes, found))
    panels.append(lambda axes: _classes_in(axes, pixels))
    if any(each[:, -1].any() for each in pixels.values()):
        panels.append(lambda axes: _void(axes, pixels))
    return panels


def _by_frequency(counts: Counts) -> list[str]:
    names = list(dict.fromkeys(name for each in counts.values() for name in each))
    return sorted(names, key=lambda n: -sum(each.get(n, 0) for each in counts.values()))


def _shares(counts: Counts) -> dict[str, dict[str, float]]:
    """The same in percent of each split."""
    return {
        split: {name: 100 * n / max(1, sum(each.values())) for name, n in each.items()}
        for split, each in counts.items()
    }


def _bars(axes: "Axes", counts: Counts, names: Sequence[str], form: str) -> None:
    rows = np.arange(len(names))
    thick = 0.8 / max(1, len(counts))
    for k, (split, each) in enumerate(counts.items()):
        values = [each.get(name, 0) for name in names]
        at = rows + (k - (len(counts) - 1) / 2) * thick
        axes.barh(at, values, 0.92 * thick, color=COLOURS[split], label=split)
        for y, value in zip(at.tolist(), values, strict=True):
            text = f" {form.format(value)}"
            axes.annotate(text, (value, y), va="center", fontsize=7.5, color=INK, clip_on=False)
    axes.margins(x=0.14)


def _dots(axes: "Axes", counts: Counts, names: Sequence[str], form: str) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    rows = np.arange(len(names))
    columns = {
        split: np.array([each.get(name, 0) for name in names], np.float64)
        for split, each in counts.items()
    }
    every = np.concatenate(list(columns.values()))
    least = min(1.0, float(every[every > 0].min(initial=1.0)))
    for k, (split, values) in enumerate(columns.items()):
        at = rows + (k - (len(counts) - 1) / 2) * 0.24  # equal counts don't hide each other
        some = values > 0
        axes.scatter(values[some], at[some], 18, color=COLOURS[split], label=split, zorder=3)
        nowhere = np.full(int((~some).sum()), 0.6 * least)
        axes.scatter(nowhere, at[~some], 16, marker="x", color=COLOURS[split])
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: form.format(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(0.45 * least, max(12, axes.get_xlim()[1]))
    axes.hlines(rows, 0.45 * least, axes.get_xlim()[1], color=FAINT, linewidth=0.5)


def _name_rows(axes: "Axes", names: Sequence[str], size: float, letters: int) -> None:
    axes.set_yticks(np.arange(len(names)), [shortened(n, letters) for n in names], fontsize=size)
    axes.set_ylim(max(len(names), 4) - 0.4, -0.6)
    axes.grid(axis="x", color=FAINT, linewidth=0.5)
    axes.tick_params(axis="y", length=0)


def _shown(axes: "Axes", found: Findings) -> None:
    """In which part of its masks each class is, in the order of the pixels."""
    looks = found.looks
    names = _by_frequency({s: amounts(index, looks[s]) for s, index in found.splits.items()})
    thick = 0.8 / max(1, len(found.splits))
    for k, (split, index) in enumerate(found.splits.items()):
        shown = examples(index, looks[split])
        shares = [100 * shown.get(name, 0) / max(1, len(index)) for name in names]
        at = np.arange(len(names)) + (k - (len(found.splits) - 1) / 2) * thick
        axes.barh(at, shares, 0.92 * thick, color=COLOURS[split])
    axes.set_xlim(0, 100)
    _name_rows(axes, names, min(9, 150 / len(names)), 16)
    entitle(axes, "Masks that show each class", "% of the split")


def _classes_in(axes: "Axes", pixels: Mapping[str, NDArray[np.int64]]) -> None:
    """How many classes a mask has."""
    from matplotlib.ticker import MaxNLocator

    most = max(int((each[:, :-1] > 0).sum(1).max(initial=0)) for each in pixels.values())
    counts = {split: (each[:, :-1] > 0).sum(1) for split, each in pixels.items()}
    histogram(axes, counts, np.arange(most + 2) - 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    entitle(axes, "Classes in a mask", "classes", "share of the split")


def _void(axes: "Axes", pixels: Mapping[str, NDArray[np.int64]]) -> None:
    """How much of each mask is void."""
    shares = {split: 100 * each[:, -1] / each.sum(1) for split, each in pixels.items()}
    most = max(float(each.max(initial=0)) for each in shares.values())
    histogram(axes, shares, np.linspace(0.0, min(100.0, max(2.0, math.ceil(most))), 33))
    entitle(axes, "Void in a mask", "% of its pixels", "share of the split")
