"""The command line: ``visionkit train|evaluate|predict|check_data|list``.

Imports are inside the functions, so that ``visionkit --help`` answers at once.
"""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionkit import __version__
from visionkit.errors import ConfigError, VisionkitError, one_line

if TYPE_CHECKING:
    from omegaconf import DictConfig

HARMED = 1
INTERRUPTED = 130
_HELP = """\
usage: visionkit COMMAND [key=value ...]

commands:
  train       task=NAME [model= backbone= neck= head= data= experiment= run_dir= seed= resume=]
  evaluate    checkpoint=FILE [data= data.root= split=test evaluator.KEY= run_dir=]
  predict     checkpoint=FILE source=IMAGE|DIR|GLOB [run_dir=]; of a GAN n=64 seed=0
  check_data  data=coco data.root=DIR [run_dir=]
  list        [tasks, models, backbones, heads, data, experiments ...]

options:
  --config-dir DIR  a folder of your own groups and experiments, beside those of visionkit
  --help            this text; after a command, that command's
  --version         the version
"""
_TRAIN_HELP = """\
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
_EVALUATE_HELP = """\
usage: visionkit evaluate checkpoint=FILE [data= data.root= split=test evaluator.KEY= run_dir=]

The data are the checkpoint's own, unless data= chooses others.
"""
_PREDICT_HELP = """\
usage: visionkit predict checkpoint=FILE source=IMAGE|DIR|GLOB [run_dir= predict.confidence=]
       visionkit predict checkpoint=GAN n=64 [seed=0 label=NAME|N predict.truncation= run_dir=]
"""
_CHECK_DATA_HELP = """\
usage: visionkit check_data data=coco data.root=DIR [run_dir= threads= check.near= ...]

Reads a set as training does, looks at every picture once, and reports each defect with its file,
cause and mend, and the set in figures: on the screen, in report.json and in report.png.

The exit code is 1 if training would suffer, else 0; 2 if there is no such set.
"""
_LIST_HELP = """\
usage: visionkit list [GROUP] [--config-dir DIR]

GROUP is tasks, models, backbones (with parameters, GFLOPs, strides and weights), heads, data,
experiments, or any other group of conf/, such as necks or optimizers.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    0; 1 if checked data would harm training; 2 for an error of the user's; 130 for Ctrl-C.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    commands: dict[str, Callable[[list[str]], int | None]] = {
        "train": _train,
        "evaluate": _evaluate,
        "predict": _predict,
        "check_data": _check_data,
        "list": _list,
    }
    command, *rest = arguments or ["--help"]
    if command in ("--help", "-h"):
        print(_HELP, end="")
        return 0
    if command == "--version":
        print(f"visionkit {__version__}")
        return 0
    try:
        if command not in commands:
            from visionkit.argtypes import nearest

            raise ConfigError(f"{command}: no such command{nearest(command, commands)}")
        _speak()
        if os.getcwd() not in sys.path:  # for the user's own packages, named in allow=
            sys.path.append(os.getcwd())
        with one_line():
            return commands[command](rest) or 0
    except VisionkitError as error:
        _report(error)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def _speak() -> None:
    """Show what visionkit has to say, as plain lines on stderr."""
    logger = logging.getLogger("visionkit")
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False


def _report(error: VisionkitError) -> None:
    for line in error.problems if isinstance(error, ConfigError) else [str(error)]:
        print(f"error: {' '.join(line.split())}", file=sys.stderr)


def _train(arguments: list[str]) -> None:
    if "--help" in arguments or "-h" in arguments:
        print(_TRAIN_HELP, end="")
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
    if not (options.info or options.hydra_help or options.shell_completion):
        _check_train(options.overrides, options.config_dir, multirun, not shows)
    if multirun:
        overrides = [o.replace("run_dir=", "hydra.sweep.dir=", 1) if o.startswith("run_dir=")
                     else o for o in overrides]  # fmt: skip
    positional = set(options.overrides)
    flags = [a for a in arguments if a not in positional]
    _run_hydra(flags, overrides, options.config_dir)


def _check_train(
    overrides: list[str], user_dir: str | None, multirun: bool, completely: bool
) -> None:
    """Find everything wrong with every job, before Hydra makes a folder or anything is built."""
    from visionkit.compose import attempt
    from visionkit.config import find_problems
    from visionkit.overrides import sweep_jobs

    found: list[str] = []
    for job in sweep_jobs(overrides) if multirun else [overrides]:
        cfg, lines = attempt(job, "config", user_dir)
        found += lines
        if cfg is not None and completely:
            found += find_problems(cfg)
    if found:
        raise ConfigError(list(dict.fromkeys(found)))


def _run_hydra(flags: list[str], overrides: list[str], user_dir: str | None) -> None:
    """Hand over to Hydra, whose own handling of exceptions is kept away from ours."""
    import hydra

    os.environ["HYDRA_FULL_ERROR"] = "1"  # its own errors, such as of making the folder, too

    from visionkit.compose import config_dir

    raised: list[Exception] = []
    program = list(sys.argv)

    def job(cfg: "DictConfig") -> Any:
        sys.argv = [program[0], *_replay(cfg, user_dir, program)]
        try:
            from visionkit.train import run

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


def _options(arguments: list[str], command: str, text: str) -> tuple[list[str], str | None] | None:
    """Split off ``--config-dir``; None if help was asked for and given."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--help", "-h", action="store_true")
    parser.add_argument("--config-dir", "-cd")
    parser.add_argument("overrides", nargs="*")
    options, unknown = parser.parse_known_intermixed_args(arguments)
    if options.help:
        print(text, end="")
        return None
    if unknown:
        raise ConfigError(f"{unknown[0]}: {command} has no such option; see --help")
    return options.overrides, options.config_dir


def _composed(overrides: list[str], name: str, user_dir: str | None) -> "DictConfig":
    from visionkit.compose import attempt
    from visionkit.config import find_problems

    cfg, found = attempt(overrides, name, user_dir)
    found = [*found, *(find_problems(cfg, name) if cfg is not None else [])]
    if found or cfg is None:
        raise ConfigError(list(dict.fromkeys(found)))
    return cfg


def _evaluate(arguments: list[str]) -> None:
    options = _options(arguments, "evaluate", _EVALUATE_HELP)
    if options is None:
        return
    from omegaconf import open_dict

    from visionkit.overrides import split_off

    overrides, data = split_off("data", options[0])
    overrides, evaluator = split_off("evaluator", overrides)
    cfg = _composed(overrides, "evaluate", options[1])
    with open_dict(cfg):
        if data:
            cfg.data_overrides = data
        if evaluator:
            cfg.evaluator_overrides = evaluator
    from visionkit.evaluate import run

    run(cfg)


def _predict(arguments: list[str]) -> None:
    options = _options(arguments, "predict", _PREDICT_HELP)
    if options is None:
        return
    from visionkit.predict import run

    run(_composed(options[0], "predict", options[1]))


def _check_data(arguments: list[str]) -> int:
    options = _options(arguments, "check_data", _CHECK_DATA_HELP)
    if options is None:
        return 0
    cfg = _composed(options[0], "check_data", options[1])
    from visionkit.check_data import run

    return HARMED if run(cfg).suffers else 0


def _list(arguments: list[str]) -> None:
    options = _options(arguments, "list", _LIST_HELP)
    if options is None:
        return
    from visionkit.listing import show

    show(*options)
