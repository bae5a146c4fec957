"""Whether plain YAML values fit a signature's annotations, and the mild conversions that help."""

import collections.abc
import contextlib
import difflib
import enum
import functools
import inspect
import math
import os
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

_NUMBERS = {int: "an integer", float: "a number", bool: "true or false", str: "a text"}
_SEQUENCES = (
    list,
    tuple,
    collections.abc.Sequence,
    collections.abc.Iterable,
    collections.abc.Collection,
    collections.abc.MutableSequence,
)
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


@dataclass(frozen=True)
class Range:
    """Marks a number that lies between ``low`` and ``high``, both included."""

    low: float
    high: float = math.inf

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"at least {self.low}"
        return f"between {self.low} and {self.high}"

    def check(self, value: Any) -> None:
        """Raise a ValueError for a number outside; what is no number passes, NaN doesn't."""
        if isinstance(value, int | float) and not self.low <= value <= self.high:
            shown = int(value) if _whole(value) else value
            raise ValueError(f"must be {self}, got {shown}")


Count = Annotated[int, Range(0)]
"""0, 1, 2 ..."""
Positive = Annotated[int, Range(1)]
"""1, 2, 3 ..."""
Part = Annotated[float, Range(0, 1)]
"""A probability or a fraction."""
Amount = Annotated[float, Range(0)]
"""0 or more."""


