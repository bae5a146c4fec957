"""Colours for classes: the same for a class in every picture and plot."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
VOID_COLOUR: Colour = (112, 112, 116)
"""Of what has no class."""
_GOLDEN_ANGLE = 137.50776
_LIGHTNESS = (0.72, 0.60, 0.82)


@cache
def class_colour(label: int) -> Colour:
    """Return the RGB colour (0..255) of a class.

    Hues step by the golden angle in the OKLab space (Ottosson 2020), where equal steps look about
    equal: however many classes there are, neighbours differ, and no colour depends on their number.
    After every seventh class the lightness changes, so that hues that come close still differ.
    """
    lightness = _LIGHTNESS[label // 7 % len(_LIGHTNESS)]
    hue = np.deg2rad(28 + _GOLDEN_ANGLE * label)
    for chroma in np.arange(0.19, 0, -0.01):
        rgb = _oklab_to_rgb(lightness, chroma * np.cos(hue), chroma * np.sin(hue))
        if rgb.min() >= 0 and rgb.max() <= 1:
            break
    red, green, blue = (int(x) for x in np.round(rgb.clip(0, 1) * 255))
    return red, green, blue


@cache
def palette() -> NDArray[np.uint8]:
    """Return the colours of labels, [256, 3]: those of the classes, the last of what has none."""
    colours = np.array([*map(class_colour, range(255)), VOID_COLOUR], np.uint8)
    colours.flags.writeable = False
    return colours


def ink_on(colour: Colour) -> Colour:
    """Return near-black or white, whichever reads better on ``colour`` (by WCAG contrast)."""
    linear = [(c / 255) ** 2.2 for c in colour]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return (255, 255, 255) if luminance < 0.22 else (16, 16, 16)


def _oklab_to_rgb(
    lightness: float, a: float, b: float
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    cones = np.array(
        [
            lightness + 0.3963377774 * a + 0.2158037573 * b,
            lightness - 0.1055613458 * a - 0.0638541728 * b,
            lightness - 0.0894841775 * a - 1.2914855480 * b,
        ]
    )
    linear = (
        np.array(
            [
                [4.0767416621, -3.3077115913, 0.2309699292],
                [-1.2684380046, 2.6097574011, -0.3413193965],
                [-0.0041960863, -0.7034186147, 1.7076147010],
            ]
        )
        @ cones**3
    )
    gamma = 1.055 * np.clip(linear, 0.0031308, None) ** (1 / 2.4) - 0.055
    return np.asarray(np.where(linear <= 0.0031308, 12.92 * linear, gamma), np.float64)
