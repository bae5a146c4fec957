"""Accuracy, or throughput, against latency."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from visionkit.benchmarking.report import Report
from visionkit.metrics.plots import BLUE, FAINT, INK, RED, make_figure, short_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = (BLUE, RED, "#2a9d60", "#b45309", "#7c3aed", "#64748b")
"""Of models in turn, or of runtimes where there is one model."""
_MARKS = {"eager": "o", "compiled": "s", "onnx": "^", "openvino": "D", "program": "P"}
_WIDE = 6.0
"""Latencies that differ by more than this factor are shown on a logarithmic axis."""


class Point(NamedTuple):
    """A model in a runtime at one size.

    Attributes:
        latency: median milliseconds of its smallest batch's inference.
        value: its figure; or the pictures a second of the batch that is best at it.
        size: height and width.
        batch: the smallest one.
    """

    latency: float
    value: float
    size: str
    batch: int


def points(report: Report, by_figure: bool) -> dict[str, list[Point]]:
    """Return the points of each runtime, by growing size.

    Args:
        report: of a benchmark.
        by_figure: whether values are figures; sizes without one are left out.
    """
    found: dict[str, list[Point]] = {}
    grown = sorted(report["rows"], key=lambda row: (row["height"] * row["width"], _key(row)))
    for (runtime, size), group in groupby(grown, key=_key):
        rows = sorted(group, key=lambda row: int(row["batch"]))
        if by_figure and size not in report["scores"]:
            continue
        best = max(row["pictures_per_second"] for row in rows)
        value = report["scores"][size] if by_figure else best
        found.setdefault(runtime, []).append(
            Point(rows[0]["inference_ms"], value, size, rows[0]["batch"])
        )
    return {name: found[name] for name in _MARKS if name in found}


def _key(row: Report) -> tuple[str, str]:
    return row["runtime"], f"{row['height']}x{row['width']}"


def draw(path: Path, reports: Sequence[Report]) -> list[str]:
    """Draw all reports into one plot: the figure against latency, where the first one has one.

    Args:
        path: the picture to write.
        reports: of benchmarks; the first one decides what is shown.

    Returns:
        A line for each report that can't be shown beside the first one, or only with care.
    """
    figure, shown, told = reports[0]["figure"], [], []
    for report in reports:
        if figure and (report["figure"] or {}).get("name") != figure["name"]:
            told.append(f"{report['name']}: not in the plot, it has no {figure['name']}")
            continue
        shown.append(report)
        if report["machine"] != reports[0]["machine"] or report["threads"] != reports[0]["threads"]:
            told.append(f"{report['name']}: measured on another machine, or with other threads")
    series = _series(shown, figure is not None)
    panel, axes = make_figure(8.4, 5.0)
    for name, (colour, mark, found) in series.items():
        axes.plot(
            [point.latency for point in found],
            [point.value for point in found],
            color=colour,
            marker=mark,
            markersize=7,
            linewidth=1.2,
            label=short_name(name, 40),
        )
        for point in found:
            axes.annotate(
                point.size,
                (point.latency, point.value),
                xytext=(6, -10),
                textcoords="offset points",
                fontsize=7,
                color=INK,
            )
    every = [point for _, _, found in series.values() for point in found]
    _scale(axes, [point.latency for point in every])
    axes.set_xlabel(f"latency of inference, {_batches(every)} (milliseconds)")
    if figure:
        better = "" if figure["mode"] == "max" else ", smaller is better"
        axes.set_ylabel(f"{figure['name']}, {reports[0]['split']} split{better}")
    else:
        axes.set_ylabel("pictures a second, best batch")
        axes.set_ylim(0)
    title = f"{figure['name'] if figure else 'Throughput'} against latency"
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.grid(color=FAINT, linewidth=0.5, which="both")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if series:
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=8)
    panel.savefig(path, bbox_inches="tight", pad_inches=0.15)
    return told


def _series(reports: Sequence[Report], by_figure: bool) -> dict[str, tuple[str, str, list[Point]]]:
    """Colour, mark and points of each line, by what the legend calls it."""
    found: dict[str, tuple[str, str, list[Point]]] = {}
    for number, report in enumerate(reports):
        for place, (runtime, line) in enumerate(points(report, by_figure).items()):
            colour = _COLOURS[(number if len(reports) > 1 else place) % len(_COLOURS)]
            name = f"{report['name']}, {runtime}"
            if name in found:  # two runs of one name
                name += f" ({number + 1})"
            found[name] = colour, _MARKS[runtime], line
    return found


def _scale(axes: "Axes", latencies: Sequence[float]) -> None:
    low, high = min(latencies, default=1.0), max(latencies, default=1.0)
    if high <= _WIDE * low:
        axes.set_xlim(0, 1.15 * high)
        return
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.set_xlim(low / 1.2, high * (high / low) ** 0.12)  # room for what is written beside it
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _batches(found: Iterable[Point]) -> str:
    sizes = sorted({point.batch for point in found}) or [1]
    return f"batch {' or '.join(map(str, sizes))}"
