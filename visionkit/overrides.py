"""The ``key=value`` words of the command line, before Hydra composes anything with them."""

import re
from collections.abc import Collection, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf

from visionkit.targets import first_line

PATHS = (
    "source",
    "annotations",
    "checkpoint",
    "data.root",
    "run_dir",
    "resume",
    "model.weights",
    "backbone.weights",
    "evaluator.extractor.backbone.weights",
    "evaluator.extractor.checkpoint",
)
"""Keys whose values are paths, which Hydra's grammar would often refuse or take apart."""

_MORE_PATHS = re.compile(r"data\.layout\.sets\.[^.]+\.root$")
_WORD = re.compile(r"\w[\w,]*$")
_SWEEP = re.compile(r"(choice|range|interval|glob|sort|shuffle|tag|extend_list)\(")


def prepare(
    overrides: Sequence[str], groups: Collection[str] = (), multirun: bool = False
) -> list[str]:
    """Make what people write into what Hydra's grammar takes.

    The values of path-like keys are quoted: ``source=img[0-9].jpg``, ``data.root=my dir/a=1`` and,
    outside a multirun, ``checkpoint=runs/a,b/best.ckpt`` then mean those very paths; ``~/`` is the
    home folder. In a multirun a comma separates sweep values, unless a file of that very name
    exists. ``group=null`` becomes ``~group``, and ``parts.NAME.head=unet``, which chooses an option
    of a group for a part, ``head@parts.NAME.head=unet``.
    """
    return [_prepare(override, groups, multirun) for override in overrides]


def _prepare(override: str, groups: Collection[str], multirun: bool) -> str:
    key, _, value = override.partition("=")
    if value == "null" and key in groups:
        return f"~{key}"
    group = group_of_part(key, groups)
    if group is not None and _WORD.match(value):
        return f"{group}@{key}={value}"
    return _quote(override, multirun)


def group_of_part(key: str, groups: Collection[str]) -> str | None:
    """The group whose option ``parts.NAME.GROUP`` is; None for any other key."""
    last = key.rpartition(".")[2]
    return last if key.startswith("parts.") and key.count(".") == 2 and last in groups else None


def _quote(override: str, multirun: bool) -> str:
    key, equals, value = override.partition("=")
    bare = key.lstrip("+")
    if not equals or not (bare in PATHS or _MORE_PATHS.match(bare)):
        return override
    if value in ("", "null", "???") or value[0] in "'\"" or value.startswith("${"):
        return override
    if multirun and _SWEEP.match(value):
        return override
    whole = not multirun or "," not in value or Path(value).expanduser().exists()
    parts = [value] if whole else value.split(",")
    return f"{key}={','.join(quoted(part) for part in parts)}"


def quoted(path: str) -> str:
    """Return a path as a quoted value of Hydra's grammar."""
    if path.startswith("~/"):
        path = str(Path(path).expanduser())
    # A backslash is literal unless it stands before a quote, the closing one included.
    escaped = re.sub(r"(\\*)'", lambda m: m[1] * 2 + r"\'", path)
    return "'" + re.sub(r"(\\+)$", r"\1\1", escaped) + "'"


def key_of(override: str) -> str:
    """Return the key of an override, without its signs and package."""
    return override.partition("=")[0].lstrip("+~").partition("@")[0]


def value_of(override: str) -> Any:
    """Return what ``key=value`` says, as Hydra reads it.

    Raises:
        HydraException: it can't be read.
    """
    return OverridesParser.create().parse_override(_quote(override, False)).value()


def parsed(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split overrides into those that can be parsed and apply to something, and problem lines."""
    parser = OverridesParser.create()
    good, found = [], []
    for text in overrides:
        try:
            override = parser.parse_override(text)
        except HydraException as error:
            hint = "" if "=" in text else "; write key=value"
            found.append(f"{text}: can't be read as an override{hint} ({first_line(error)})")
            continue
        if override.is_sweep_override():
            found.append(f"{text}: several values need --multirun, or quotes if it is one value")
        else:
            good.append(text)
    return good, found


def sweep_jobs(overrides: Sequence[str]) -> list[list[str]]:
    """Return the overrides of each job of a multirun, in the order in which they would run.

    Overrides that can't be parsed, or sweep over something endless, stay as they are.
    """
    parser = OverridesParser.create()
    choices: list[list[str]] = []
    for text in prepare(overrides, multirun=True):
        try:
            override = parser.parse_override(text)
        except HydraException:
            choices.append([text])
            continue
        if override.is_discrete_sweep():
            key = override.get_key_element()
            choices.append([f"{key}={value}" for value in override.sweep_string_iterator()])
        else:
            choices.append([text])
    return [list(job) for job in product(*choices)]


def split_off(group: str, overrides: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Take ``group.key=value`` out of the overrides when no ``group=`` chooses an option.

    They then change what the checkpoint has (its data, say), which isn't known yet.

    Returns:
        The overrides that stay, and the settings taken out as a nested mapping.
    """
    if any(key_of(o) == group for o in overrides):
        return list(overrides), {}
    stay, taken = [], OmegaConf.create({})
    for text in overrides:
        key = key_of(text)
        if not key.startswith(f"{group}."):
            stay.append(text)
            continue
        try:
            value = value_of(text)
        except HydraException:
            stay.append(text)  # composing reports it
            continue
        OmegaConf.update(taken, key.removeprefix(f"{group}."), value)
    return stay, dict(OmegaConf.to_container(taken))  # type: ignore[arg-type]
