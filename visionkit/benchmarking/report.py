"""What a benchmark found: as a file, and on the screen."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionkit.errors import DataError

if TYPE_CHECKING:
    from rich.console import Console

FORMAT = 1
Report = Mapping[str, Any]
"""What ``benchmark.json`` holds, see :func:`visionkit.benchmark.run`."""
_HAS: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "rows": list,
    "scores": dict,
    "figure": (dict, type(None)),
    "machine": dict,
    "threads": int,
}
_TIMES = ("preprocess_ms", "network_ms", "postprocess_ms", "inference_ms", "inference_p95_ms")
_ROW_HAS = ("runtime", "height", "width", "batch", "inference_ms", "pictures_per_second")


def read_report(path: Path) -> dict[str, Any]:
    """Read the ``benchmark.json`` of another run.

    Raises:
        DataError: it isn't there, or is something else.
    """
    mend = "give the benchmark.json of another benchmark"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"against: {path}: can't be read ({error.strerror}); {mend}") from error
    except ValueError as error:
        raise DataError(f"against: {path}: no JSON, or damaged; {mend}") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT or not _fits(found):
        raise DataError(f"against: {path}: this visionkit didn't write it; {mend}")
    return found


def _fits(found: Mapping[str, Any]) -> bool:
    if not all(isinstance(found.get(key), kind) for key, kind in _HAS.items()):
        return False
    rows = found["rows"]
    return all(isinstance(row, dict) and all(key in row for key in _ROW_HAS) for row in rows)


def print_report(report: Report, console: "Console") -> None:
    """Print what was measured, and where and how."""
    from rich.table import Table

    for line in _introduction(report):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    figure = report["figure"]
    on_gpu = any(row["gpu_peak_mb"] is not None for row in report["rows"])
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    heads = ["read", "network", "post", "median", "p95", "img/s", "MB"]
    heads += ["GPU MB"] * on_gpu + ([figure["name"]] if figure else [])
    for head in ("size", "batch", "runtime"):
        table.add_column(head, justify="right" if head == "batch" else "left", no_wrap=True)
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    case = None
    for row in report["rows"]:
        here = f"{row['height']}x{row['width']}"
        shown = ("", "") if case == (here, row["batch"]) else (here, str(row["batch"]))
        case = here, row["batch"]
        cells = [_short(row[key]) for key in _TIMES]
        cells += [_short(row["pictures_per_second"]), _whole(row["peak_mb"])]
        cells += [_whole(row["gpu_peak_mb"])] * on_gpu
        if figure:
            score = report["scores"].get(here)
            cells.append("-" if score is None else f"{score:.3f}")
        table.add_row(*shown, row["runtime"], *cells)
    console.print(table)
    console.print(
        "milliseconds a batch, medians: read (from file to canvas), network (in a file with "
        "decoding and suppression), post; median and p95: network and post together, and so "
        "img/s; MB: main memory of its process at most",
        style="dim",
        highlight=False,
        soft_wrap=True,
    )
    for line in report["left_out"]:
        console.print(f"left out: {line}", style="yellow", markup=False, soft_wrap=True)


def _introduction(report: Report) -> list[str]:
    about = [report["name"]]
    if report["parameters"] is not None:
        about.append(f"{report['parameters'] / 1e6:.2f} M parameters")
    about += [f"{value:.3g} GFLOPs at {size}" for size, value in report["gflops"].items()]
    about += [f"{name} {size:.1f} MB" for name, size in _files(report).items()]
    machine, versions = report["machine"], dict(report["versions"])
    where = [machine["processor"], f"{report['threads']} threads of {machine['cores']} cores"]
    where += [machine["gpu"]] if machine["gpu"] else []
    where += [f"{name} {version}" for name, version in versions.items()]
    lines = [", ".join(about), ", ".join(where), f"pictures: {report['pictures']}"]
    figure = report["figure"]
    if figure:
        scores = (f"{value:.4f} at {size}" for size, value in report["scores"].items())
        lines.append(f"{figure['name']} on the {report['split']} split: {', '.join(scores)}")
    return lines


def _files(report: Report) -> dict[str, float]:
    """The sizes of what was exported, by runtime; a checkpoint holds more than the model."""
    plain = ("eager", "compiled")
    return {r["runtime"]: r["file_mb"] for r in report["rows"] if r["runtime"] not in plain}


def _short(value: float) -> str:
    """Three digits, as far as they are needed."""
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
