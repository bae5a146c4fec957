"""What the panels of the report's picture share: colours, titles, names."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from visionkit.report import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#27272a"
FAINT = "#d4d4d8"
GREY = "#a1a1aa"
RED = "#e5484d"
COLOURS = {"train": "#4292c6", "val": "#f0924b", "test": "#7c6bb0"}

Panel = Callable[["Axes"], None]


def axes_at(figure: "Figure", place: Any) -> "Axes":
    """Empty axes at a place of a figure's grid."""
    axes = figure.add_subplot(place)
    axes.tick_params(colors=INK, labelsize=8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    return axes


def entitle(axes: "Axes", title: str, across: str = "", up: str = "") -> None:
    """Write a panel's title, and what its axes are."""
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.set_xlabel(across, fontsize=8.5, color=INK)
    axes.set_ylabel(up, fontsize=8.5, color=INK)


def histogram(
    axes: "Axes", values: Mapping[str, NDArray[Any]], edges: NDArray[np.floating[Any]]
) -> None:
    """Draw how often values occur in each split, as parts of it."""
    for split, each in values.items():
        if not len(each):
            continue
        shares = np.histogram(each, edges)[0] / len(each)
        if split == "train" or len(values) == 1:
            axes.stairs(shares, edges, fill=True, color=COLOURS[split], alpha=0.45, label=split)
        else:
            axes.stairs(shares, edges, color=COLOURS[split], linewidth=1.3, label=split)
    axes.set_ylim(bottom=0)
    axes.grid(color=FAINT, linewidth=0.5)
    axes.legend(frameon=False, fontsize=8.5)


def shortened(name: str, letters: int = 40) -> str:
    """Cut a long name; dollars don't begin a formula."""
    name = printable(name)
    short = name if len(name) <= letters else name[: letters - 1] + "…"
    return short.replace("$", r"\$")
