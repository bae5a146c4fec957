"""What a person asks to be searched, checked before the first trial."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from visionkit.compose import attempt, config_dir, groups
from visionkit.config import find_problems
from visionkit.errors import ConfigError
from visionkit.overrides import group_of_part, key_of, value_of
from visionkit.schema_commands import ROOTS
from visionkit.tuning.space import Number, Space, from_words, parse

_SETTLED = ("task", "run_dir", "resume", "allow", "hydra", "callbacks.trial")


@dataclass(frozen=True)
class Request:
    """A search.

    Attributes:
        words: of the training runs, as the command line has them.
        space: what is searched.
        settings: of ``conf/tune.yaml``, without the space.
        own: the words that gave the settings.
        user_dir: the person's own ``--config-dir``.
    """

    words: tuple[str, ...]
    space: Space
    settings: dict[str, Any]
    own: tuple[str, ...] = ()
    user_dir: str | None = None

    @property
    def folder(self) -> Path:
        """The study's."""
        return Path(self.settings["run_dir"])

    def trial_words(self, params: Mapping[str, Any]) -> list[str]:
        """The words of a training run with these values."""
        return [*self.words, *(f"{k}={self.space[k].word(v)}" for k, v in params.items())]


def split_words(words: Sequence[str], root: str) -> tuple[list[str], list[str], list[str]]:
    """Return the words of the command itself, of a search's space, and of the training runs.

    Args:
        words: of the command line.
        root: the command's primary configuration.
    """
    known = {field.name for field in fields(ROOTS[root])} - {"space"}
    own: list[str] = []
    space: list[str] = []
    runs: list[str] = []
    for word in words:
        first = key_of(word).partition(".")[0]
        (own if first in known else space if first == "space" else runs).append(word)
    return own, space, runs


def read_request(words: Sequence[str], user_dir: str | None = None) -> Request:
    """Read the command line of a search; what is wrong with the search itself is told at once.

    Raises:
        ConfigError: a setting or a range is wrong.
    """
    own, spaces, runs = split_words(words, "tune")
    cfg, found = attempt(own, "tune")
    if cfg is not None:
        found += find_problems(cfg, "tune")
    space: Space = {}
    try:
        texts = from_words(spaces)
    except ConfigError as error:
        found += error.problems
    else:
        for key, text in texts.items():
            try:
                space[key] = parse(key, text)
            except ConfigError as error:
                found += error.problems
    found += _out_of_place(runs, space)
    if cfg is None or found:
        raise ConfigError(list(dict.fromkeys(found)))
    settings: dict[str, Any] = dict(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]
    settings.pop("space")
    if (settings["metric"] is None) != (settings["mode"] is None):
        raise ConfigError("metric: give mode=max or mode=min with it, which way it gets better")
    return Request(tuple(runs), space, settings, tuple(own), user_dir)


def goes_on(request: Request, stored: Mapping[str, Any]) -> Request:
    """Return the request to go on with a search of which only the folder is given.

    Args:
        request: whose settings are those that differ now.
        stored: what the search was told before: ``words``, ``space``, ``settings``, ``config_dir``.
    """
    given = {key_of(word) for word in request.own}
    own = [word for word in stored["settings"] if key_of(word) not in given]
    ranges = [f"space.{key}={text}" for key, text in stored["space"].items()]
    words = [*own, *request.own, *ranges, *stored["words"]]
    return read_request(words, stored["config_dir"])


def _out_of_place(runs: Sequence[str], space: Space) -> list[str]:
    found = []
    for key in space:
        if any(key == settled or key.startswith(f"{settled}.") for settled in _SETTLED):
            found.append(f"space.{key}: can't be searched; it is the same in all trials")
        elif key.partition(".")[0] == "evaluator":
            found.append(f"space.{key}: changes what is measured, so trials couldn't be compared")
    for word in runs:
        key = key_of(word)
        if key in space and key not in _SETTLED:
            found.append(f"{key}: is given and searched; leave one of them out")
        elif key == "resume":
            found.append("resume: a search goes on when its run_dir is given; leave it out")
    return found


def check_request(request: Request) -> dict[str, Any]:
    """See that trials can be composed all over the space, building nothing.

    Every choice is tried, and of every range both ends and the middle: all keys at once.

    Returns:
        The values of the space that are the configuration's own.

    Raises:
        ConfigError: with a line for each problem.
    """
    words = list(request.words)
    base, found = attempt(words, user_dir=request.user_dir)
    if base is not None:
        found += find_problems(base)
    if found or base is None:
        raise ConfigError(list(dict.fromkeys(found)))
    if not request.space:
        raise ConfigError(
            "space: nothing to search; give ranges such as space.optimizer.lr='log(1e-4, 1e-2)'"
        )
    samples = {key: dimension.samples() for key, dimension in request.space.items()}
    for n in range(max(map(len, samples.values()))):
        job = [f"{key}={each[min(n, len(each) - 1)]}" for key, each in samples.items()]
        found += _problems([*words, *job], request)
    if found:
        raise ConfigError(list(dict.fromkeys(found)))
    return _own_values(request, base)


def _problems(job: list[str], request: Request) -> list[str]:
    """What is wrong with a training run's words; lines about a range's key say so."""
    cfg, found = attempt(job, user_dir=request.user_dir)
    found += find_problems(cfg) if cfg is not None else []
    return [f"space.{line}" if line.partition(":")[0] in request.space else line for line in found]


def _own_values(request: Request, base: DictConfig) -> dict[str, Any]:
    """The values of the space that the configuration has itself."""
    folders = [config_dir(), *([Path(request.user_dir)] if request.user_dir else [])]
    known = groups(folders)
    plain = OmegaConf.to_container(base, resolve=False)
    own: dict[str, Any] = {}
    for key, dimension in request.space.items():
        if isinstance(dimension, Number):
            value = dimension.value_of(_at(base, key))
            own |= {} if value is None else {key: value}
            continue
        for word in dimension.values:
            if key in known or group_of_part(key, known) is not None:
                cfg, _ = attempt([*request.words, f"{key}={word}"], user_dir=request.user_dir)
                same = cfg is not None and OmegaConf.to_container(cfg, resolve=False) == plain
            else:
                same = _says(f"{key}={word}", _at(base, key))
            if same:
                own[key] = word
                break
    return own


def _says(word: str, value: Any) -> bool:
    """Whether a word gives a key the value that it has."""
    try:
        return bool(value_of(word) == value)
    except HydraException:  # where it is tried, composing tells
        return False


def _at(cfg: DictConfig, key: str) -> Any:
    """The value of a dotted key, None where there is none."""
    try:
        return OmegaConf.select(cfg, key)
    except Exception:  # what is missing or leads nowhere has no value
        return None
