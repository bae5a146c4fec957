"""Plots of detection figures. Matplotlib is loaded on first use, its global state left alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from visionkit.colours import class_colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MANY = 20
_INK = "#27272a"
_FAINT = "#d4d4d8"


def _figure(width: float, height: float) -> "tuple[Figure, Axes]":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.tick_params(colors=_INK, labelsize=9)
    return figure, axes


def precision_recall(path: Path, precision: NDArray[np.float64], classes: Sequence[str]) -> None:
    """Draw precision over recall: each class at IoU 0.5, their mean, and that over all IoUs.

    With more than 20 classes only the means have a colour and a name.

    Args:
        path: the picture to write.
        precision: [10, 101, K] at IoU .5 to .95 and recall 0 to 1; -1 where a class has no truth.
        classes: K names.
    """
    figure, axes = _figure(7.4, 5)
    recall = np.linspace(0, 1, precision.shape[1])
    defined = [k for k in range(len(classes)) if (precision[..., k] > -1).all()]
    few = len(defined) <= _MANY
    for k in sorted(defined, key=lambda k: -precision[0, :, k].mean()):
        curve = precision[0, :, k]
        axes.plot(
            recall,
            curve,
            color=np.array(class_colour(k)) / 255 if few else "#a1a1aa",
            linewidth=1.3 if few else 0.5,
            alpha=1 if few else 0.5,
            label=f"{_short(classes[k])}  {curve.mean():.3f}" if few else None,
        )
    if defined:
        at_half, over_all = precision[0][:, defined].mean(1), precision[:, :, defined].mean((0, 2))
        label = f"mean, IoU 0.5  {at_half.mean():.3f}"
        axes.plot(recall, at_half, color=_INK, linewidth=2.4, label=label)
        label = f"mean, IoU 0.5 to 0.95  {over_all.mean():.3f}"
        axes.plot(recall, over_all, color=_INK, linewidth=1.8, linestyle=(0, (4, 2)), label=label)
        axes.legend(
            loc="upper left",
            bbox_to_anchor=(1.01, 1.0),
            frameon=False,
            fontsize=8.5,
            title="average precision",
            title_fontsize=9,
            alignment="left",
        )
    else:
        axes.text(0.5, 0.5, "no truth to score against", ha="center", color=_INK)
    axes.set(xlim=(0, 1), ylim=(0, 1.01), xlabel="recall", ylabel="precision")
    axes.set_title("Precision and recall", loc="left", fontsize=11, color=_INK)
    axes.grid(color=_FAINT, linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, bbox_inches="tight", pad_inches=0.15)


def confusion(
    path: Path, matrix: NDArray[np.int64], classes: Sequence[str], conditions: str = ""
) -> None:
    """Draw a confusion matrix: colour is the share of a row, the number the count.

    Args:
        path: the picture to write.
        matrix: [K + 1, K + 1], rows true, columns predicted, background last.
        classes: K names.
        conditions: what to say beside the axis.
    """
    names = [*(_short(c) for c in classes), "background"]
    size = len(names)
    side = min(max(4.2, 1.6 + 0.5 * size), 14)
    figure, axes = _figure(side + 0.8, side)
    share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    picture = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    if size <= 31:
        for row, column in zip(*np.nonzero(matrix), strict=True):
            axes.text(
                column,
                row,
                str(matrix[row, column]),
                ha="center",
                va="center",
                fontsize=min(9, 240 / size / len(str(matrix.max()))),
                color="white" if share[row, column] > 0.55 else _INK,
            )
    crowded = size * max(len(n) for n in names) > 40
    letters = min(9, 72 * side * 0.75 / size)
    axes.set_xticks(range(size), names, rotation=90 if crowded else 0, fontsize=letters)
    axes.set_yticks(range(size), names, fontsize=letters)
    axes.set(xlabel=f"predicted ({conditions})" if conditions else "predicted", ylabel="true")
    axes.axhline(size - 1.5, color=_INK, linewidth=0.8)
    axes.axvline(size - 1.5, color=_INK, linewidth=0.8)
    axes.tick_params(length=0)
    axes.set_title("Confusion matrix", loc="left", fontsize=11, color=_INK)
    bar = figure.colorbar(picture, ax=axes, fraction=0.04, pad=0.02)
    bar.set_label("share of the row", fontsize=8, color=_INK)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    figure.savefig(path, bbox_inches="tight", pad_inches=0.15)


def _short(name: str, letters: int = 22) -> str:
    return name if len(name) <= letters else name[: letters - 1] + "…"
