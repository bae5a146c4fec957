"""What a run finds in its folder when it starts, and makes of it."""

import contextlib
import csv
import filecmp
import itertools
import json
import logging
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger

from visionkit.checkpoint import read
from visionkit.checkpoint_io import DamagedError
from visionkit.report import replacing, write_json

log = logging.getLogger(__name__)

LAST, PREVIOUS, BEST = "last.ckpt", "previous.ckpt", "best.ckpt"
_TEMPORARY = re.compile(r"\..+\.(\d+)\.tmp")


def prepare(folder: Path, resume: Path | None) -> None:
    """Make a run's folder ready for training; only the first rank does it.

    What a kill left half written is removed. Checkpoints and figures of another run are set aside,
    or ``resume=auto`` would take them for this one's. The best checkpoint so far is brought along
    when the run goes on from a file elsewhere: its figure is continued, so its weights must be
    there too, even if none is better. Files that can't be used get another name, with a line.

    Args:
        folder: of the run.
        resume: the checkpoint that it goes on from, None for a fresh start.
    """
    tidy(folder)
    checkpoints = folder / "checkpoints"
    own = resume is not None and lies_in(resume, checkpoints)
    if not own:
        _set_aside(folder, keep=resume)
    if resume is None:
        return
    if (folder / "metrics.json").is_file():
        mark_interrupted(folder)
    if not own:
        _bring_best(resume.parent / BEST, checkpoints / BEST)
    elif resume.name == PREVIOUS and damage(checkpoints / LAST):
        _lay_aside(checkpoints / LAST)  # or it would become the previous one
    reason = damage(checkpoints / BEST)
    if reason:
        log.warning("%s; the best is looked for among the epochs to come", reason)
        _lay_aside(checkpoints / BEST)


def _lay_aside(file: Path) -> None:
    """Give a damaged file another name: it may hold what a person can still use."""
    os.replace(file, file.with_name(f"{file.name}.damaged"))


def lies_in(file: Path, folder: Path) -> bool:
    """Whether a file is one of a folder's, however the two are written."""
    return folder.resolve() in (file.parent.resolve(), file.resolve().parent)


def _set_aside(folder: Path, keep: Path | None) -> None:
    """Give another run's checkpoints another name, and put its figures beside them.

    The figures go first: without them its run would be scored again at worst.
    """
    checkpoints, figures = folder / "checkpoints", folder / "metrics.json"
    found = [name for name in (LAST, PREVIOUS, BEST) if (checkpoints / name).is_file()]
    if not found:
        figures.unlink(missing_ok=True)
        return
    if found == [BEST] and keep is not None and _alike(keep.parent / BEST, checkpoints / BEST):
        return  # brought along by a start that came no further
    if figures.is_file():
        os.replace(figures, checkpoints / "metrics.json")
    number = next(n for n in itertools.count(1) if not (folder / f"checkpoints.{n}").exists())
    aside = folder / f"checkpoints.{number}"
    checkpoints.rename(aside)
    log.warning("run_dir: %s has checkpoints of an earlier run; they are in %s now", folder, aside)


def _alike(a: Path, b: Path) -> bool:
    return a.is_file() and filecmp.cmp(a, b, shallow=False)


def damage(path: Path) -> str | None:
    """What is wrong with a checkpoint file, None if it is whole or isn't there."""
    if not path.is_file():
        return None
    try:
        read(path)
    except DamagedError as error:
        return str(error).removesuffix("; give another file")
    return None


def tidy(folder: Path) -> None:
    """Remove files that were being written when their process ended."""
    for pattern in (".*.tmp", "*/.*.tmp"):
        for file in folder.glob(pattern):
            match = _TEMPORARY.fullmatch(file.name)
            if match and not _lives(int(match[1])):
                with contextlib.suppress(OSError):
                    file.unlink()


def _lives(process: int) -> bool:
    """Whether another process of that number is there; in containers numbers come again."""
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def mark_interrupted(folder: Path) -> None:
    """Let a run's ``metrics.json`` say that it hasn't come to its end, whatever else it says."""
    file = folder / "metrics.json"
    figures = {}
    with contextlib.suppress(OSError, ValueError):
        figures = json.loads(file.read_text())
    if "interrupted" not in figures:
        write_json(file, figures | {"interrupted": 1.0}, indent=2)


def _bring_best(source: Path, target: Path) -> None:
    if source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        shutil.copyfile(source, temporary)
        os.replace(temporary, target)


def continue_logs(loggers: Sequence[Logger], step: int) -> None:
    """Let CSV logs go on after the rows before ``step``: Lightning would start them afresh.

    Rows from then on are of batches that are done again.

    Args:
        loggers: before they have written anything.
        step: optimizer steps of the checkpoint.
    """
    for logger in loggers:
        if not isinstance(logger, CSVLogger):
            continue
        file = Path(logger.log_dir) / "metrics.csv"
        aside = file.with_name("metrics.kept.csv")
        kept = _rows(file if file.is_file() else aside, step)
        if kept:
            _write(aside, kept)
        writer: Any = logger.experiment  # its making removes the file
        if kept:
            writer.metrics_keys = list(kept[0])
            _write(Path(writer.metrics_file_path), kept)
        aside.unlink(missing_ok=True)


def _write(file: Path, rows: list[dict[str, str]]) -> None:
    with replacing(file) as stream:
        table = csv.DictWriter(stream, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def _rows(file: Path, step: int) -> list[dict[str, str]]:
    """The rows of a log before a step, without one that a kill has cut."""
    try:
        lines = file.read_text().splitlines(keepends=True)
        rows = csv.DictReader(line for line in lines if line.endswith("\n"))
        return [row for row in rows if int(row["step"]) < step]
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        return []
