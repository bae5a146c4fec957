"""Plots of a search: how it went on, how its trials went, and what their values did."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from visionkit.metrics.plots import BLUE, FAINT, INK, PALE_BLUE, RED, make_figure, short_name
from visionkit.tuning.space import Choice, Dimension
from visionkit.tuning.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKS = {"complete": (BLUE, "o", "trained to the end"), "pruned": (PALE_BLUE, "v", "ended early")}
_COLUMNS = 3


def draw(study: Study, found: Mapping[str, Any]) -> list[Path]:
    """Draw ``history.png``, ``curves.png`` and ``parameters.png`` into the study's folder.

    Args:
        study: of the search.
        found: what ``study.json`` says.

    Returns:
        The files; none where no trial has a figure.
    """
    metric, mode = found["metric"], found["mode"]
    rows = [r for r in found["trials"] if r[metric] is not None and r["state"] in _MARKS]
    if not rows:
        return []
    folder = study.request.folder
    curves = {t.number: dict(t.intermediate_values) for t in study.trials()}
    best = found["best"]["trial"] if found["best"] else None
    paths = [folder / name for name in ("history.png", "curves.png", "parameters.png")]
    draw_history(paths[0], rows, metric, mode)
    draw_curves(paths[1], {n: c for n, c in curves.items() if c}, metric, best)
    draw_parameters(paths[2], rows, metric, best, study.request.space, found["importance"])
    return paths


def draw_history(path: Path, rows: Sequence[Mapping[str, Any]], metric: str, mode: str) -> None:
    """Draw each trial's figure, and the best one so far, over the trials' numbers.

    Args:
        path: the picture to write.
        rows: of trials with a figure, by number, see :func:`visionkit.tuning.results.row`.
        metric: name of the figure.
        mode: ``max`` or ``min``.
    """
    figure, axes = make_figure(7.4, 4.2)
    _scatter(axes, rows, metric, [r["trial"] for r in rows])
    done = [(r["trial"], r[metric]) for r in rows if r["state"] == "complete"]
    if done:
        values = [v for _, v in done]
        best = np.maximum.accumulate(values) if mode == "max" else np.minimum.accumulate(values)
        axes.step([n for n, _ in done], best, where="post", color=RED, linewidth=1.2,
                  label="best so far")  # fmt: skip
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=8)
    axes.set(xlabel="trial", ylabel=metric)
    axes.set_title("History", loc="left", fontsize=11, color=INK)
    _count(axes)
    _plain(axes)
    figure.savefig(path, bbox_inches="tight", pad_inches=0.15)


def draw_curves(
    path: Path, curves: Mapping[int, Mapping[int, float]], metric: str, best: int | None
) -> None:
    """Draw each trial's figure over its epochs; the best trial is red.

    Args:
        path: the picture to write.
        curves: figures by epoch of each trial, by its number.
        metric: name of the figure.
        best: number of the best trial.
    """
    figure, axes = make_figure(7.4, 4.2)
    for number, curve in sorted(curves.items(), key=lambda item: item[0] == best):
        epochs = sorted(curve)
        mine = number == best
        axes.plot(
            epochs,
            [curve[e] for e in epochs],
            color=RED if mine else BLUE,
            alpha=1 if mine else 0.45,
            linewidth=1.6 if mine else 0.9,
            marker="o",
            markersize=3 if mine else 2,
            label=f"trial {number}, the best" if mine else None,
        )
    if best in curves:
        axes.legend(loc="best", frameon=False, fontsize=8)
    axes.set(xlabel="epoch", ylabel=metric)
    axes.set_title("Trials", loc="left", fontsize=11, color=INK)
    _count(axes)
    _plain(axes)
    figure.savefig(path, bbox_inches="tight", pad_inches=0.15)


def draw_parameters(
    path: Path,
    rows: Sequence[Mapping[str, Any]],
    metric: str,
    best: int | None,
    space: Mapping[str, Dimension],
    importance: Mapping[str, float],
) -> None:
    """Draw each trial's figure over the value of each key, the most important key first.

    Args:
        path: the picture to write.
        rows: of trials with a figure.
        metric: its name.
        best: number of the best trial.
        space: what was searched.
        importance: of keys, 0..1; those that it lacks come last.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    keys = sorted(space, key=lambda key: -importance.get(key, 0.0))
    columns = min(_COLUMNS, len(keys))
    lines = -(-len(keys) // columns)
    figure = Figure(figsize=(3.2 * columns + 0.6, 2.9 * lines + 0.4), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(lines, columns, squeeze=False, sharey=True)
    for axes, key in zip(grid.flat, keys, strict=False):
        dimension = space[key]
        mine = [r for r in rows if key in r["params"]]
        if isinstance(dimension, Choice):
            at = {value: n for n, value in enumerate(dimension.values)}
            places = [float(at[r["params"][key]]) for r in mine]
            names = [short_name(v, 14) for v in dimension.values]
            crowded = len(names) * max(map(len, names)) > 30
            axes.set_xticks(range(len(names)), names, rotation=90 if crowded else 0)
            axes.set_xlim(-0.5, len(names) - 0.5)
        else:
            places = [float(r["params"][key]) for r in mine]
            axes.set_xscale("log" if dimension.log else "linear")
        _scatter(axes, mine, metric, places)
        for row, place in zip(mine, places, strict=True):
            if row["trial"] == best:
                axes.scatter([place], [row[metric]], s=70, facecolors="none", edgecolors=RED,
                             linewidths=1.4, zorder=3)  # fmt: skip
        axes.set_xlabel(short_name(key, 40), fontsize=9)
        if key in importance:
            axes.set_title(f"importance {importance[key]:.2f}", loc="left", fontsize=8, color=INK)
        _plain(axes)
    for axes in list(grid.flat)[len(keys) :]:
        axes.set_visible(False)
    for row in grid:
        row[0].set_ylabel(metric)
    figure.savefig(path, bbox_inches="tight", pad_inches=0.15)


def _scatter(
    axes: "Axes", rows: Sequence[Mapping[str, Any]], metric: str, places: Sequence[float]
) -> None:
    """Draw trials by how they ended."""
    for state, (colour, mark, words) in _MARKS.items():
        shown = [(p, r[metric]) for p, r in zip(places, rows, strict=True) if r["state"] == state]
        if shown:
            across, up = zip(*shown, strict=True)
            axes.scatter(across, up, s=22, color=colour, marker=mark, label=words, zorder=2)


def _count(axes: "Axes") -> None:
    """Let the x axis have whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _plain(axes: "Axes") -> None:
    axes.set_axisbelow(True)
    axes.grid(color=FAINT, linewidth=0.5)
    axes.tick_params(colors=INK, labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
