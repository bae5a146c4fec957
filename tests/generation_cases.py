"""Pictures of discs and bars, and an index over them."""

import cv2
import numpy as np
from numpy.typing import NDArray

from visionkit.data.class_index import ClassIndex
from visionkit.results import Generated

Pictures = NDArray[np.uint8]


def scenes(count: int, seed: int, side: int = 24) -> Pictures:
    """Pictures [N, S, S, 3] of one disc or bar of any colour on a gradient."""
    rng = np.random.default_rng(seed)
    images = np.zeros((count, side, side, 3), np.uint8)
    for image in images:
        ends = rng.integers(0, 256, (2, 3))
        image[:] = np.linspace(ends[0], ends[1], side)[:, None]
        colour = rng.integers(0, 256, 3).tolist()
        x, y, reach = (int(v) for v in rng.integers(side // 4, side // 2, 3))
        if rng.random() < 0.5:
            cv2.circle(image, (x, y), reach // 2, colour, -1)
        else:
            cv2.rectangle(image, (x, y), (x + reach, y + 2), colour, -1)
    return images


def noisy(images: Pictures, sigma: float) -> Pictures:
    drawn = np.random.default_rng(9).normal(0, sigma, images.shape)
    return (images + drawn).clip(0, 255).round().astype(np.uint8)


def blurred(images: Pictures, sigma: float) -> Pictures:
    return np.stack([cv2.GaussianBlur(image, (0, 0), sigma) for image in images])


def index_of(images: Pictures) -> ClassIndex:
    """Two classes by turns; ids that aren't positions."""
    ids = np.random.default_rng(1).permutation(10 * len(images))[: len(images)]
    labels = np.arange(len(images)) % 2
    return ClassIndex(("even", "odd"), ids.astype(np.int64), labels, pixels=images)


def made(images: Pictures) -> list[Generated]:
    return [Generated(image) for image in images]
