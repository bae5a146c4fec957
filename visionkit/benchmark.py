"""Benchmarks by configuration: how fast a model is in each runtime, and what it is worth."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionkit.benchmarking.cases import Case, Setup
from visionkit.benchmarking.given import Given, in_a_line, open_given, setups
from visionkit.benchmarking.machine import machine, versions
from visionkit.benchmarking.pictures import drawn
from visionkit.benchmarking.plot import draw
from visionkit.benchmarking.process import Runner
from visionkit.benchmarking.report import FORMAT, print_report, read_report
from visionkit.benchmarking.rounds import Row, measure
from visionkit.build import plain
from visionkit.data.cores import cores
from visionkit.errors import ConfigError
from visionkit.report import write_json

if TYPE_CHECKING:
    from rich.console import Console

    from visionkit.benchmarking.scores import Score, Split


def run(cfg: Any, console: "Console | None" = None) -> dict[str, Any]:
    """Measure a checkpoint or an exported file, and write what was found.

    ``benchmark.json`` has everything, ``benchmark.png`` the figure (or without one the throughput)
    against latency; what was exported for it is in ``exports/``. Every runtime has a process of its
    own, and they take turns, see :func:`visionkit.benchmarking.rounds.measure`. The figure is the
    given model's, once at each size: that exported files agree is what their export proves.

    Args:
        cfg: a composed ``benchmark`` configuration.
        console: where the table goes; the screen unless given.

    Returns:
        What ``benchmark.json`` says: ``name``, ``checkpoint``, ``task``, ``parameters`` (None of a
        file), ``gflops`` by size, ``pictures`` in words, ``split``, ``figure`` (``name`` and
        ``mode``, or None), ``scores`` by size, ``seconds``, ``threads``, ``machine``, ``versions``,
        ``rows`` (see :class:`visionkit.benchmarking.rounds.Row`), ``left_out`` (lines), ``format``.

    Raises:
        VisionkitError: anything the person can mend.
    """
    from rich.console import Console

    console = console or Console()
    settings: dict[str, Any] = plain(cfg)
    folder = Path(settings["run_dir"])
    others = [read_report(Path(path)) for path in settings["against"]]
    given = open_given(Path(settings["checkpoint"]), settings["name"])
    sizes = _sizes(settings["sizes"], given)
    split = _split(given, settings)
    folder.mkdir(parents=True, exist_ok=True)  # before the work: it may not be possible

    def tell(line: str) -> None:
        console.print(f"{line} ...", style="dim", highlight=False, markup=False, soft_wrap=True)

    if given.says == "noise":
        files, words = [], "none: it makes them from noise"
    elif split is None:
        files = drawn(folder / "pictures")
        words = f"{len(files)} drawn ones of 480 x 640"
    else:
        files = split.pictures(folder / "pictures")
        words = f"{len(files)} of the {split.name} split"
    parameters, gflops, uncounted = _counted(given, sizes, files)
    threads = settings["threads"] or cores()
    chosen, left_out = setups(
        given, settings["runtimes"], folder / "exports", threads, settings["device"], tell
    )
    with _runners(chosen, files) as runners:
        cases = [Case(*size, batch) for size in sizes for batch in settings["batch_sizes"]]
        rows, failed = measure(runners, cases, settings["seconds"], tell)
    left_out += uncounted + failed
    if not rows:
        raise ConfigError([f"runtimes: nothing could be measured; {line}" for line in left_out])
    report: dict[str, Any] = {
        "format": FORMAT,
        "name": given.name,
        "checkpoint": str(given.path),
        "task": given.task,
        "parameters": parameters,
        "gflops": gflops,
        "pictures": words,
        "split": settings["split"],
        "figure": None,
        "scores": {},
        "seconds": settings["seconds"],
        "threads": threads,
        "machine": machine(),
        "versions": versions(),
        "rows": [asdict(row) for row in rows],
        "left_out": left_out,
    }
    write_json(folder / "benchmark.json", report, indent=1)  # scoring may take long, and fail
    if split is not None:
        scores, unscored = _scores(split, rows, tell)
        first = next(iter(scores.values()), None)
        report |= {
            "figure": None if first is None else {"name": first.name, "mode": first.mode},
            "scores": {size: score.value for size, score in scores.items()},
            "left_out": left_out + unscored,
        }
        write_json(folder / "benchmark.json", report, indent=1)
    print_report(report, console)
    for line in draw(folder / "benchmark.png", [report, *others]):
        console.print(f"warning: {line}", style="yellow", markup=False, soft_wrap=True)
    console.print(f"everything is in {folder}", highlight=False, markup=False, soft_wrap=True)
    return report


def _sizes(wanted: Sequence[int | Sequence[int]] | None, given: Given) -> list[tuple[int, int]]:
    """Canvases, each once."""
    if wanted is None:
        return [given.canvas]
    if given.says == "noise":
        raise ConfigError("sizes: this model makes pictures from noise, of one size; leave it out")
    sides = [(size, size) if isinstance(size, int) else (size[0], size[1]) for size in wanted]
    return list(dict.fromkeys(sides))


def _split(given: Given, settings: dict[str, Any]) -> "Split | None":
    if settings["split"] is None:
        return None
    from visionkit.benchmarking.scores import Split

    return Split(given, settings)


def _counted(
    given: Given, sizes: Sequence[tuple[int, int]], files: Sequence[Path]
) -> tuple[int | None, dict[str, float], list[str]]:
    """Parameters and GFLOPs by size, and what couldn't be counted; of a file neither is known."""
    if given.loaded is None:
        return None, {}, []
    from visionkit.benchmarking.networks import count_flops, count_parameters

    gflops: dict[str, float] = {}
    failed: list[str] = []
    for height, width in sizes:
        try:
            count = count_flops(given.loaded, (height, width), files)
        except Exception as error:  # a network may not take the size
            failed.append(f"GFLOPs at {height}x{width}: {in_a_line(error)}")
        else:
            gflops[f"{height}x{width}"] = count / 1e9
    return count_parameters(given.loaded.model), gflops, failed


def _scores(split: "Split", rows: Sequence[Row], tell: Any) -> "tuple[dict[str, Score], list[str]]":
    """The figure at every size that something was measured at, and where there is none, why."""
    found: dict[str, Score] = {}
    failed: list[str] = []
    for height, width in dict.fromkeys((row.height, row.width) for row in rows):
        tell(f"scoring at {height}x{width}")
        try:
            score = split.score((height, width))
        except Exception as error:  # what was measured isn't lost for it
            failed.append(f"score at {height}x{width}: {in_a_line(error)}")
            continue
        if math.isfinite(score.value):
            found[f"{height}x{width}"] = score
    return found, failed


@contextlib.contextmanager
def _runners(chosen: Sequence[Setup], files: Sequence[Path]) -> Iterator[list[Runner]]:
    """Processes, which end with the context."""
    runners: list[Runner] = []
    try:
        for setup in chosen:
            runners.append(Runner(setup, files))
        yield runners
    finally:
        for runner in runners:
            runner.close()
