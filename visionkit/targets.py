"""From a dotted name to the class or function it means, within the packages that may be used."""

import functools
import importlib
import importlib.util
import pkgutil
import re
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from visionkit.argtypes import nearest
from visionkit.errors import ConfigError

PACKAGES = ("visionkit", "torch.optim", "torch.nn", "lightning", "torchvision", "timm")
"""What the command line may build from, besides the packages named in ``allow=``."""


def resolve(
    target: object,
    path: str,
    *,
    allow: Sequence[str] = (),
    packages: Sequence[str] = PACKAGES,
) -> Callable[..., Any]:
    """Import the class or function with the dotted name ``target``.

    What the name reaches must itself live in an allowed package: a module that an allowed one
    happens to import is no way round.

    Raises:
        ConfigError: not a dotted name, not allowed, not importable, no such attribute (with the
            nearest name there is), or not callable.
    """
    where = f"{path}._target_" if path else "_target_"
    if not isinstance(target, str) or not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", target):
        raise ConfigError(f"{where}: {target!r} is no dotted name such as 'package.module.Class'")
    allowed = (*packages, *allow)
    if not _inside(target, allowed):
        raise ConfigError(f"{where}: {_refusal(target, target, packages)}")
    first, *rest = target.split(".")
    found: Any = _import(first, target, where)
    for position, part in enumerate(rest, 1):
        found = _step(found, part, target, where, ".".join(target.split(".")[:position]))
        if isinstance(found, ModuleType) and not _related(found.__name__, allowed):
            raise ConfigError(f"{where}: {_refusal(target, found.__name__, packages)}")
    if not callable(found):
        raise ConfigError(f"{where}: {target} is no class or function; name one")
    home = getattr(found, "__module__", None) or type(found).__module__
    if not _inside(home, allowed):
        raise ConfigError(f"{where}: {_refusal(target, home, packages)}")
    return found  # type: ignore[no-any-return]


def target_name(target: Callable[..., Any]) -> str:
    """Return the bare name of a class, function or partial."""
    inner = target.func if isinstance(target, functools.partial) else target
    return str(getattr(inner, "__name__", type(inner).__name__))


def first_line(error: BaseException) -> str:
    """Return the first line of an error that says something, or its class."""
    lines = (line.strip() for line in str(error).splitlines())
    return next((line for line in lines if line), type(error).__name__)


def _step(found: Any, part: str, target: str, where: str, so_far: str) -> Any:
    try:
        return getattr(found, part)
    except AttributeError:
        pass
    if isinstance(found, ModuleType) and hasattr(found, "__path__"):
        name = f"{found.__name__}.{part}"
        if importlib.util.find_spec(name) is not None:
            return _import(name, target, where)
    names = [n for n in dir(found) if not n.startswith("_")]
    names += [m.name for m in pkgutil.iter_modules(getattr(found, "__path__", None) or [])]
    raise ConfigError(f"{where}: {so_far} has no {part!r}{nearest(part, names, 8)}")


def _import(module: str, target: str, where: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except Exception as error:
        cause = f"{type(error).__name__}: {first_line(error)}"
        raise ConfigError(f"{where}: {target} can't be imported ({cause})") from error


def _inside(name: str, packages: Sequence[str]) -> bool:
    return any(name == p or name.startswith(f"{p}.") for p in packages)


def _related(module: str, packages: Sequence[str]) -> bool:
    """Whether a module is in a package, or on the way to one (torch, for torch.optim)."""
    return _inside(module, packages) or any(p.startswith(f"{module}.") for p in packages)


def _refusal(target: str, home: str, packages: Sequence[str]) -> str:
    what = target if target == home else f"{target} (from {home})"
    if tuple(packages) == PACKAGES:
        package = home.split(".")[0]
        return f"{what} is in no package that may be built from; if you trust it, allow=[{package}]"
    return f"{what} may not be built here; only {', '.join(packages)} may"
