"""From a plain spec to an object: ``_target_`` names what to call, every other key is an argument.

A spec can be checked without building anything (:func:`problems`), and every error names the
dotted path of the configuration that it is about.
"""

import functools
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from visionkit.argtypes import Parameters, nearest
from visionkit.errors import ConfigError, VisionkitError
from visionkit.targets import PACKAGES, first_line, resolve, target_name

T = TypeVar("T")

MISSING = "???"
_RESERVED = ("_target_", "_partial_")
_REFUSALS = ("MisconfigurationException",)  # Lightning's, told by name so as not to import it


def build(
    node: Any,
    path: str = "",
    *,
    allow: Sequence[str] = (),
    packages: Sequence[str] = PACKAGES,
    **extra: Any,
) -> Any:
    """Build what ``node`` describes.

    A mapping with ``_target_`` becomes the object that calling the target gives, or a
    ``functools.partial`` of it with ``_partial_: true``. Other mappings and lists are built item by
    item; plain values, ``None`` among them, stay as they are. Integers become floats, and lists
    tuples, where the target's signature wants them.

    Args:
        node: plain containers, or an OmegaConf node, whose interpolations are resolved first.
        path: dotted path of ``node``, for messages.
        allow: more packages that targets may come from.
        packages: the packages that targets may come from; narrower for checkpoints.
        **extra: arguments that the code adds to the outermost call.

    Raises:
        ConfigError: a target isn't allowed or not importable, arguments don't fit, or the
            constructor refused them. All problems of the node's signatures are in it at once.
    """
    node = plain(node, path)
    found = problems(node, path, tuple(extra), allow=allow, packages=packages, missing=True)
    if found:
        raise ConfigError(found)
    return _build(node, path, (*packages, *allow), extra)


def plain(node: Any, path: str = "") -> Any:
    """Return an OmegaConf node as plain containers, resolved; anything else as it is."""
    if node is None or isinstance(node, dict | list | str | int | float):
        return node
    from omegaconf import Container, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if not isinstance(node, Container):
        return node
    try:
        return OmegaConf.to_container(node, resolve=True)
    except OmegaConfBaseException as error:
        where = getattr(error, "full_key", None) or path
        raise ConfigError(f"{where}: {first_line(error)}") from error


def call(factory: Callable[..., Any], path: str, /, *args: Any, **kwargs: Any) -> Any:
    """Call ``factory``, a partial that :func:`build` gave for instance, naming ``path`` in errors.

    Raises:
        ConfigError: the factory raised one (``path`` is put before it if it names none), or refused
            its arguments with a TypeError, a ValueError or a missing package.
    """
    try:
        return factory(*args, **kwargs)
    except ConfigError as error:
        names = Parameters(factory).names
        raise ConfigError([_placed(line, path, names) for line in error.problems]) from error
    except VisionkitError:
        raise
    except Exception as error:
        known = isinstance(error, TypeError | ValueError | ImportError)
        if not known and type(error).__name__ not in _REFUSALS:
            raise
        name = target_name(factory)
        line = f"{name}(...) refused its arguments: {first_line(error)}"
        raise ConfigError(_join(path, line)) from error


def expect(built: T, kind: type, path: str) -> T:
    """Return ``built`` if it is of the kind that ``path`` is about.

    Raises:
        ConfigError: it isn't.
    """
    if not isinstance(built, kind):
        raise ConfigError(
            f"{path}._target_: gives a {type(built).__name__}, which is no "
            f"{kind.__module__.split('.')[0]} {kind.__name__}; choose one that is"
        )
    return built


def bind_problems(
    target: Callable[..., Any],
    kwargs: Mapping[str, Any],
    extra_names: Collection[str] = (),
    path: str = "",
    partial: bool = False,
) -> list[str]:
    """Return a line for each way in which ``kwargs`` don't fit the signature of ``target``.

    Args:
        target: what will be called.
        kwargs: the spec's arguments; those that are specs themselves are only checked by name.
        extra_names: arguments that the code adds, so the spec must not have them.
        path: dotted path of the spec, for messages.
        partial: required arguments may still be missing.
    """
    dot = f"{path}." if path else ""
    name = target_name(target)
    parameters = Parameters(target)
    found = []
    for key, value in kwargs.items():
        if key in extra_names:
            found.append(f"{dot}{key}: is set by visionkit itself; remove it")
        elif not parameters.accepts(key):
            hint = nearest(key, [n for n in parameters.names if n not in extra_names])
            found.append(f"{dot}{key}: {name} has no such argument{hint}")
        elif value != MISSING:
            try:
                parameters.fit(key, value)
            except ValueError as error:
                found.append(f"{dot}{key}: {error}")
    if not partial:
        given = {*kwargs, *extra_names}
        found += [f"{dot}{n}: missing; {name} needs it" for n in parameters.required - given]
    for key in extra_names:
        if not parameters.accepts(key):
            found.append(
                _join(path, f"{name} must take the argument {key!r}, which visionkit adds")
            )
    return sorted(found) if len(found) > 1 else found


