"""Hyper-parameter search by configuration."""

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionkit.errors import ConfigError, DataError
from visionkit.tuning.probe import probe
from visionkit.tuning.request import Request, check_request, goes_on, read_request
from visionkit.tuning.study import Study, check_installed, remembered

if TYPE_CHECKING:
    from rich.console import Console


def run(
    words: Sequence[str], user_dir: str | None = None, console: "Console | None" = None
) -> dict[str, Any]:
    """Search, and write what was found.

    Each trial is a training run in ``trials/<number>`` of ``run_dir``. Its worth is the best figure
    of its validations; the test split, which a training run is scored on at its end, decides
    nothing. ``run_dir`` has ``study.journal`` (Optuna's, which several processes may share),
    ``study.json``, ``trials.csv``, ``experiment/best.yaml`` and plots.

    Args:
        words: of the command line: settings of the search, ranges (``space.KEY=RANGE``), and words
            of the training runs. Where a folder holds a study already, ``run_dir`` is enough.
        user_dir: a folder with more groups and options.
        console: where it is told; the screen unless given.

    Returns:
        What ``study.json`` says, see :func:`visionkit.tuning.results.write`.

    Raises:
        VisionkitError: anything the person can mend.
        KeyboardInterrupt: Ctrl-C, after all was written.
    """
    check_installed()
    from rich.console import Console

    from visionkit.tuning import results
    from visionkit.tuning.plots import draw
    from visionkit.tuning.trials import Machine, hopeless, run_all

    console = console or Console()

    def tell(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    request = _remembered(read_request(words, user_dir))
    own = check_request(request)
    about = probe(request.words, request.user_dir, str(request.folder / "trials" / "probe"))
    if not about["validates"]:
        raise DataError("data: a search needs a val split, which this set lacks; add one to it")
    settings = request.settings
    if settings["metric"] is not None:
        about |= {"metric": settings["metric"], "mode": settings["mode"]}
    study = Study(request, about)
    there = sum(t.state.name != "WAITING" for t in study.trials())
    if settings["defaults_first"]:
        study.suggest_first(own)
    trials = f"{settings['trials']} trial{'s' * (settings['trials'] != 1)}"
    tell(
        f"searching {', '.join(request.space)} for the {_extreme(about['mode'])} {about['metric']} "
        f"of the val split: {trials}"
        + (f", of which {there} had begun before" if there else "")
        + f"; everything is in {request.folder}"
    )
    end = math.inf if settings["hours"] is None else time.monotonic() + 3600 * settings["hours"]
    machine = Machine(gpus=about["gpus"], workers=settings["workers"])
    finished = run_all(study, machine, end, tell)
    why = hopeless(study)
    if why is not None:
        raise ConfigError(
            f"tune: the first three trials all failed, so that was given up: {why}; see "
            f"{request.folder / 'trials'}, and choose another run_dir when that is mended"
        )
    found = results.write(study)
    draw(study, found)
    if finished and time.monotonic() < end and len(found["trials"]) < settings["trials"]:
        tell(
            "all values of the space were tried"
            if study.exhausted
            else "no values were found that weren't tried; a wider space has more"
        )
    results.show(study, found, console)
    if not finished:
        tell(f"stopped; go on with visionkit tune run_dir={request.folder}")
        raise KeyboardInterrupt
    return found


def _extreme(mode: str) -> str:
    return "highest" if mode == "max" else "lowest"


def _remembered(request: Request) -> Request:
    """Take what the folder's study was told, where only settings are given."""
    if request.words or request.space or not Path(request.settings["run_dir"]).is_dir():
        return request
    found = remembered(request.folder)
    return request if found is None else goes_on(request, found)
