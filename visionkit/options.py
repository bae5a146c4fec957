"""How results are made, and how plain settings, as ``predict`` has them, say it. No torch."""

import typing
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from visionkit.argtypes import fit
from visionkit.schema import PredictSection


@dataclass(frozen=True)
class PredictOptions:
    """How results are made from what the network says; a head reads what concerns it.

    Attributes:
        confidence: the least score of a box, or of a class that doesn't exclude others, 0..1.
        iou: two boxes of one class that overlap by more than this are one object, 0..1.
        max_detections: at most so many boxes for each picture.
        flip: average what is said of a picture and of its mirror image.
        scales: average what is said of the picture at these sizes, in parts of the canvas.
        window: height and width of windows that slide over a larger canvas; None to see it whole.
        overlap: the part of a window that the next one sees again, 0..0.9.
        truncation: of what is made from noise, see :class:`visionkit.generators.base.Generator`.
        reverse: turn pictures of the second kind into the first, where both ways were learned.
    """

    confidence: float = 0.001
    iou: float = 0.7
    max_detections: int = 300
    flip: bool = False
    scales: tuple[float, ...] = (1.0,)
    window: tuple[int, int] | None = None
    overlap: float = 0.5
    truncation: float = 1.0
    reverse: bool = False


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


def of_part(says: str, options: PredictOptions) -> PredictOptions:
    """Return what the options of a joint network mean for one of its parts.

    ``confidence`` is that of boxes, and of classes that don't exclude each other: masks have the
    most probable class of every pixel.

    Args:
        says: what the part answers with, see :class:`visionkit.runtimes.base.Runtime`.
        options: of the whole.
    """
    return replace(options, confidence=0.0) if says == "masks" else options


def _sides(window: str | int | tuple[int, int]) -> tuple[int, int] | None:
    if isinstance(window, int):
        return window, window
    return None if isinstance(window, str) else window
