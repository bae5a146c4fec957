"""Results with the names of their classes. No torch."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from visionkit.results import Joint

_NONE: Mapping[str, tuple[str, ...]] = {}


def named(
    result: Any, classes: tuple[str, ...], parts: Mapping[str, tuple[str, ...]] = _NONE
) -> Any:
    """Return a result whose labels have names.

    Args:
        result: one of those in :mod:`visionkit.results`.
        classes: names by label.
        parts: likewise by part, of a joint result.
    """
    if isinstance(result, Joint):
        return Joint({part: named(said, parts[part]) for part, said in result.parts.items()})
    return replace(result, classes=classes)
