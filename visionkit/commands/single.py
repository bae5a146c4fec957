"""The commands that do one thing by one configuration: all but training."""

import argparse
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from visionkit.errors import ConfigError

if TYPE_CHECKING:
    from omegaconf import DictConfig

HARMED = 1
_EVALUATE = """\
usage: visionkit evaluate checkpoint=FILE [data= data.root= split=test evaluator.KEY= run_dir=]

FILE is a checkpoint, or what export made of one. The data are its own, unless data= chooses others.
"""
_PREDICT = """\
usage: visionkit predict checkpoint=FILE source=IMAGE|DIR|GLOB|VIDEO [run_dir= predict.confidence=]
       visionkit predict checkpoint=GAN n=64 [seed=0 label=NAME|N predict.truncation= run_dir=]

FILE is a checkpoint, or what export made of one.
"""
_EXPORT = """\
usage: visionkit export checkpoint=FILE [format=onnx|program|openvino] [run_dir=]
                        [decode=nms|topk|raw precision=fp32|fp16|int8 dynamic= predict.iou=]

Writes a file that runs without visionkit, and proves on pictures of the data that it is the model
that was evaluated: parity.json. Beyond the tolerance the export fails, with exit code 2.
"""
_BENCHMARK = """\
usage: visionkit benchmark checkpoint=FILE|model.onnx [runtimes= sizes= batch_sizes= split=]

Latency, throughput, memory and, with split=, accuracy of a model in every runtime that is there.
"""
_SERVE = """\
usage: visionkit serve checkpoint=FILE|model.onnx [host=127.0.0.1 port=8000 batch_size= ...]

Answers over HTTP; http://127.0.0.1:8000/ is a page to drop pictures on.
"""
_CHECK_DATA = """\
usage: visionkit check_data data=coco data.root=DIR [run_dir= threads= check.near= ...]

Reads a set as training does, looks at every picture once, and reports each defect with its file,
cause and mend, and the set in figures: on the screen, in report.json and in report.png.

The exit code is 1 if training would suffer, else 0; 2 if there is no such set.
"""
_TUNE = """\
usage: visionkit tune task=NAME space.KEY=RANGE ... [trials=20 pruner.name=median run_dir= ...]
       visionkit tune run_dir=DIR [trials=40]

Searches hyper-parameters: RANGE is log(1e-4,1e-2), float(0,1), int(1,9) or choice(a,b), in quotes;
every other key and group is the training runs' own. A run_dir that holds a search goes on with it.
"""
_FIND = """\
usage: visionkit find what=lr task=NAME [lr.low= lr.high= lr.steps= run_dir= ...]
       visionkit find what=batch_size task=NAME [batch_size.memory=0.8 run_dir= ...]

Trains a few steps to find a learning rate or a batch size, and leaves nothing of them behind. Every
other key and group is the training run's own.
"""
_LIST = """\
usage: visionkit list [GROUP] [--config-dir DIR]

GROUP is tasks, models, backbones (with parameters, GFLOPs, strides and weights), heads, data,
experiments, or any other group of conf/, such as necks or optimizers.
"""


Job = Callable[[list[str], str | None], int | None]


class Command(NamedTuple):
    """What a command is.

    Attributes:
        help: its own.
        run: takes its overrides and ``--config-dir``, and returns an exit code, or None for 0.
    """

    help: str
    run: Job


def run(name: str, arguments: list[str]) -> int | None:
    """Run the command of a name, or print its help, and return its exit code, None for 0."""
    command = COMMANDS[name]
    options = _options(arguments, name, command.help)
    return None if options is None else command.run(*options)


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


def _job(name: str, module: str, groups: Sequence[str] = ()) -> Job:
    """The command that hands its configuration to the ``run`` of a module.

    Args:
        name: of the primary configuration.
        module: inside visionkit.
        groups: those of which single settings may be changed where no option is chosen.
    """

    def job(overrides: list[str], user_dir: str | None) -> int | None:
        from omegaconf import open_dict

        from visionkit.overrides import split_off

        changes = {}
        for group in groups:
            overrides, changes[group] = split_off(group, overrides)
        cfg = _composed(overrides, name, user_dir)
        with open_dict(cfg):
            for group, values in changes.items():
                if values:
                    cfg[f"{group}_overrides"] = values
        import_module(f"visionkit.{module}").run(cfg)
        return None

    return job


def _check_data(overrides: list[str], user_dir: str | None) -> int:
    cfg = _composed(overrides, "check_data", user_dir)
    from visionkit.check_data import run

    return HARMED if run(cfg).suffers else 0


def _tune(words: list[str], user_dir: str | None) -> None:
    from visionkit.tune import run

    run(words, user_dir)


def _find(words: list[str], user_dir: str | None) -> None:
    from visionkit.find import run

    run(words, user_dir)


def _list(words: list[str], user_dir: str | None) -> None:
    from visionkit.listing import show

    show(words, user_dir)


COMMANDS = {
    "evaluate": Command(_EVALUATE, _job("evaluate", "evaluate", ("data", "evaluator"))),
    "predict": Command(_PREDICT, _job("predict", "predict")),
    "export": Command(_EXPORT, _job("export", "export.command", ("data", "evaluator"))),
    "benchmark": Command(_BENCHMARK, _job("benchmark", "benchmark", ("data", "evaluator"))),
    "serve": Command(_SERVE, _job("serve", "serve")),
    "check_data": Command(_CHECK_DATA, _check_data),
    "tune": Command(_TUNE, _tune),
    "find": Command(_FIND, _find),
    "list": Command(_LIST, _list),
}
"""By their names on the command line."""
