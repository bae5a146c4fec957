"""The command line: ``visionkit COMMAND key=value ...``.

Imports are inside the functions, so that ``visionkit --help`` answers at once.
"""

import logging
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial

from visionkit import __version__
from visionkit.commands import single, train
from visionkit.errors import ConfigError, VisionkitError, one_line

INTERRUPTED = 130
_HELP = """\
usage: visionkit COMMAND [key=value ...]

commands:
  train       task=NAME [model= backbone= neck= head= data= experiment= run_dir= seed= resume=]
  evaluate    checkpoint=FILE|model.onnx [data= data.root= split=test evaluator.KEY= run_dir=]
  predict     checkpoint=FILE source=IMAGE|DIR|GLOB|VIDEO|camera:0 [run_dir=]; of a GAN n=64
  export      checkpoint=FILE format=onnx|program|openvino [precision= run_dir=]
  benchmark   checkpoint=FILE|model.onnx [runtimes= sizes= run_dir=]
  serve       checkpoint=FILE|model.onnx [host= port=]
  check_data  data=coco data.root=DIR [run_dir=]
  tune        task=NAME space.KEY=RANGE [trials= pruner.name= run_dir=]
  find        what=lr|batch_size task=NAME [lr.steps= batch_size.memory= run_dir=]
  list        [tasks, models, backbones, heads, data, experiments ...]

options:
  --config-dir DIR  a folder of your own groups and experiments, beside those of visionkit
  --help            this text; after a command, that command's
  --version         the version
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    0; 1 if checked data would harm training; 2 for an error of the user's; 130 for Ctrl-C.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    commands: dict[str, Callable[[list[str]], int | None]] = {"train": train.train}
    commands |= {name: partial(single.run, name) for name in single.COMMANDS}
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
