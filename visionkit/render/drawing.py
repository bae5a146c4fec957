"""Any result on its picture."""

from collections.abc import Callable
from typing import Any

from visionkit.geometry import Image
from visionkit.render.boxes import draw_boxes
from visionkit.render.classes import compare_classes, draw_classes
from visionkit.render.generated import compare_generated, draw_generated
from visionkit.render.joint import compare_joint, draw_joint
from visionkit.render.masks import compare_masks, draw_mask
from visionkit.render.panels import side_by_side
from visionkit.results import (
    Classification,
    Detections,
    Generated,
    Joint,
    Result,
    SemanticMask,
)


def draw(image: Image, result: Result, *, scores: bool = True, line: int | None = None) -> Image:
    """Draw a result on its picture.

    Boxes have a tag each; classes stand below the picture; masks lie over the picture, made grey,
    in the colours of their classes, with a legend below. What was made from the picture stands
    beside it; what was made from noise stands alone. Of several parts the mask lies below, the
    boxes above, and the classes stand under both.

    Args:
        image: [H, W, 3] uint8 RGB; it isn't changed.
        result: of that picture, in its pixels.
        scores: write scores (truth has none to tell), and of masks the part of the picture.
        line: width of the lines in pixels; from the size of the picture unless given.

    Returns:
        [H, W, 3] uint8 RGB; with words below it is higher, and a small picture is enlarged by a
        whole factor, so that they can be read.
    """
    return _DRAWN[type(result)](image, result, scores, line)


def compare(image: Image, truth: Result, result: Result) -> Image:
    """Show the truth of a picture and what was predicted.

    Boxes and masks are drawn on two copies side by side; classes stand below the picture, a wrong
    one in red. What was made from a picture stands between it and what it was to become. Several
    parts are drawn together.
    """
    return _COMPARED.get(type(result), _pair)(image, truth, result)


def _pair(image: Image, truth: Result, result: Result) -> Image:
    drawn = [draw(image, truth, scores=False), draw(image, result)]
    return side_by_side(drawn, ["truth", "prediction"])


_DRAWN: dict[type, Callable[[Image, Any, bool, int | None], Image]] = {
    Classification: draw_classes,
    Detections: draw_boxes,
    SemanticMask: draw_mask,
    Generated: draw_generated,
    Joint: draw_joint,
}
_COMPARED: dict[type, Callable[[Image, Any, Any], Image]] = {
    Classification: compare_classes,
    SemanticMask: compare_masks,
    Generated: compare_generated,
    Joint: compare_joint,
}
