"""Random augmentation of pictures that are turned into one another."""

from typing import Annotated

import cv2
import numpy as np

from visionkit.argtypes import Part, Range
from visionkit.data.augment import Augment
from visionkit.geometry import Image, Letterbox


class PairAugment(Augment):
    """A random window of an enlarged picture, and mirroring (Isola et al. 2017).

    Both pictures of a pair are changed in the same way, those that are no pair each in its own.

    Args:
        enlarge: pictures are scaled so that they fill the canvas so many times, and seen through a
            window of the canvas's size.
        hflip: probability of mirroring left to right.
        vflip: probability of mirroring top to bottom.
    """

    def __init__(
        self,
        enlarge: Annotated[float, Range(1, 4)] = 286 / 256,
        hflip: Part = 0.5,
        vflip: Part = 0.0,
    ) -> None:
        self.enlarge, self.hflip, self.vflip = enlarge, hflip, vflip

    def enlarged(self, canvas: tuple[int, int]) -> tuple[int, int]:
        """Height and width of the canvas that windows are cut from."""
        return round(canvas[0] * self.enlarge), round(canvas[1] * self.enlarge)

    def __call__(
        self,
        image: Image,
        target: Image,
        canvas: tuple[int, int],
        paired: bool,
        rng: np.random.Generator,
    ) -> tuple[Image, Image]:
        """Make one training sample.

        Args:
            image: [H, W, 3] uint8 RGB, the whole picture at any size; not written to.
            target: the other, likewise.
            canvas: height and width.
            paired: whether the two belong together.
            rng: source of all chance.

        Returns:
            Both, [*canvas, 3].
        """
        first = self._draw(canvas, rng)
        second = first if paired else self._draw(canvas, rng)
        return self._seen(image, canvas, *first), self._seen(target, canvas, *second)

    def _draw(
        self, canvas: tuple[int, int], rng: np.random.Generator
    ) -> tuple[int, int, bool, bool]:
        """Top and left of the window, and which way to mirror."""
        height, width = self.enlarged(canvas)
        top = int(rng.integers(height - canvas[0] + 1))
        left = int(rng.integers(width - canvas[1] + 1))
        return top, left, rng.random() < self.hflip, rng.random() < self.vflip

    def _seen(
        self,
        image: Image,
        canvas: tuple[int, int],
        top: int,
        left: int,
        mirrored: bool,
        upside: bool,
    ) -> Image:
        letterbox = Letterbox((image.shape[0], image.shape[1]), self.enlarged(canvas))
        seen = letterbox.apply(image)[top : top + canvas[0], left : left + canvas[1]]
        if mirrored:
            seen = np.asarray(cv2.flip(seen, 1), np.uint8)
        if upside:
            seen = np.asarray(cv2.flip(seen, 0), np.uint8)
        return np.ascontiguousarray(seen)
