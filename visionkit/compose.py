"""Composing configurations with Hydra, and saying all that is wrong with the overrides at once."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from visionkit.argtypes import closest, nearest
from visionkit.errors import ConfigError
from visionkit.overrides import key_of, parsed, prepare, quoted
from visionkit.targets import first_line

SEVERAL = ("callbacks", "logger")
"""Groups whose options are mappings of nodes, each of which may be there or not."""
_UNKNOWN = ": there is no such key or group"
_FAILURES = (HydraException, OmegaConfBaseException, YAMLError, ValueError)


def config_dir() -> Path:
    """Return conf/: inside the installed package, else beside it in the clone.

    Raises:
        ConfigError: neither is there.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "config.yaml").is_file():
            return folder
    raise ConfigError(f"{package / 'conf'}: no configuration there; install visionkit again")


def compose(
    overrides: Sequence[str] = (),
    config_name: str = "config",
    user_dir: str | Path | None = None,
    conf: str | Path | None = None,
) -> DictConfig:
    """Compose a configuration.

    Args:
        overrides: as on the command line, unquoted paths included.
        config_name: the primary configuration.
        user_dir: a folder with more groups and options, beside those of visionkit.
        conf: another folder in the place of visionkit's own.

    Raises:
        ConfigError: with a line for each override that can't be applied.
    """
    cfg, found = attempt(overrides, config_name, user_dir, conf)
    if found or cfg is None:
        raise ConfigError(found)
    return cfg


def attempt(
    overrides: Sequence[str] = (),
    config_name: str = "config",
    user_dir: str | Path | None = None,
    conf: str | Path | None = None,
) -> tuple[DictConfig | None, list[str]]:
    """Compose as well as possible: what is wrong is reported, dropped or mended, and skipped.

    Returns:
        The configuration with what could be applied, None if there is no way to compose at all; and
        a line for each problem.
    """
    folder = Path(conf) if conf else config_dir()
    user = Path(user_dir).resolve() if user_dir else None
    if user and not user.is_dir():
        return None, [f"--config-dir: there is no folder {str(user_dir)!r}"]
    options = groups([folder, *([user] if user else [])])
    good, found = parsed(prepare(overrides, options))
    search = [f"hydra.searchpath=[{quoted(f'file://{user}')}]"] if user else []

    def composed(words: list[str]) -> DictConfig:
        return hydra_compose(config_name, [*search, *words])

    cfg = None
    with initialize_config_dir(version_base="1.3", config_dir=str(folder.resolve())):
        while cfg is None:
            try:
                cfg = without_rests(composed(good), good)
            except _FAILURES as error:
                line, mended = _mend(error, good, options, composed)
                if line not in found:
                    found.append(line)
                if mended is None or mended == good:
                    break
                good = mended
    keys = dotted_keys(cfg) if cfg is not None else []
    return cfg, [
        line + _nearest(line.removesuffix(_UNKNOWN), keys, options)
        if line.endswith(_UNKNOWN)
        else line
        for line in found
    ]


