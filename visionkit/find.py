"""Finding a learning rate or a batch size before training, by configuration."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from visionkit.compose import attempt
from visionkit.config import find_problems
from visionkit.errors import ConfigError
from visionkit.report import write_json
from visionkit.tuning.request import split_words

if TYPE_CHECKING:
    from rich.console import Console


def run(
    words: Sequence[str], user_dir: str | None = None, console: "Console | None" = None
) -> dict[str, Any]:
    """Find what is asked for, tell it, and write it with a plot into ``run_dir``.

    A few steps are trained on one device and thrown away: a training run that follows is what it
    would have been.

    Args:
        words: of the command line: settings of ``conf/find.yaml``, the others are the training
            run's.
        user_dir: a folder with more groups and options.
        console: where it is told; the screen unless given.

    Returns:
        What ``lr.json`` or ``batch_size.json`` says.

    Raises:
        VisionkitError: anything the person can mend.
    """
    from rich.console import Console

    console = console or Console()

    def tell(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    settings, runs = _settings(words, user_dir)
    folder = Path(settings["run_dir"])
    folder.mkdir(parents=True, exist_ok=True)
    how = settings[settings["what"]]
    found = (_lr if settings["what"] == "lr" else _batch_size)(runs, user_dir, folder, how, tell)
    tell(f"everything is in {folder}")
    return found


def _settings(words: Sequence[str], user_dir: str | None) -> tuple[dict[str, Any], list[str]]:
    """The finder's settings, and the training run's words; both are checked."""
    own, spaces, runs = split_words(words, "find")
    cfg, found = attempt(own, "find")
    if cfg is not None:
        found += find_problems(cfg, "find")
    base, lines = attempt([*runs, *spaces], user_dir=user_dir)
    found += lines
    if base is not None:
        found += find_problems(base)
    if found or cfg is None:
        raise ConfigError(list(dict.fromkeys(found)))
    settings: dict[str, Any] = dict(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]
    for section in ("lr", "batch_size"):
        if settings[section]["low"] >= settings[section]["high"]:
            raise ConfigError(f"{section}.low: must be below {section}.high")
    return settings, runs


def _lr(
    words: Sequence[str], user_dir: str | None, folder: Path, settings: dict[str, Any], tell: Any
) -> dict[str, Any]:
    from visionkit.finding.lr import draw, find_lr

    low, high = settings["low"], settings["high"]
    tell(f"raising optimizer.lr from {low:g} to {high:g} in {settings['steps']} steps")
    found = find_lr(words, user_dir, folder, settings)
    said = {"format": 1} | asdict(found)
    write_json(folder / "lr.json", said, indent=1)
    draw(folder / "lr.png", found)
    end = "" if not found.diverged else f"; it diverges at {found.rates[-1]:.2g}"
    tell(f"the loss is lowest at {found.lowest:.2g}{end}")
    if found.lr is None:
        tell(
            "it doesn't fall by enough to tell a rate; give lr.steps=300, or other ends with "
            "lr.low and lr.high"
        )
    else:
        tell(f"and falls fastest at {found.lr:.2g}: optimizer.lr={found.lr:.2g}")
    return said


def _batch_size(
    words: Sequence[str], user_dir: str | None, folder: Path, settings: dict[str, Any], tell: Any
) -> dict[str, Any]:
    from visionkit.finding.batch_size import as_rows, draw, search
    from visionkit.finding.steps import in_a_process

    measure = in_a_process(words, user_dir, folder, settings["steps"])
    chosen, found = search(measure, settings, tell)
    device = next((m.device for m in reversed(found) if m.why is None), found[-1].device)
    said = {"format": 1, "batch_size": chosen, "device": device, "measured": as_rows(found)}
    write_json(folder / "batch_size.json", said, indent=1)
    if chosen is None:
        raise ConfigError(
            f"batch_size.low: {found[0].why or 'more memory than batch_size.memory allows'} at "
            f"{settings['low']} already; choose a smaller data.image_size or model"
        )
    draw(folder / "batch_size.png", found, chosen, settings["memory"])
    why = (
        f"the smallest that is within {100 * settings['slack']:g} % of the best images a second"
        if device == "cpu"
        else f"the largest that takes at most {100 * settings['memory']:g} % of the memory"
    )
    tell(f"data.batch_size={chosen}, {why}; a good optimizer.lr grows with it: what=lr finds one")
    return said
