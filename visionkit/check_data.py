"""Checking a data set as a command: what is wrong with it, and what is in it."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console

from visionkit.build import build, expect, plain
from visionkit.data.datamodule import DataModule
from visionkit.doctor.examine import Findings, Limits, examine
from visionkit.doctor.picture import draw_report
from visionkit.doctor.summary import report_data
from visionkit.doctor.text import print_findings
from visionkit.report import printable, write_json


def run(cfg: DictConfig, console: Console | None = None) -> Findings:
    """Read a set, look at every picture once, and report what is wrong with it.

    ``report.json`` has every defect and the set in figures; ``report.png`` shows them.

    Args:
        cfg: a composed ``check_data`` configuration.
        console: where the report goes; the screen unless given.

    Returns:
        What was found; ``suffers`` tells whether training would.

    Raises:
        VisionkitError: there is no such set, or the report can't be written.
    """
    console = console or Console()
    settings: dict[str, Any] = plain(cfg)
    folder = Path(settings["run_dir"])
    node = build(settings["data"], "data", allow=settings["allow"])
    data: DataModule = expect(node, DataModule, "data")
    folder.mkdir(parents=True, exist_ok=True)  # before the work: it may not be possible
    threads = settings["threads"]
    found = examine(data, Limits(**settings["check"]), None if threads == "auto" else threads)
    report = report_data(found)
    print_findings(found, report["summary"], console)
    write_json(folder / "report.json", report, indent=1)
    if found.splits:
        draw_report(folder / "report.png", found)
    line = printable(f"everything is in {folder}")
    console.print(line, highlight=False, soft_wrap=True, markup=False)
    return found
