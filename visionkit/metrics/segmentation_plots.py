"""Plots of the figures of segmentation. Matplotlib is loaded on first use."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from visionkit.metrics.class_scores import Counts, defined_mean
from visionkit.metrics.plots import BLUE, FAINT, INK, PALE_BLUE, RED, make_figure, short_name

_MANY = 60


def iou_bars(path: Path, totals: Counts, classes: Sequence[str]) -> None:
    """Draw what each class's IoU is made of, the best class first.

    A bar is all pixels that are of the class or were said to be: those that are both are the IoU,
    the others were missed or wrongly said. Of more than 60 classes the lowest are drawn.

    Args:
        path: the picture to write.
        totals: pixels of each class, [K].
        classes: K names.
    """
    iou = totals.iou
    order = [k for k in np.argsort(-iou, kind="stable").tolist() if iou[k] > -1]
    drawn = order[-_MANY:]
    rows = np.arange(len(drawn))
    figure, axes = make_figure(7.4, 1.6 + 0.27 * max(3, len(drawn)))
    union = (totals.said + totals.support - totals.right)[drawn]
    left = np.zeros(len(drawn))
    parts = {
        "right": (totals.right, BLUE, 1.0),
        "missed": (totals.support - totals.right, RED, 0.45),
        "wrongly said": (totals.said - totals.right, PALE_BLUE, 0.6),
    }
    for label, (counts, colour, alpha) in parts.items():
        width = counts[drawn] / union
        axes.barh(rows, width, 0.72, left, color=colour, alpha=alpha, label=label)
        left += width
    all_pixels = max(1, int(totals.support.sum()))
    for row, k in enumerate(drawn):
        share = 100 * totals.support[k] / all_pixels
        note = f"{iou[k]:.3f}   {share:.3g} % of pixels"
        axes.text(1.015, row, note, va="center", fontsize=8.5, color=INK)
    if drawn:
        mean = defined_mean(iou)
        axes.axvline(mean, color=INK, linewidth=1.2, linestyle=(0, (4, 2)))
        axes.legend(
            loc="lower right",
            bbox_to_anchor=(1.0, 1.0),
            ncols=3,
            frameon=False,
            fontsize=8.5,
            borderaxespad=0.4,
        )
        title = f"mean IoU {mean:.3f}"
    else:
        axes.text(0.5, 1, "nothing to score", ha="center", color=INK)
        title = "IoU"
    if len(drawn) < len(order):
        title += f"\nthe {len(drawn)} lowest of {len(order)} classes"
    axes.set_yticks(rows, [short_name(classes[k]) for k in drawn], fontsize=8.5)
    axes.set(xlim=(0, 1), ylim=(max(2, len(drawn) - 1) + 0.6, -0.6))
    axes.set_xlabel("share of the pixels that are or were said to be of the class")
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.set_axisbelow(True)
    axes.grid(color=FAINT, linewidth=0.5, axis="x")
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, bbox_inches="tight", pad_inches=0.15)
