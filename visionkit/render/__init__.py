"""Results drawn on their pictures, and pictures put together. NumPy and OpenCV only."""

from visionkit.render.drawing import compare, draw
from visionkit.render.generated import grid
from visionkit.render.panels import contact_sheet, side_by_side

__all__ = ["compare", "contact_sheet", "draw", "grid", "side_by_side"]
