"""``visionkit train``: everything is checked first, then Hydra runs the job or the sweep."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionkit.errors import ConfigError

if TYPE_CHECKING:
    from omegaconf import DictConfig

HELP = """\
usage: visionkit train task=NAME [group=OPTION ...] [key=value ...]

Groups choose a part (`visionkit list` shows the options), keys set a value of it:
  visionkit train task=detection
  visionkit train task=detection data=coco data.root=DIR model=yolo_s trainer.max_epochs=40
  visionkit train --multirun task=detection seed=0,1,2

options:
  --config-dir DIR  a folder of your own groups and experiments, beside those of visionkit
  --multirun, -m    run every combination of the values that commas separate
  --cfg job         print the configuration instead of training; --resolve fills interpolations in
  --info [KIND]     print how the configuration is put together
  --hydra-help      everything else that Hydra understands
"""


def train(arguments: list[str]) -> None:
    """Train as the arguments say, or print what was asked for."""
    if "--help" in arguments or "-h" in arguments:
        print(HELP, end="")
        return
    from hydra._internal.utils import get_args_parser

    from visionkit.compose import config_dir, groups
    from visionkit.overrides import prepare

    options, unknown = get_args_parser().parse_known_intermixed_args(arguments)
    if unknown:
        raise ConfigError(f"{unknown[0]}: train has no such option; see visionkit train --help")
    multirun = options.multirun
    folders = [config_dir(), *([Path(options.config_dir)] if options.config_dir else [])]
    overrides = prepare(options.overrides, groups(folders), multirun)
    shows = options.cfg or options.info or options.hydra_help or options.shell_completion
    run_dir = None
    if not (options.info or options.hydra_help or options.shell_completion):
        run_dir = _check(options.overrides, options.config_dir, multirun, not shows)
    if run_dir is not None and not shows:
        overrides += _shared(options.overrides, run_dir, multirun)
    if multirun:
        overrides = [o.replace("run_dir=", "hydra.sweep.dir=", 1) if o.startswith("run_dir=")
                     else o for o in overrides]  # fmt: skip
    positional = set(options.overrides)
    flags = [a for a in arguments if a not in positional]
    _run_hydra(flags, overrides, options.config_dir)


def _check(
    overrides: list[str], user_dir: str | None, multirun: bool, completely: bool
) -> str | None:
    """Find everything wrong with every job, before Hydra makes a folder or anything is built.

    Returns:
        The folder of the last job, if one could be composed.
    """
    from visionkit.compose import attempt
    from visionkit.config import find_problems
    from visionkit.overrides import sweep_jobs

    found: list[str] = []
    run_dir = None
    for job in sweep_jobs(overrides) if multirun else [overrides]:
        cfg, lines = attempt(job, "config", user_dir)
        found += lines
        if cfg is not None and completely:
            found += find_problems(cfg)
            run_dir = None if found else str(cfg.run_dir)
    if found:
        raise ConfigError(list(dict.fromkeys(found)))
    return run_dir


def _shared(overrides: list[str], run_dir: str, multirun: bool) -> list[str]:
    """What makes ranks that were started from outside share a folder, if they are some."""
    from visionkit.launch import agreed, launched
    from visionkit.overrides import key_of, quoted

    launch = launched()
    if launch is None:
        return []
    if multirun:
        raise ConfigError(
            f"--multirun: {launch.by} has started {launch.ranks} ranks, and each would run the "
            f"sweep; leave {launch.by} out (trainer.devices starts ranks for each job), or start "
            "it for each job"
        )
    if any(key_of(o) == "run_dir" for o in overrides):
        return []
    return [f"run_dir={quoted(agreed(launch, 'run_dir', run_dir))}"]


def _run_hydra(flags: list[str], overrides: list[str], user_dir: str | None) -> None:
    """Hand over to Hydra, whose own handling of exceptions is kept away from ours."""
    import hydra

    os.environ["HYDRA_FULL_ERROR"] = "1"  # its own errors, such as of making the folder, too

    from hydra.core.hydra_config import HydraConfig

    from visionkit.compose import config_dir, without_rests

    raised: list[Exception] = []
    program = list(sys.argv)

    def job(cfg: "DictConfig") -> Any:
        cfg = without_rests(cfg, HydraConfig.get().overrides.task)
        sys.argv = [program[0], *_replay(cfg, user_dir, program)]
        try:
            from visionkit.launch import alone_again
            from visionkit.train import run

            with alone_again():
                return run(cfg)
        except Exception as error:
            raised.append(error)
            raise SystemExit(1) from error

    sys.argv = [program[0], *overrides, *flags]  # --info takes an optional value
    try:
        hydra.main(version_base="1.3", config_path=str(config_dir()), config_name="config")(job)()
    except SystemExit as stop:
        if raised:
            raise raised[0] from raised[0].__cause__
        if stop.code:
            raise
    finally:
        sys.argv = program


def _replay(cfg: "DictConfig", user_dir: str | None, program: list[str]) -> list[str]:
    """Pin the run folder, and return the arguments that start this very job again.

    Lightning starts further ranks by replaying ``sys.argv``: they must run this job alone, not the
    whole sweep, and share its folder instead of naming one by their own clock.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from omegaconf import open_dict

    from visionkit.overrides import quoted

    settings = HydraConfig.get()
    with open_dict(cfg):
        swept = settings.mode == RunMode.MULTIRUN
        cfg.run_dir = settings.runtime.output_dir if swept else cfg.run_dir
    task = [o for o in settings.overrides.task if not o.lstrip("+").startswith("run_dir=")]
    flags = ["--config-dir", user_dir] if user_dir else []
    # A script such as tools/train.py adds the command itself.
    command = ["train"] if program[1:2] == ["train"] else []
    return [*command, *flags, *task, f"run_dir={quoted(str(cfg.run_dir))}"]