class Parameters:
    """The parameters of a class, function or partial.

    Attributes:
        names: those that can be given by name, in order.
        required: those of them without a default.
        open: whether it takes ``**kwargs``, and so any name.
    """

    def __init__(self, target: Callable[..., Any]) -> None:
        try:
            signature = inspect.signature(target)
        except (TypeError, ValueError):  # some of C's
            signature = inspect.Signature(
                [inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)]
            )
        every = signature.parameters.values()
        by_name = [p for p in every if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        self.open = any(p.kind is p.VAR_KEYWORD for p in every)
        self.names = tuple(p.name for p in by_name)
        self.required = {p.name for p in by_name if p.default is p.empty}
        self._defaults = {p.name: p.default for p in by_name if p.default is not p.empty}
        self._hints = _hints(target, by_name)

    def accepts(self, name: str) -> bool:
        """Whether an argument of that name can be given."""
        return self.open or name in self.names

    def fit(self, name: str, value: Any) -> Any:
        """Return ``value`` as the parameter wants it.

        Raises:
            ValueError: it doesn't fit; the message says what would.
        """
        value = fit(value, self._hints.get(name, Any))
        return _like(value, self._defaults.get(name))


def fit(value: Any, annotation: Any) -> Any:
    """Return ``value`` as ``annotation`` wants it: int to float, list to tuple, text to Path.

    Values that are specs (mappings with ``_target_``) and annotations that YAML can't express pass.

    Raises:
        ValueError: it doesn't fit; the message says what would.
    """
    if isinstance(value, Mapping) and "_target_" in value:
        return value
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        value = fit(value, arguments[0])
        for mark in arguments[1:]:
            if isinstance(mark, Range):
                mark.check(value)
        return value
    if origin is typing.Literal:
        return _literal(value, arguments)
    if origin in (typing.Union, types.UnionType):
        return _union(value, arguments)
    if annotation is None or annotation is type(None):
        if value is None:
            return None
        raise ValueError(f"expected null, got {value!r}")
    if annotation in _NUMBERS:
        return _scalar(value, annotation)
    if annotation is Path:
        return Path(_scalar(value, str))
    if (origin or annotation) in _SEQUENCES:
        return _sequence(value, origin or annotation, arguments)
    if (origin or annotation) in _MAPPINGS:
        if not isinstance(value, Mapping):
            raise ValueError(f"expected a mapping, got {value!r}")
        if len(arguments) == 2:
            return {k: fit(v, arguments[1]) for k, v in value.items()}
    return value


def closest(name: str, options: Iterable[str]) -> str | None:
    """Return the option that ``name`` is probably a misspelling of."""
    match = difflib.get_close_matches(name, sorted(set(options)), 1, 0.6)
    return match[0] if match else None


def nearest(name: str, options: Iterable[str], few: int = 30) -> str:
    """Return '; did you mean ...?' with the closest option, or the options if few, or nothing."""
    options = sorted(set(options))
    match = closest(name, options)
    if match:
        return f"; did you mean {match!r}?"
    return f"; there are: {', '.join(options)}" if 0 < len(options) <= few else ""


def describe(annotation: Any) -> str:
    """Say in words what an annotation admits."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        limits = [f" ({mark})" for mark in arguments[1:] if isinstance(mark, Range)]
        return describe(arguments[0]) + "".join(limits)
    if origin is typing.Literal:
        return " or ".join(repr(a) for a in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(describe(a) for a in arguments))
    if annotation in (None, type(None)):
        return "null"
    if annotation in _NUMBERS:
        return _NUMBERS[annotation]
    if annotation is Path:
        return "a path"
    if (origin or annotation) in _SEQUENCES:
        limited = typing.get_origin(next(iter(arguments), None)) is typing.Annotated
        return f"a list, each {describe(arguments[0])}" if limited else "a list"
    if (origin or annotation) in _MAPPINGS:
        return "a mapping"
    return str(getattr(annotation, "__name__", annotation))


def _scalar(value: Any, wanted: type) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if wanted is float and number:
        with contextlib.suppress(OverflowError):
            return float(value)
        raise ValueError(f"expected a number that fits in 64 bits, got {len(str(value))} digits")
    if wanted is int and number and _whole(value):
        return int(value)
    if wanted in (bool, str) and isinstance(value, wanted):
        return value
    raise ValueError(f"expected {_NUMBERS[wanted]}, got {value!r}")


def _whole(value: float) -> bool:
    """Whether a number is an integer; one of any length is."""
    return isinstance(value, int) or value.is_integer()


def _literal(value: Any, choices: Sequence[Any]) -> Any:
    for choice in choices:
        if value == choice and type(value) is type(choice):
            return value
    options = ", ".join(repr(c) for c in choices)
    close = closest(str(value), [str(c) for c in choices])
    hint = f"; did you mean {close!r}?" if close else ""
    raise ValueError(f"{value!r} is not one of {options}{hint}")


def _union(value: Any, members: Sequence[Any]) -> Any:
    """Take the member that fits without conversion, else the first that fits with one."""
    members = _members(members)
    fitted = []
    of_list: ValueError | None = None
    for member in members:
        if not _expressible(member):
            if _could_be(value, member):
                return value
            continue
        try:
            fitted.append(fit(value, member))
        except ValueError as error:
            if _takes_lists(member):
                of_list = error
            continue
        if type(fitted[-1]) is type(value) and fitted[-1] == value:
            return fitted[-1]
    if fitted:
        return fitted[0]
    literals = [m for m in members if typing.get_origin(m) is typing.Literal]
    if literals and not {*members} - {*literals, None, type(None)}:
        return _literal(value, [choice for m in literals for choice in typing.get_args(m)])
    if of_list is not None and isinstance(value, list | tuple):  # it is what is in it
        raise of_list
    wanted = " or ".join(dict.fromkeys(describe(m) for m in members))
    raise ValueError(f"expected {wanted}, got {value!r}")


def _takes_lists(member: Any) -> bool:
    if typing.get_origin(member) is typing.Annotated:
        member = typing.get_args(member)[0]
    return (typing.get_origin(member) or member) in _SEQUENCES


def _members(members: Iterable[Any]) -> list[Any]:
    """Flatten unions in a union."""
    flat: list[Any] = []
    for member in members:
        union = typing.get_origin(member) in (typing.Union, types.UnionType)
        flat += _members(typing.get_args(member)) if union else [member]
    return flat


def _expressible(annotation: Any) -> bool:
    """Whether YAML can write a value of that type."""
    origin = typing.get_origin(annotation)
    if origin in (typing.Literal, typing.Union, types.UnionType, typing.Annotated):
        return True
    plain = (*_NUMBERS, None, type(None), Path, *_SEQUENCES, *_MAPPINGS)
    return (origin or annotation) in plain


def _could_be(value: Any, member: Any) -> bool:
    """Whether a YAML value might be meant for a type that YAML can't write."""
    origin = typing.get_origin(member) or member
    if not isinstance(origin, type) or getattr(origin, "_is_protocol", False):
        return origin is not collections.abc.Callable
    return origin is object or issubclass(origin, enum.Enum | os.PathLike)


def _sequence(value: Any, wanted: type, arguments: tuple[Any, ...]) -> Any:
    if not isinstance(value, list | tuple):
        raise ValueError(f"expected a list, got {value!r}")
    if wanted is tuple and arguments and arguments[-1] is not Ellipsis:
        if len(value) != len(arguments):
            raise ValueError(f"expected {len(arguments)} values, got {len(value)}: {list(value)}")
        return tuple(fit(v, a) for v, a in zip(value, arguments, strict=True))
    inner = arguments[0] if arguments else Any
    items = [fit(item, inner) for item in value]
    return tuple(items) if wanted is tuple else items


def _like(value: Any, default: Any) -> Any:
    """Turn integers into floats where the default shows that floats are meant.

    Only lists: a lone integer beside a float default is told by its annotation, where 1 and 1.0 may
    mean different things (Lightning's ``limit_train_batches``).
    """
    if not isinstance(value, list | tuple) or not isinstance(default, list | tuple) or not default:
        return value
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
    if not numbers or not all(isinstance(d, float) for d in default):
        return value
    return type(default)(float(v) for v in value) if type(default) in (list, tuple) else value


def _hints(target: Callable[..., Any], parameters: Sequence[inspect.Parameter]) -> dict[str, Any]:
    inner = target.func if isinstance(target, functools.partial) else target
    source = inner.__init__ if isinstance(inner, type) else inner  # type: ignore[misc]
    try:
        return typing.get_type_hints(source, include_extras=True)
    except Exception:  # names that exist for type checkers only
        return {
            p.name: p.annotation
            for p in parameters
            if p.annotation is not p.empty and not isinstance(p.annotation, str)
        }
