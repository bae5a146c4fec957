"""What a run finds in its folder when it starts, and makes of it."""

import contextlib
import csv
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

    What a kill left half written is removed. The best checkpoint so far is brought along when the
    run goes on from a file elsewhere: its figure is continued, so its weights must be there too,
    even if none is better. Files that can't be used go, with a line that says so.

    Args:
        folder: of the run.
        resume: the checkpoint that it goes on from, None for a fresh start.
    """
    tidy(folder)
    checkpoints = folder / "checkpoints"
    if resume is None or resume.parent != checkpoints:
        with contextlib.suppress(FileNotFoundError):  # another run's
            (checkpoints / PREVIOUS).unlink()
    if resume is None:
        return
    _unfinish(folder / "metrics.json")
    if resume.parent != checkpoints:
        _bring_best(resume.parent / BEST, checkpoints / BEST)
    elif resume.name == PREVIOUS and damage(checkpoints / LAST):
        (checkpoints / LAST).unlink()  # or it would become the previous one
    reason = damage(checkpoints / BEST)
    if reason:
        log.warning("%s; the best is looked for among the epochs to come", reason)
        (checkpoints / BEST).unlink()


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


def _unfinish(file: Path) -> None:
    """Mark the figures of a run that goes on, as if they were of an interrupted one."""
    try:
        figures = json.loads(file.read_text())
    except (OSError, ValueError):
        return
    if "interrupted" not in figures:
        write_json(file, figures | {"interrupted": 1.0}, indent=2)


def _bring_best(source: Path, target: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        target.unlink()
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
        kept = _rows(Path(logger.log_dir) / "metrics.csv", step)
        writer: Any = logger.experiment  # its making removes the file
        if kept:
            writer.metrics_keys = list(kept[0])
            with replacing(Path(writer.metrics_file_path)) as stream:
                table = csv.DictWriter(stream, writer.metrics_keys)
                table.writeheader()
                table.writerows(kept)


def _rows(file: Path, step: int) -> list[dict[str, str]]:
    """The rows of a log before a step, without one that a kill has cut."""
    try:
        lines = file.read_text().splitlines(keepends=True)
        rows = csv.DictReader(line for line in lines if line.endswith("\n"))
        return [row for row in rows if int(row["step"]) < step]
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        return []