def problems(
    node: Any,
    path: str = "",
    extra_names: Collection[str] = (),
    *,
    allow: Sequence[str] = (),
    packages: Sequence[str] = PACKAGES,
    missing: bool = False,
) -> list[str]:
    """Return a line for each problem of a plain spec and of those inside it, building nothing.

    Args:
        node: plain containers.
        path: dotted path of ``node``.
        extra_names: arguments that the code adds to the outermost call.
        allow: as in :func:`build`.
        packages: as in :func:`build`.
        missing: whether values left at ``???`` are reported too.
    """
    found: list[str] = []
    if isinstance(node, Mapping):
        if "_target_" in node:
            found += _spec_problems(node, path, extra_names, allow, packages)
        items = [(str(key), value) for key, value in node.items()]
    elif isinstance(node, list | tuple):
        items = [(str(index), value) for index, value in enumerate(node)]
    else:
        return [f"{path}: missing; give it a value"] if missing and node == MISSING else []
    for key, value in items:
        where = f"{path}.{key}" if path else key
        found += problems(value, where, allow=allow, packages=packages, missing=missing)
    return found


def _spec_problems(
    node: Mapping[str, Any],
    path: str,
    extra_names: Collection[str],
    allow: Sequence[str],
    packages: Sequence[str],
) -> list[str]:
    partial = node.get("_partial_", False)
    if not isinstance(partial, bool):
        return [f"{path}._partial_: expected true or false, got {partial!r}"]
    if node["_target_"] == MISSING:
        return []
    try:
        target = resolve(node["_target_"], path, allow=allow, packages=packages)
    except ConfigError as error:
        return error.problems
    arguments = {key: value for key, value in node.items() if key not in _RESERVED}
    return bind_problems(target, arguments, extra_names, path, partial)


def _build(node: Any, path: str, packages: tuple[str, ...], extra: Mapping[str, Any]) -> Any:
    dot = f"{path}." if path else ""
    if isinstance(node, list | tuple):
        return [_build(item, f"{dot}{i}", packages, {}) for i, item in enumerate(node)]
    if not isinstance(node, Mapping):
        return node
    arguments = {k: v for k, v in node.items() if k not in _RESERVED}
    if "_target_" not in node:
        return {k: _build(v, f"{dot}{k}", packages, {}) for k, v in arguments.items()}
    target = resolve(node["_target_"], path, packages=packages)
    parameters = Parameters(target)
    built = {}
    for key, value in arguments.items():
        value = parameters.fit(key, value)  # may be a tuple now: so stays unless specs are in it
        built[key] = _build(value, f"{dot}{key}", packages, {}) if _has_spec(value) else value
    if node.get("_partial_", False):
        return functools.partial(target, **built, **extra)
    return call(target, path, **built, **extra)


def _has_spec(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "_target_" in value or any(_has_spec(v) for v in value.values())
    return isinstance(value, list | tuple) and any(_has_spec(v) for v in value)


def _join(path: str, line: str) -> str:
    return f"{path}: {line}" if path else line


def _placed(line: str, path: str, names: Collection[str]) -> str:
    """Put ``path`` before a problem, unless it names a path already."""
    lead = re.match(r"([A-Za-z_][\w.]*): ", line)
    if not path or (lead and ("." in lead[1] or lead[1] == path)):
        return line
    return f"{path}.{line}" if lead and lead[1] in names else f"{path}: {line}"


__all__ = [
    "MISSING",
    "PACKAGES",
    "bind_problems",
    "build",
    "call",
    "expect",
    "first_line",
    "plain",
    "problems",
    "resolve",
    "target_name",
]
