"""From plain settings, as ``predict`` has them, to what a network is told."""

import typing
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from visionkit.argtypes import fit
from visionkit.heads.base import PredictOptions
from visionkit.schema import PredictSection

_DEFAULT = PredictOptions()


def options_from(settings: Mapping[str, Any], base: PredictOptions = _DEFAULT) -> PredictOptions:
    """Return ``base`` with what the settings say.

    Args:
        settings: values by the names of :class:`PredictOptions`; None leaves what ``base`` has. A
            ``window`` may be one number, for a square, or ``none``.
        base: what holds otherwise.

    Raises:
        TypeError: there is no such option.
        ValueError: a value is of another type or out of its range.
    """
    hints = typing.get_type_hints(PredictSection, include_extras=True)
    given: dict[str, Any] = {}
    for name, value in settings.items():
        if name not in hints:
            raise TypeError(f"there is no option {name!r}, there are {', '.join(hints)}")
        plain = value.item() if isinstance(value, np.generic) else value
        if plain is None:
            continue
        try:
            given[name] = fit(plain, hints[name])
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    if "scales" in given:
        given["scales"] = tuple(given["scales"])
    if "window" in given:
        given["window"] = _sides(given["window"])
    return replace(base, **given)


def _sides(window: str | int | tuple[int, int]) -> tuple[int, int] | None:
    if isinstance(window, int):
        return window, window
    return None if isinstance(window, str) else window
