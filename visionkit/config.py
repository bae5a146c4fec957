"""Checking a configuration: :func:`check` reports all that is wrong at once."""

import dataclasses
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from visionkit.argtypes import fit, nearest
from visionkit.build import MISSING, first_line, problems, resolve
from visionkit.compose import compose, config_dir
from visionkit.errors import ConfigError
from visionkit.schema import ADDED, FILES, LIMITS, NO_FILE, Node, Root, Sections, added_to
from visionkit.schema_commands import ROOTS


def check(cfg: DictConfig | Mapping[str, Any], config_name: str = "config") -> None:
    """Raise one error with every problem of ``cfg``; nothing is built.

    Found are: missing values, interpolations that lead nowhere, keys that nothing reads, wrong
    types and ranges, targets that can't be imported, arguments that don't fit their constructors,
    a ``data.root`` or a weight file that isn't there.

    Args:
        cfg: a composed configuration.
        config_name: the primary configuration that it was composed from.

    Raises:
        ConfigError: with one line for each problem.
    """
    found = find_problems(cfg, config_name)
    if found:
        raise ConfigError(found)


def find_problems(cfg: DictConfig | Mapping[str, Any], config_name: str = "config") -> list[str]:
    """Return what :func:`check` would raise, a line for each problem."""
    found: list[str] = []
    plain = _plain(cfg if isinstance(cfg, DictConfig) else OmegaConf.create(dict(cfg)), "", found)
    allow = plain.get("allow")
    allow = [a for a in allow if isinstance(a, str)] if isinstance(allow, list) else []
    found += _section(ROOTS[config_name], plain, "", allow)
    found += _absent_data(plain.get("data"), allow)
    for key in FILES:
        found += _absent_file(plain, key)
    for key, limits in LIMITS.items():
        try:
            limits.check(_at(plain, key))
        except ValueError as error:
            found.append(f"{key}: {error}")
    return list(dict.fromkeys(found))


def _plain(node: Any, path: str, found: list[str]) -> Any:
    """Resolve to plain containers; what is missing or can't be resolved becomes ``???``."""
    keys: Any = node.keys() if isinstance(node, DictConfig) else range(len(node))
    values = []
    for key in keys:
        where = f"{path}.{key}" if path else str(key)
        value: Any = MISSING
        if OmegaConf.is_missing(node, key):
            found.append(f"{where}: missing; give it a value with {where}=...")
        else:
            try:
                value = node[key]
            except OmegaConfBaseException as error:
                found.append(f"{where}: {first_line(error)}")
        nested = isinstance(value, DictConfig | ListConfig)
        values.append(_plain(value, where, found) if nested else value)
    return dict(zip(keys, values, strict=True)) if isinstance(node, DictConfig) else values


def _section(schema: type, values: Any, path: str, allow: list[str]) -> list[str]:
    if values == MISSING:
        return []
    if not isinstance(values, Mapping):
        return [f"{path}: expected a mapping, got {values!r}"]
    dot = f"{path}." if path else ""
    hints = typing.get_type_hints(schema, include_extras=True)
    made = {f.name for f in dataclasses.fields(schema) if callable(f.default_factory)}
    found = [
        f"{dot}{key}: nothing reads this key{nearest(str(key), hints)}"
        for key in values
        if key not in hints
    ]
    for name, hint in hints.items():
        where = f"{dot}{name}"
        mark = next(iter(getattr(hint, "__metadata__", ())), None)
        if isinstance(mark, Node) and mark.instead and values.get(mark.instead):
            found += _instead(mark.instead, name, values)
        elif name in values:
            found += _value(hint, mark, values[name], where, allow)
        elif name not in made and not (isinstance(mark, Sections) or _optional(mark)):
            found.append(f"{where}: missing; give it a value with {where}=...")
    return found


def _optional(mark: Any) -> bool:
    return isinstance(mark, Node) and mark.optional


def _instead(key: str, name: str, values: Mapping[str, Any]) -> list[str]:
    """Refuse a node that is to be given for each of the sections of ``key``."""
    if values.get(name) is None:
        return []
    each = ", ".join(f"{key}.{part}.{name}=..." for part in values[key])
    return [f"{name}: each of {key} has its own; choose one with {each}"]


def _value(hint: Any, mark: Any, value: Any, where: str, allow: list[str]) -> list[str]:
    if isinstance(value, str) and value == MISSING:
        return []
    if isinstance(mark, Node) and not mark.many:
        return _node_problems(value, where, mark.optional, allow)
    if isinstance(mark, Node):
        if value is None:
            return []
        if not isinstance(value, Mapping):
            return [f"{where}: expected nodes by name, got {value!r}"]
        each = (_node_problems(v, f"{where}.{k}", True, allow) for k, v in value.items())
        return [line for lines in each for line in lines]
    if isinstance(mark, Sections):
        if value is None:
            return []
        if not isinstance(value, Mapping):
            return [f"{where}: expected sections by name, got {value!r}"]
        each = (_section(mark.kind, v, f"{where}.{k}", allow) for k, v in value.items())
        return [line for lines in each for line in lines]
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _section(hint, value, where, allow)
    try:
        fit(value, hint)
    except ValueError as error:
        return [f"{where}: {error}"]
    return []


def _node_problems(value: Any, where: str, optional: bool, allow: list[str]) -> list[str]:
    if value is None:
        return [] if optional else [f"{where}: missing; choose one with {where}=..."]
    if not isinstance(value, Mapping) or "_target_" not in value:
        return [f"{where}._target_: missing; it names the class or function to build {where} with"]
    return problems(value, where, added_to(where), allow=allow)


def _absent_data(data: Any, allow: list[str]) -> list[str]:
    """Report a ``data.root`` that isn't there, unless the layout makes its data itself."""
    root = data.get("root") if isinstance(data, Mapping) else None
    if not isinstance(root, str) or root == MISSING or Path(root).expanduser().exists():
        return []
    layout = data.get("layout")
    if isinstance(layout, Mapping) and layout.get("download") is True:
        return []
    if isinstance(layout, Mapping) and layout.get("_target_") not in (None, MISSING):
        try:
            reads = resolve(layout["_target_"], "data.layout", allow=allow)
        except ConfigError:  # reported with the node
            return []
        if getattr(reads, "generates", False):
            return []
    return [f"data.root: there is no {root!r}; give the folder of the data set with data.root=DIR"]


def _absent_file(plain: Mapping[str, Any], key: str) -> list[str]:
    value = _at(plain, key)
    if not isinstance(value, str) or value in (*NO_FILE, MISSING) or Path(value).is_file():
        return []
    if key == "resume" and Path(value).is_dir():  # a run's folder will do
        return []
    return [f"{key}: there is no file {value!r}; check the path"]


def _at(plain: Mapping[str, Any], key: str) -> Any:
    """The value of a dotted key, None where there is none."""
    value: Any = plain
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


__all__ = ["ADDED", "ROOTS", "Root", "check", "compose", "config_dir", "find_problems"]
