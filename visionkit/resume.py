"""Which checkpoint a run continues, and whether it can."""

import json
import logging
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lightning.pytorch.utilities import rank_zero_only
from omegaconf import OmegaConf
from torch.optim import Optimizer
from yaml import YAMLError

from visionkit.checkpoint import read, trained_state
from visionkit.errors import CheckpointError
from visionkit.launch import agreed, launched
from visionkit.models.base import Network
from visionkit.run_folder import BEST, LAST, PREVIOUS, damage
from visionkit.run_lock import busy

log = logging.getLogger(__name__)

_MAY_DIFFER = ("run_dir", "resume")
_CHOICE = "VISIONKIT_RESUME"


class Position(NamedTuple):
    """Where training goes on: the epoch, how many of its batches are done, and steps in all."""

    epoch: int
    batches: int
    step: int


def find_resume(cfg: Mapping[str, Any]) -> Path | None:
    """Return the file to continue, or None for a fresh start.

    ``resume=auto`` takes the checkpoint of the given ``run_dir``; where no run has begun there,
    that of the newest folder beside it whose configuration is the same, and which wasn't finished
    and isn't being trained in.
    A folder's checkpoint is its ``last.ckpt``, or if that is damaged the one before it.

    Args:
        cfg: the run's plain configuration.

    Raises:
        CheckpointError: the file that ``resume`` names isn't there, or all of them are damaged.
    """
    resume = cfg["resume"]
    if resume is None:
        return None
    if resume != "auto":
        path = Path(resume)
        if not path.is_dir():
            return _given(path)
        found = _newest_whole(path)
        if found is None:
            raise CheckpointError(
                f"resume: {path / 'checkpoints' / LAST}: no such checkpoint; give a last.ckpt"
            )
        return found
    folder = Path(cfg["run_dir"])
    own = _newest_whole(folder)
    if own is not None:
        return own
    if (folder / "config.yaml").is_file():
        _tell(f"resume: {folder}: its run has no checkpoint yet; it starts afresh")
        return None
    return _first_ranks_choice(folder, cfg)


def _first_ranks_choice(folder: Path, cfg: Mapping[str, Any]) -> Path | None:
    """What :func:`_beside` finds for the first rank, whose own run looks to others as if held."""
    launch = launched()
    first = getattr(rank_zero_only, "rank", 0) == 0 if launch is None else launch.rank == 0
    chosen = os.environ.get(_CHOICE)
    if launch is None and not first and chosen is not None:
        return Path(chosen) if chosen else None
    found = _beside(folder, cfg) if first or launch is None else None
    text = "" if found is None else str(found)
    if launch is not None:
        text = agreed(launch, "resume", text)
        return Path(text) if text else None
    os.environ[_CHOICE] = text  # for the ranks that this one will start
    return found


def _beside(folder: Path, cfg: Mapping[str, Any]) -> Path | None:
    """The checkpoint of the newest unfinished run like this one that nobody is training."""
    homes = {file.parent.parent for file in folder.parent.glob(f"*/checkpoints/{LAST}")}
    homes |= {file.parent.parent for file in folder.parent.glob(f"*/checkpoints/{PREVIOUS}")}
    for home in sorted(homes, key=_time, reverse=True):
        if finished_figures(home) is None and _same(home / "config.yaml", cfg) and not busy(home):
            try:
                return _newest_whole(home)
            except CheckpointError as error:  # of a folder that nobody has named
                _tell(str(error).partition(";")[0])
    _tell(f"resume: no unfinished run like this one in {folder.parent}; it starts afresh")
    return None


def _given(path: Path) -> Path:
    if not path.is_file():
        raise CheckpointError(f"resume: {path}: no such checkpoint; give a last.ckpt")
    previous = path.with_name(PREVIOUS)
    reason = damage(path) if path.name == LAST and previous.is_file() else None
    if reason:
        raise CheckpointError(f"resume: {reason}; resume={previous} is the one before it")
    return path


def _newest_whole(folder: Path) -> Path | None:
    """The checkpoint of a run's folder to go on from, None if it has none.

    Raises:
        CheckpointError: there is none but damaged ones.
    """
    last, previous = (folder / "checkpoints" / name for name in (LAST, PREVIOUS))
    reason = damage(last)
    if reason is None and last.is_file():
        return last
    before = damage(previous)
    if before is None and previous.is_file():
        _tell(f"resume: {reason or f'{last} is gone'}; the one before it is used, {previous}")
        return previous
    if reason or before:
        best = folder / "checkpoints" / BEST
        weights = f", from model.weights={best}" if best.is_file() else ""
        raise CheckpointError(
            f"resume: {reason or before}, and no checkpoint before it is whole; start anew in "
            f"another run_dir{weights}"
        )
    return None


@rank_zero_only
def _tell(line: str) -> None:
    log.warning("%s", line)


def _time(home: Path) -> float:
    return max(file.stat().st_mtime for file in (home / "checkpoints").glob("*.ckpt"))


def nothing_left(cfg: Mapping[str, Any]) -> dict[str, float] | None:
    """The figures of the run that ``resume=auto`` would continue, where it has come to its end.

    Args:
        cfg: the run's plain configuration; by another one a finished run goes on training.
    """
    folder = Path(cfg["run_dir"])
    if cfg["resume"] != "auto" or not _same(folder / "config.yaml", cfg):
        return None
    return finished_figures(folder)


def finished_figures(folder: Path) -> dict[str, float] | None:
    """What a folder's ``metrics.json`` says, None where its run hasn't come to its end."""
    try:
        figures = json.loads((folder / "metrics.json").read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(figures, dict) or "interrupted" in figures:
        return None
    return {k: math.nan if v is None else v for k, v in figures.items()}


def check_resume(
    path: str | Path,
    model: Network,
    classes: tuple[str, ...] | None = None,
    optimizers: Sequence[Optimizer] = (),
) -> Position:
    """See that training of ``model`` can go on from a checkpoint.

    Args:
        path: the file.
        model: as built.
        classes: of the data, to be compared with the checkpoint's.
        optimizers: as built for the model's parameters, to be compared likewise.

    Returns:
        Where it goes on.

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
    return Position(loop["epoch_progress"]["current"]["processed"], batches, content["global_step"])


def _same_optimizer(optimizer: Optimizer, state: Mapping[str, Any]) -> bool:
    """Whether groups are of the same sizes and options (an upgrade of torch may add some)."""
    ours, theirs = optimizer.state_dict()["param_groups"], state["param_groups"]
    if [len(g["params"]) for g in ours] != [len(g["params"]) for g in theirs]:
        return False
    a, b = set(ours[0]), set(theirs[0]) - {"initial_lr"}  # schedules add it
    return a <= b or b <= a


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
