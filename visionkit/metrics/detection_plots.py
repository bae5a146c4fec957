"""Plots of a detector's figures. Matplotlib is loaded on first use, its global state left alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from visionkit.colours import class_colour
from visionkit.metrics.f1 import BestF1
from visionkit.metrics.plots import BLUE, FAINT, INK, make_figure, short_name
from visionkit.metrics.tide import Errors

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MANY = 20
_MENDS = {
    "classification": "right box, wrong class",
    "localisation": "right class, poor box",
    "both": "wrong class, poor box",
    "duplicate": "found twice",
    "background": "nothing there",
    "missed": "not found",
}


def precision_recall(
    path: Path,
    precision: NDArray[np.float64],
    classes: Sequence[str],
    ious: Sequence[float],
) -> None:
    """Draw precision over recall: each class at one IoU, their mean, and that over all IoUs.

    The one IoU is 0.5, or the lowest where 0.5 isn't among them. With more than 20 classes only the
    means have a colour and a name.

    Args:
        path: the picture to write.
        precision: [T, 101, K] at T IoUs and recall 0 to 1; -1 where a class has no truth.
        classes: K names.
        ious: the T IoUs, ascending.
    """
    figure, axes = make_figure(7.4, 5)
    recall = np.linspace(0, 1, precision.shape[1])
    defined = [k for k in range(len(classes)) if (precision[..., k] > -1).all()]
    few = len(defined) <= _MANY
    half = np.flatnonzero(np.isclose(ious, 0.5))
    at = int(half[0]) if len(half) else 0
    for k in sorted(defined, key=lambda k: -precision[at, :, k].mean()):
        curve = precision[at, :, k]
        label = f"{short_name(classes[k])}  {curve.mean():.3f}"
        axes.plot(recall, curve, **_line(k, few, label))
    if defined:
        one, every = precision[at][:, defined].mean(1), precision[:, :, defined].mean((0, 2))
        label = f"mean, IoU {ious[at]:g}  {one.mean():.3f}"
        axes.plot(recall, one, color=INK, linewidth=2.4, label=label)
        if len(precision) > 1:
            label = f"mean, IoU {ious[0]:g} to {ious[-1]:g}  {every.mean():.3f}"
            axes.plot(recall, every, color=INK, linewidth=1.8, linestyle=(0, (4, 2)), label=label)
        _legend(axes, "average precision")
    else:
        axes.text(0.5, 0.5, "no truth to score against", ha="center", color=INK)
    axes.set(xlim=(0, 1), ylim=(0, 1.01), xlabel="recall", ylabel="precision")
    axes.set_title("Precision and recall", loc="left", fontsize=11, color=INK)
    _plain(axes)
    figure.savefig(path, bbox_inches="tight", pad_inches=0.15)


def f1_curve(
    path: Path,
    curves: NDArray[np.float64],
    confidences: NDArray[np.float64],
    best: BestF1,
    classes: Sequence[str],
) -> None:
    """Draw F1 over the confidence from which on detections are kept, a dot at the best.

    With more than 20 classes only the mean has a colour and a name.

    Args:
        path: the picture to write.
        curves: [P, K] F1 of each class; -1 where a class has no truth.
        confidences: [P], ascending.
        best: what is best for each class.
        classes: K names.
    """
    figure, axes = make_figure(7.4, 5)
    defined = [k for k in range(len(classes)) if (curves[:, k] > -1).all()]
    few = len(defined) <= _MANY
    for k in sorted(defined, key=lambda k: -best.f1[k]):
        found = best.confidence[k] > -1
        label = f"{short_name(classes[k])}  {best.f1[k]:.3f}"
        label += f" at {best.confidence[k]:.2f}" if found else ""
        axes.plot(confidences, curves[:, k], **_line(k, few, label))
        if few and found:
            colour = np.array(class_colour(k)) / 255
            axes.plot(best.confidence[k], best.f1[k], "o", color=colour, markersize=5)
    if defined:
        mean = curves[:, defined].mean(1)
        # of equal means the middle of the first stretch: furthest from where it gets worse
        top = np.flatnonzero(mean == mean.max())
        top = top[: 1 + int(np.argmin(np.append(np.diff(top) == 1, False)))]
        at = int(top[len(top) // 2])
        label = f"mean  {mean[at]:.3f} at {confidences[at]:.2f}"
        axes.plot(confidences, mean, color=INK, linewidth=2.4, label=label)
        axes.plot(confidences[at], mean[at], "o", color=INK, markersize=7)
        _legend(axes, "best F1 and its confidence")
    else:
        axes.text(0.5, 0.5, "no truth to score against", ha="center", color=INK)
    axes.set(xlim=(0, 1), ylim=(0, 1.01), xlabel="confidence", ylabel="F1")
    axes.set_title("F1 at IoU 0.5", loc="left", fontsize=11, color=INK)
    _plain(axes)
    figure.savefig(path, bbox_inches="tight", pad_inches=0.15)


def errors(path: Path, found: Errors) -> None:
    """Draw what AP50 would gain by mending each kind of error (Bolya et al. 2020).

    Args:
        path: the picture to write.
        found: the costs and counts.
    """
    figure, axes = make_figure(7.4, 3.2)
    kinds = list(found.costs)
    values = [max(0.0, found.costs[kind]) for kind in kinds]
    rows = np.arange(len(kinds))
    axes.barh(rows, values, 0.62, color=BLUE)
    longest = max(*values, 0.005)
    defined = found.ap50 > -1
    for row, (kind, value) in enumerate(zip(kinds, values, strict=True)):
        what = "truths" if kind == "missed" else "detections"
        count = found.counts[kind]
        label = f"{value:.3f}" if defined else "-"
        label += f"   {count} {what if count != 1 else what[:-1]}"
        place = (value + 0.015 * longest, row)
        paper = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axes.text(*place, label, va="center", fontsize=9, color=INK, bbox=paper)
    names = [f"{kind}\n{_MENDS[kind]}" for kind in kinds]
    axes.set_yticks(rows, names, fontsize=8.5)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1.45 * longest), xlabel="AP50 gained if all of a kind were mended")
    if not defined:
        axes.set_xticks([])
    stated = f"{found.ap50:.3f}" if defined else "undefined: there is no truth"
    axes.set_title(f"Errors; AP50 is {stated}", loc="left", fontsize=11, color=INK)
    axes.tick_params(axis="y", length=0)
    _plain(axes)
    axes.grid(visible=False, axis="y")
    figure.savefig(path, bbox_inches="tight", pad_inches=0.15)


def _line(k: int, few: bool, label: str) -> dict[str, Any]:
    """How the curve of a class looks: its colour and name where they are few."""
    if not few:
        return {"color": "#a1a1aa", "linewidth": 0.5, "alpha": 0.5}
    return {"color": np.array(class_colour(k)) / 255, "linewidth": 1.3, "label": label}


def _legend(axes: "Axes", title: str) -> None:
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        frameon=False,
        fontsize=8.5,
        title=title,
        title_fontsize=9,
        alignment="left",
    )


def _plain(axes: "Axes") -> None:
    axes.set_axisbelow(True)
    axes.grid(color=FAINT, linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
