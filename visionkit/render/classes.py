"""The classes of a picture below it."""

from visionkit.colours import Colour
from visionkit.geometry import Image
from visionkit.render.panels import INK, captioned
from visionkit.results import Classification

_RIGHT: Colour = (120, 220, 130)
_WRONG: Colour = (255, 110, 100)


def draw_classes(image: Image, result: Classification, scores: bool, line: int | None) -> Image:
    """See :func:`visionkit.render.draw`."""
    return captioned(image, [(_classes(result, scores), INK)])


def compare_classes(image: Image, truth: Classification, result: Classification) -> Image:
    """See :func:`visionkit.render.compare`."""
    right = set(truth.labels) == set(result.labels)
    said = (f"predicted: {_classes(result, True)}", _RIGHT if right else _WRONG)
    return captioned(image, [(f"truth: {_classes(truth, False)}", INK), said])


def _classes(result: Classification, scores: bool) -> str:
    if scores:
        return result.summary()
    shown = [result.classes[i] if i < len(result.classes) else str(i) for i in result.labels]
    return ", ".join(shown) or "nothing"
