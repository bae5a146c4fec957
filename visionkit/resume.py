"""Which checkpoint a run continues."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from yaml import YAMLError

from visionkit.errors import CheckpointError

_MAY_DIFFER = ("run_dir", "resume")


def find_resume(cfg: Mapping[str, Any]) -> Path | None:
    """Return the file to continue, or None for a fresh start.

    ``resume=auto`` takes ``last.ckpt`` of the given ``run_dir``; if that has none, of the newest
    folder beside it whose configuration is the same and which wasn't finished.

    Args:
        cfg: the run's plain configuration.

    Raises:
        CheckpointError: the file that ``resume`` names isn't there.
    """
    resume = cfg["resume"]
    if resume is None:
        return None
    if resume != "auto":
        path = Path(resume)
        if path.is_dir():
            path = path / "checkpoints" / "last.ckpt"
        if not path.is_file():
            raise CheckpointError(f"resume: {path}: no such checkpoint; give a last.ckpt")
        return path
    folder = Path(cfg["run_dir"])
    own = folder / "checkpoints" / "last.ckpt"
    if own.is_file():
        return own
    runs = folder.parent.glob("*/checkpoints/last.ckpt")
    for last in sorted(runs, key=lambda p: p.stat().st_mtime, reverse=True):
        home = last.parent.parent
        if not _finished(home / "metrics.json") and _same(home / "config.yaml", cfg):
            return last
    return None


def bring_best(resume: Path, folder: Path) -> None:
    """Copy the best checkpoint so far when a run goes on in another folder of checkpoints.

    The best figure is continued, so its weights must be there too, even if none is better.
    """
    source, target = resume.parent / "best.ckpt", folder / "best.ckpt"
    if source.is_file() and not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _finished(file: Path) -> bool:
    try:
        return "interrupted" not in json.loads(file.read_text())
    except (OSError, ValueError):
        return False


def _same(file: Path, cfg: Mapping[str, Any]) -> bool:
    try:
        other = OmegaConf.to_container(OmegaConf.load(file))
    except (OSError, ValueError, YAMLError):
        return False
    if not isinstance(other, dict):
        return False
    keys = (cfg.keys() | other.keys()) - set(_MAY_DIFFER)
    return all(cfg.get(str(k)) == other.get(k) for k in keys)
