"""Text on pictures, with OpenCV alone."""

import cv2

from visionkit.colours import Colour
from visionkit.geometry import Image

_FACE = cv2.FontFace("sans") if hasattr(cv2, "FontFace") else None
"""OpenCV 5 has an outline font that knows most scripts; OpenCV 4 only strokes, for ASCII."""
_STROKES = cv2.FONT_HERSHEY_SIMPLEX
_STROKE_PIXELS = 30.0
_WEIGHT = 500


def text_width(text: str, size: int) -> int:
    """Return the pixels that ``text`` takes in a row, in letters of ``size`` pixels."""
    if _FACE is None:
        (width, _), _ = cv2.getTextSize(text, _STROKES, size / _STROKE_PIXELS, 1)
        return int(width)
    left, _, width, _ = cv2.getTextSize((1, 1), text, (0, 0), _FACE, size, _WEIGHT)
    return int(left + width)


def put_text(image: Image, text: str, left: int, baseline: int, size: int, colour: Colour) -> None:
    """Write ``text`` onto ``image`` in place, starting at pixel (left, baseline)."""
    if _FACE is None:
        scale = size / _STROKE_PIXELS
        cv2.putText(image, text, (left, baseline), _STROKES, scale, colour, 1, cv2.LINE_AA)
    else:
        cv2.putText(image, text, (left, baseline), colour, _FACE, size, _WEIGHT)


def shorten(text: str, size: int, width: int) -> str:
    """Cut ``text`` with an ellipsis so that it takes at most ``width`` pixels."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + "...", size) > width:
        text = text[:-1]
    return text + "..." if text else ""
