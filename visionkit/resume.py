"""Which checkpoint a run continues, and whether it can."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from torch.optim import Optimizer
from yaml import YAMLError

from visionkit.checkpoint import read, trained_state
from visionkit.errors import CheckpointError
from visionkit.models.base import Network

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


def check_resume(
    path: str | Path,
    model: Network,
    classes: tuple[str, ...] | None = None,
    optimizers: Sequence[Optimizer] = (),
) -> tuple[int, int]:
    """See that training of ``model`` can go on from a checkpoint.

    Args:
        path: the file.
        model: as built.
        classes: of the data, to be compared with the checkpoint's.
        optimizers: as built for the model's parameters, to be compared likewise.

    Returns:
        The epoch to go on with, and how many batches of it are done.

    Raises:
        CheckpointError: the file is none, holds weights only, or is of another model.
    """
    content = read(path)
    if not content.get("optimizer_states"):
        raise CheckpointError(
            f"{path}: holds a model but not the state of its training; resume from a last.ckpt, "
            "or start anew from these weights with model.weights"
        )
    own = {k: v.shape for k, v in model.state_dict().items()}
    theirs = {k: v.shape for k, v in trained_state(content).items()}
    unlike = sorted(k for k in own.keys() | theirs.keys() if own.get(k) != theirs.get(k))
    if unlike:
        raise CheckpointError(
            f"{path}: {len(unlike)} of its model's tensors are not this model's, such as "
            f"{unlike[0]}; resume with the settings and data it was trained with"
        )
    theirs_named = tuple(content["visionkit"]["classes"])
    if classes is not None and classes != theirs_named:
        raise CheckpointError(
            f"{path}: was trained for the classes {', '.join(theirs_named[:5])}, the data have "
            f"{', '.join(classes[:5])}; resume with the data it was trained with, or start anew "
            "from these weights with model.weights"
        )
    states = content["optimizer_states"]
    same = len(states) == len(optimizers) and all(map(_same_optimizer, optimizers, states))
    if optimizers and not same:
        raise CheckpointError(
            f"{path}: holds the state of another optimizer, or of other trained layers; resume "
            "with the settings it was trained with"
        )
    loop = content["loops"]["fit_loop"]
    progress = loop["epoch_loop.batch_progress"]
    now = progress["current"]
    ended = progress["is_last_batch"] and now["completed"] == now["ready"]
    batches = 0 if ended else now["completed"]
    return loop["epoch_progress"]["current"]["processed"], batches


def _same_optimizer(optimizer: Optimizer, state: Mapping[str, Any]) -> bool:
    """Whether groups are of the same sizes and options (an upgrade of torch may add some)."""
    ours, theirs = optimizer.state_dict()["param_groups"], state["param_groups"]
    if [len(g["params"]) for g in ours] != [len(g["params"]) for g in theirs]:
        return False
    a, b = set(ours[0]), set(theirs[0]) - {"initial_lr"}  # schedules add it
    return a <= b or b <= a


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
    return isinstance(other, dict) and _bare(other) == _bare(cfg)


def _bare(cfg: Mapping[Any, Any]) -> str:
    """A configuration without its folder, also where other keys hold it (a logger's, say)."""
    kept = {str(k): v for k, v in cfg.items() if k not in _MAY_DIFFER}
    folder = json.dumps(str(cfg.get("run_dir")))[1:-1]
    return json.dumps(kept, sort_keys=True, default=str).replace(folder, "@")


def keep_logs(folder: Path) -> None:
    """Put CSV logs aside that a resumed run's logger would start afresh."""
    for log in folder.glob("*/metrics.csv"):
        number = len(list(log.parent.glob("metrics.*.csv"))) + 1
        log.rename(log.with_name(f"metrics.{number}.csv"))
