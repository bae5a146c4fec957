"""Shapes on noisy gradients: what the generated sets are drawn with.

Changing any figure or the order of the random draws changes these sets, whose scores are compared:
raise their versions then.
"""

import numpy as np
from numpy.typing import NDArray

CLASSES = ("circle", "square", "triangle", "star", "cross", "ring")
NOISE = 18.0
SMALLEST = 20.0
"""Pixels that an object is across at least."""

_LINES = 5
_CONTRAST = (40.0, 160.0)
_GRADIENT = 25.0
_RING_HOLE = 0.55

Floats = NDArray[np.float32]
Grid = tuple[Floats, Floats]


def background(
    rng: np.random.Generator, height: int, width: int, lines: int | None = None
) -> tuple[Floats, NDArray[np.float64], Grid]:
    """Draw a gradient with distractor lines.

    Args:
        rng: decides everything else.
        height: in pixels.
        width: in pixels.
        lines: at most so many; None for five.

    Returns:
        The canvas [H, W, 3], its base colour [3], and the x and y of each pixel's centre.
    """
    y, x = np.mgrid[:height, :width].astype(np.float32) + np.float32(0.5)
    base = rng.uniform(40, 215, 3)
    angle = rng.uniform(0, 2 * np.pi)
    along = (np.cos(angle) * (x / width - 0.5) + np.sin(angle) * (y / height - 0.5)).astype("f4")
    slope = rng.uniform(-_GRADIENT, _GRADIENT, 3) * 2
    canvas = (base + along[:, :, None] * slope).astype(np.float32)
    for _ in range(rng.integers(0, (_LINES if lines is None else lines) + 1)):
        ends = rng.uniform(0, 1, (2, 2)) * (width, height)
        distance = _to_segment(x, y, ends[0], ends[1]) - rng.uniform(0.5, 2.0)
        paint(canvas, distance, colour(rng, base))
    return canvas, base, (x, y)


def one_shape(
    rng: np.random.Generator,
    name: str,
    size: tuple[int, int],
    across: tuple[float, float],
    lines: int | None = None,
    sigma: float | None = None,
    turns: tuple[float, float] = (0.0, 2 * np.pi),
) -> NDArray[np.uint8]:
    """Draw a picture of one shape, anywhere, whole.

    Args:
        rng: decides everything else.
        name: of the shape.
        size: height and width in pixels.
        across: least and greatest side of the shape's box, in pixels.
        lines: see :func:`background`.
        sigma: see :func:`with_noise`.
        turns: least and greatest angle that it is turned by, in radians; by default any way round.

    Returns:
        [H, W, 3] uint8 RGB.
    """
    canvas, base, (x, y) = background(rng, *size, lines)
    corners = outline(name, rng.uniform(*turns))
    corners -= corners.min(0)
    corners /= corners.max()
    side = rng.uniform(*across)
    corner = rng.uniform(0, 1, 2) * (np.array(size[::-1]) - corners.max(0) * side)
    away = distance(name, corners * side + corner, x, y)
    paint(canvas, away, colour(rng, base))
    return with_noise(canvas, rng, sigma)


def with_noise(
    canvas: Floats, rng: np.random.Generator, sigma: float | None = None
) -> NDArray[np.uint8]:
    """Add noise (of sigma 18 unless given) and round to bytes."""
    sigma = NOISE if sigma is None else sigma
    canvas += rng.standard_normal(canvas.shape, np.float32) * np.float32(sigma)
    return np.asarray(np.clip(np.rint(canvas), 0, 255), np.uint8)


def colour(rng: np.random.Generator, base: NDArray[np.float64]) -> Floats:
    """A colour whose channels are all 40 to 160 levels away from ``base``, and within 0..255."""
    up = rng.random(3) < 0.5
    room = np.where(up, 255 - base, base)
    up ^= room < _CONTRAST[0]
    room = np.minimum(np.where(up, 255 - base, base), _CONTRAST[1])
    away = rng.uniform(_CONTRAST[0], room)
    return np.where(up, base + away, base - away).astype(np.float32)


def outline(name: str, angle: float) -> NDArray[np.float64]:
    """Corners [n, 2] of a shape of any size, turned by ``angle``; for round ones, its box's."""
    if name in ("circle", "ring"):
        return np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    if name == "cross":
        arm = 0.34
        quarter = np.array([[1, -arm], [1, arm], [arm, arm]])
        return np.concatenate([quarter @ _rotation(angle + k * np.pi / 2) for k in range(4)])
    points, inner = {"square": (4, 1.0), "triangle": (3, 1.0), "star": (5, 0.45)}[name]
    steps = 2 * points if inner < 1 else points
    theta = np.arange(steps) * (2 * np.pi / steps) + angle
    radius = np.where(np.arange(steps) % 2, inner, 1.0)
    return np.stack([radius * np.cos(theta), radius * np.sin(theta)], 1)


def _rotation(angle: float) -> NDArray[np.float64]:
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def distance(name: str, corners: NDArray[np.float64], x: Floats, y: Floats) -> Floats:
    """The signed distance of each pixel's centre from the shape's edge, negative inside."""
    if name in ("circle", "ring"):
        (cx, cy), radius = corners.mean(0), np.ptp(corners[:, 0]) / 2
        from_centre = np.hypot(x - np.float32(cx), y - np.float32(cy))
        if name == "circle":
            return np.asarray(from_centre - np.float32(radius), np.float32)
        middle, half = radius * (1 + _RING_HOLE) / 2, radius * (1 - _RING_HOLE) / 2
        return np.asarray(np.abs(from_centre - np.float32(middle)) - np.float32(half), np.float32)
    nearest = np.full(x.shape, np.inf, np.float32)
    inside = np.zeros(x.shape, bool)
    for a, b in zip(corners, np.roll(corners, -1, 0), strict=True):
        np.minimum(nearest, _to_segment(x, y, a, b), out=nearest)
        crosses = (y < a[1]) != (y < b[1])
        if a[1] != b[1]:
            inside ^= crosses & (x < a[0] + (y - a[1]) * ((b[0] - a[0]) / (b[1] - a[1])))
    return np.where(inside, -nearest, nearest)


def _to_segment(x: Floats, y: Floats, a: NDArray[np.float64], b: NDArray[np.float64]) -> Floats:
    """The distance of each pixel's centre from the segment between ``a`` and ``b``."""
    dx, dy = (np.float32(v) for v in b - a)
    px, py = x - np.float32(a[0]), y - np.float32(a[1])
    t = np.clip((px * dx + py * dy) / max(dx * dx + dy * dy, np.float32(1e-6)), 0, 1)
    return np.asarray(np.hypot(px - t * dx, py - t * dy), np.float32)


def paint(canvas: Floats, away: Floats, fill: Floats) -> None:
    """Lay a colour on the canvas where ``away`` is negative, with an edge of one pixel."""
    cover = np.clip(0.5 - away, 0, 1)[:, :, None]
    canvas += cover * (fill - canvas)
