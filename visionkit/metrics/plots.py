"""Plots of figures. Matplotlib is loaded on first use, its global state left alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from visionkit.metrics.class_scores import Calibration

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NUMBERED = 31
_SHOWN = 120
_WORST = 60
INK = "#27272a"
FAINT = "#d4d4d8"
BLUE = "#4292c6"
PALE_BLUE = "#9ecae1"
RED = "#e5484d"


def make_figure(width: float, height: float) -> "tuple[Figure, Axes]":
    """A figure of one panel, in inches."""
    figure, axes = make_panels(width, height, [1])
    return figure, axes[0]


def make_panels(
    width: float, height: float, heights: Sequence[float]
) -> "tuple[Figure, list[Axes]]":
    """A figure of panels one below the other, on one x axis."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(
        len(heights), sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    panels = list(grid[:, 0])
    for axes in panels:
        axes.tick_params(colors=INK, labelsize=9)
    return figure, panels


def confusion(
    path: Path,
    matrix: NDArray[np.int64],
    classes: Sequence[str],
    conditions: str = "",
    *,
    rest: str = "background",
    percent: bool = False,
) -> None:
    """Draw a confusion matrix: colour is the share of a row, the number the count.

    With more than 31 rows there are no numbers, and small shares get more of the colour. Of more
    than 120 classes only the 60 that are most often confused are drawn.

    Args:
        path: the picture to write.
        matrix: [K, K], [K, K + 1] or [K + 1, K + 1], rows true, columns predicted; what is of no
            class comes last.
        classes: K names.
        conditions: what to say beside the axis.
        rest: what is of no class.
        percent: write the share of the row in percent, for counts that are too long.
    """
    from matplotlib.colors import PowerNorm

    share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    names = [*(short_name(c) for c in classes), rest][: matrix.shape[1]]
    rests = [side > len(classes) for side in matrix.shape]
    title = "Confusion matrix"
    if len(classes) > _SHOWN:
        kept = _most_confused(matrix, len(classes), _WORST)
        cells = np.ix_([i for i in kept if i < len(matrix)], kept)
        matrix, share = matrix[cells], share[cells]
        names = [names[i] for i in kept]
        title += f" of {_WORST} of {len(classes)} classes, the most confused"
    rows, size = matrix.shape
    side = min(max(4.2, 1.6 + 0.5 * size), 14)
    figure, axes = make_figure(side + 0.8, side)
    cell = 72 * side * 0.75 / size  # points
    numbered = size <= _NUMBERED
    norm = PowerNorm(1 if numbered else 0.5, vmin=0, vmax=1)
    picture = axes.imshow(share, cmap="Blues", norm=norm)
    if numbered:
        texts = _percentages(share) if percent else matrix.astype(str)
        longest = max(len(t) for t in texts.ravel().tolist())
        for row, column in zip(*np.nonzero(matrix), strict=True):
            axes.text(
                column,
                row,
                texts[row, column],
                ha="center",
                va="center",
                fontsize=min(9, 1.3 * cell / longest),
                color="white" if share[row, column] > 0.55 else INK,
            )
    crowded = size * max(len(n) for n in names) > 40
    letters = min(9, cell)
    axes.set_xticks(range(size), names, rotation=90 if crowded else 0, fontsize=letters)
    axes.set_yticks(range(rows), names[:rows], fontsize=letters)
    axes.set(xlabel=f"predicted ({conditions})" if conditions else "predicted", ylabel="true")
    for there, side, line in zip(rests, (rows, size), (axes.axhline, axes.axvline), strict=True):
        if there:
            line(side - 1.5, color=INK, linewidth=0.8)
    axes.tick_params(length=0)
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    bar = figure.colorbar(picture, ax=axes, fraction=0.04, pad=0.02)
    bar.set_label("share of the row", fontsize=8, color=INK)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    figure.savefig(path, bbox_inches="tight", pad_inches=0.15)


def _most_confused(matrix: NDArray[np.int64], classes: int, count: int) -> list[int]:
    """The classes of the pairs most often confused, in order, and what is of none if there is."""
    errors = matrix[:classes, :classes].copy()
    np.fill_diagonal(errors, 0)
    cells = np.argsort(-errors, axis=None, kind="stable")[: classes * count]
    ends = np.stack(np.divmod(cells, classes), 1).ravel()
    worst = list(dict.fromkeys(ends.tolist()))[:count]
    return [*sorted(worst), *range(classes, matrix.shape[1])]


def _percentages(share: NDArray[np.float64]) -> NDArray[np.str_]:
    """Shares in percent, whole from 10 on; what is hardly any has a text of its own."""
    percents = 100 * share
    whole = np.char.mod("%.0f", percents)
    tenths = np.char.mod("%.1f", percents)
    return np.where(percents < 0.05, "~0", np.where(percents < 9.95, tenths, whole))


def reliability(path: Path, found: Calibration, exclusive: bool = True) -> None:
    """Draw accuracy over confidence (DeGroot & Fienberg 1983), and how often each was stated.

    Blue bars are the accuracy. Where it falls short of the mean confidence of the bin the gap is
    red, where it is beyond it pale blue.

    Args:
        path: the picture to write.
        found: accuracy and confidence by bin.
        exclusive: whether cases are pictures with one class each, or classes of pictures.
    """
    figure, (upper, lower) = make_panels(7.4, 5.8, [3, 1])
    width = 1 / len(found.counts)
    left = np.arange(len(found.counts)) * width + width / 2
    low = np.minimum(found.accuracy, found.confidence)
    sure, unsure = found.confidence - low, found.accuracy - low
    upper.bar(left, low, 0.94 * width, color=BLUE)
    upper.bar(left, sure, 0.94 * width, low, color=RED, alpha=0.35, label="too sure")
    upper.bar(left, unsure, 0.94 * width, low, color=PALE_BLUE, label="not sure enough")
    upper.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=(0, (4, 2)))
    total = int(found.counts.sum())
    lower.bar(left, found.counts / max(1, total), 0.94 * width, color="#a1a1aa")
    what = "accuracy" if exclusive else "share that is true"
    stated = "confidence" if exclusive else "probability"
    if total:
        accuracy, confidence = found.overall()
        cases = "pictures" if exclusive else "classes of pictures"
        words = {
            f"calibration error  {found.error:.4f}": INK,
            f"{what}  {accuracy:.4f}": BLUE,
            f"mean {stated}  {confidence:.4f}": RED,
            f"{total} {cases}, {len(left)} bins": INK,
        }
        for n, (line, colour) in enumerate(words.items()):
            upper.text(1.03, 0.96 - 0.06 * n, line, color=colour, fontsize=9)
        upper.legend(loc="upper left", bbox_to_anchor=(1.005, 0.74), frameon=False, fontsize=9)
        lower.axvline(confidence, color=RED, linewidth=1.2)
        lower.axvline(accuracy, color=BLUE, linewidth=1.2)
    else:
        upper.text(0.5, 0.2, "nothing to score", ha="center", color=INK)
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel=what)
    lower.set(xlabel=stated, ylabel="share of cases", ylim=(0, None if total else 1))
    upper.set_title("Reliability", loc="left", fontsize=11, color=INK)
    for axes in (upper, lower):
        axes.set_axisbelow(True)
        axes.grid(color=FAINT, linewidth=0.5)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, bbox_inches="tight", pad_inches=0.15)


def short_name(name: str, letters: int = 22) -> str:
    """Cut a long name; dollars don't begin a formula."""
    short = name if len(name) <= letters else name[: letters - 1] + "…"
    return short.replace("$", r"\$")