def without_rests(cfg: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Take out what a task's YAML file sets below callbacks or loggers that were taken away.

    Args:
        cfg: as composed.
        overrides: of which ``~callbacks`` takes a group away; what others set stays.
    """
    set_by_hand = {".".join(key_of(o).split(".")[:2]) for o in overrides}
    for group in (g for g in SEVERAL if f"~{g}" in overrides):
        node = cfg.get(group)
        for name in list(node) if isinstance(node, DictConfig) else ():
            child = node[name]
            rest = isinstance(child, DictConfig) and "_target_" not in child
            if rest and f"{group}.{name}" not in set_by_hand:
                with open_dict(node):
                    del node[name]
    return cfg


def groups(folders: Sequence[Path]) -> dict[str, list[str]]:
    """Return the options of each group in the given folders, nested groups as ``a/b``."""
    found: dict[str, set[str]] = {}
    for folder in folders:
        for file in folder.rglob("*.yaml"):
            group = file.parent.relative_to(folder).as_posix()
            if group != ".":
                found.setdefault(group, set()).add(file.stem)
    return {group: sorted(options) for group, options in sorted(found.items())}


def _mend(
    error: Exception,
    overrides: list[str],
    options: Mapping[str, list[str]],
    composed: Callable[[list[str]], DictConfig],
) -> tuple[str, list[str] | None]:
    """Return a line for ``error`` and the overrides to go on with, None if there is no way on."""
    message = " ".join(str(error).split())
    at: int | None
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = error.missing_cfg_file.rpartition("/")
        at = _find(overrides, group)
        if group not in options:
            return first_line(error), None
        close = closest(name, options[group])
        hint = f"; did you mean {close!r}?" if close else ""
        line = f"{group}: there is no {name!r}{hint} (there are: {', '.join(options[group])})"
        if at is None:
            return f"{line}; a YAML file's defaults ask for it", None
        swap = [overrides[at].replace(f"={name}", f"={close}")] if close else []
        return line, [*overrides[:at], *swap, *overrides[at + 1 :]]
    match = re.search(r"You must specify '([^']+)'", message)
    if match:
        listed = ", ".join(options.get(match[1], []))
        return f"{match[1]}: missing; choose one with {match[1]}=... (there are: {listed})", None
    at = _culprit(message, overrides)
    if at is None:
        at = _by_trial(overrides, composed)
    if at is None:
        return message, None
    unknown = "Could not override" in message or "Could not delete" in message
    line = _UNKNOWN if unknown else f": {_words(error, overrides[at])}"
    return f"{_place(overrides[at])}{line}", overrides[:at] + overrides[at + 1 :]


def _place(override: str) -> str:
    """The key that an override is about: of ``group@place=option`` the place."""
    return override.partition("=")[0].partition("@")[2] or key_of(override)


def _words(error: Exception, override: str) -> str:
    """Say what is wrong with what ``override`` asks for; YAML's own words leave the file out."""
    if isinstance(error, UnicodeDecodeError):
        return f"the YAML file of {override} isn't UTF-8 text; save it as UTF-8"
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        where = f"{mark.name}, line {mark.line + 1}"
        return f"{where}: broken YAML ({getattr(error, 'problem', '')}); mend that line"
    line = first_line(error)
    if line.endswith(":"):  # the cause is on the next
        return " ".join(str(error).split())[:200]
    return line


def _nearest(key: str, keys: Sequence[str], options: Iterable[str]) -> str:
    """Say which key or group ``key`` is probably meant to be."""
    parent, _, name = key.rpartition(".")
    if parent in keys:
        siblings = [k.rpartition(".")[2] for k in keys if k.rpartition(".")[0] == parent]
        close = closest(name, siblings)
        if close:
            return f"; did you mean '{parent}.{close}'?"
        return f"; to add an argument that conf/ doesn't name, write +{key}=..."
    same = [k for k in keys if k.rpartition(".")[2] == name]
    return f"; did you mean {same[0]!r}?" if len(same) == 1 else nearest(key, [*keys, *options], 0)


def dotted_keys(cfg: DictConfig) -> list[str]:
    """Return every key of a configuration, as dotted paths; interpolations are left alone."""
    found: list[str] = []

    def walk(node: Any, path: str) -> None:
        for key, value in node.items() if isinstance(node, dict) else ():
            where = f"{path}.{key}" if path else str(key)
            found.append(where)
            walk(value, where)

    walk(OmegaConf.to_container(cfg, resolve=False), "")
    return found


def _find(overrides: Sequence[str], key: str) -> int | None:
    found = [i for i, override in enumerate(overrides) if key_of(override) == key]
    return found[-1] if found else None


def _culprit(message: str, overrides: Sequence[str]) -> int | None:
    """Find the override that an error message of Hydra's quotes."""
    for text in re.findall(r"'([^']+)'", message):
        at = _find(overrides, key_of(text))
        if at is not None:
            return at
    return None


def _by_trial(overrides: list[str], composed: Callable[[list[str]], DictConfig]) -> int | None:
    """Find the override without which the rest composes."""
    for at in range(len(overrides)):
        try:
            composed(overrides[:at] + overrides[at + 1 :])
        except _FAILURES:
            continue
        return at
    return None
