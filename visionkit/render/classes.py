"""The classes of a picture below it."""

from visionkit.colours import Colour
from visionkit.geometry import Image
from visionkit.render.panels import INK, captioned
from visionkit.results import Classification

_RIGHT: Colour = (120, 220, 130)
_WRONG: Colour = (255, 110, 100)


def draw_classes(image: Image, result: Classification, scores: bool, line: int | None) -> Image:
    """See :func:`visionkit.render.draw`."""
    return captioned(image, [(wording(result, scores), INK)])


def compare_classes(image: Image, truth: Classification, result: Classification) -> Image:
    """See :func:`visionkit.render.compare`."""
    return captioned(image, both(truth, result))


def both(truth: Classification, result: Classification, part: str = "") -> list[tuple[str, Colour]]:
    """Return two lines and their colours: the truth, and what was predicted.

    Args:
        truth: of the picture.
        result: what is said of it.
        part: stands before the lines.
    """
    right = set(truth.labels) == set(result.labels)
    said = (f"{part}predicted: {wording(result, True)}", _RIGHT if right else _WRONG)
    return [(f"{part}truth: {wording(truth, False)}", INK), said]


def wording(result: Classification, scores: bool) -> str:
    """Say which classes a picture is said to show."""
    if scores:
        return result.summary()
    shown = [result.classes[i] if i < len(result.classes) else str(i) for i in result.labels]
    return ", ".join(shown) or "nothing"
