"""Random augmentation of pictures with masks."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray

from visionkit.argtypes import Amount, Part, Range
from visionkit.data.augment import Augment
from visionkit.data.transforms import MaskChain
from visionkit.errors import ConfigError
from visionkit.geometry import PAD_COLOUR, Image, Letterbox, blank, resize_labels
from visionkit.results import VOID

Labels = NDArray[np.uint8]

_TRIES = 10


@dataclass(frozen=True)
class _View:
    """Which part of the picture is seen, and where: each of them for rows and columns.

    Attributes:
        taken: how many of the picture's own pixels.
        room: the largest first one.
        shown: how many pixels of the window they fill.
        rest: the pixels of the window that they leave.
    """

    taken: tuple[int, int]
    room: tuple[int, int]
    shown: tuple[int, int]
    rest: tuple[int, int]


class SegmentationAugment(Augment):
    """Random scale, window, mirroring, turns and colour.

    A picture is scaled so that it fills the canvas, then by a random factor, and seen through a
    window at a random place. Where it is smaller than the window, the rest is the mean colour and
    void. Labels are moved by the same map as the pixels and never mixed.

    Args:
        scale: least and greatest factor.
        window: height and width of what training sees; None for the canvas. Evaluation always sees
            the canvas.
        max_share: up to ten windows are tried until no class has more than this part of the
            labelled pixels, and the most even one is taken; 1 for the first.
        hflip: probability of mirroring left to right.
        vflip: probability of mirroring top to bottom.
        rotate: largest turn either way, in degrees, around the window's centre.
        hue: largest shift of the hue, in degrees of 180.
        saturation: largest shift of the saturation, in parts of 1.
        brightness: largest relative change of brightness and contrast.
        blur: probability of a slight blur.
        grey: probability of taking the colour away.
        close: the last part of the schedule (0..1) that sees pictures as evaluation does, at scale
            1 and in their own colours, if mirrored.

    Attributes:
        enlarges: whether pictures may come larger than they fill the canvas.
    """

    def __init__(
        self,
        scale: tuple[float, float] = (0.75, 1.5),
        window: tuple[int, int] | None = None,
        max_share: Part = 0.75,
        hflip: Part = 0.5,
        vflip: Part = 0.0,
        rotate: Annotated[float, Range(0, 180)] = 0.0,
        hue: Amount = 6.0,
        saturation: Amount = 0.4,
        brightness: Amount = 0.25,
        blur: Part = 0.02,
        grey: Part = 0.02,
        close: Part = 0.0,
    ) -> None:
        if not 0 < scale[0] <= scale[1]:
            raise ConfigError(
                f"augment.scale: [{scale[0]}, {scale[1]}] must be 0 < least <= greatest"
            )
        if window is not None and min(window) < 8:
            raise ConfigError(
                f"augment.window: [{window[0]}, {window[1]}] must be two whole numbers from 8"
            )
        self.scale, self.window, self.max_share = (scale[0], scale[1]), window, max_share
        self.hflip, self.vflip, self.rotate = hflip, vflip, rotate
        self.close = close
        self.enlarges = scale[1] > 1
        self._chain = MaskChain(hue, saturation, brightness, blur, grey)

    def __call__(
        self,
        image: Image,
        labels: Labels,
        canvas: tuple[int, int],
        whole: bool,
        rng: np.random.Generator,
    ) -> tuple[Image, Labels]:
        """Make one training sample.

        Args:
            image: [H, W, 3] uint8 RGB, the whole picture at any size; not written to.
            labels: [H, W] uint8.
            canvas: height and width that evaluation sees.
            whole: neither scale nor turn nor colour.
            rng: source of all chance.

        Returns:
            The sample's [h, w, 3] and [h, w], of the window's height and width.
        """
        window = self.window or canvas
        factor = 1.0 if whole else float(rng.uniform(*self.scale))
        view = _view((image.shape[0], image.shape[1]), canvas, factor, window)
        rows, columns = self._choose(view, labels, rng)
        image = _resize(image[rows, columns], view.shown)
        labels = resize_labels(labels[rows, columns], view.shown)
        if rng.random() < self.hflip:
            image, labels = _mirrored(image, 1), _mirrored(labels, 1)
        if rng.random() < self.vflip:
            image, labels = _mirrored(image, 0), _mirrored(labels, 0)
        if not whole:
            image = self._chain(image, int(rng.integers(2**31)))
        top, left = (rest // 2 if whole else int(rng.integers(rest + 1)) for rest in view.rest)
        place = np.s_[top : top + view.shown[0], left : left + view.shown[1]]
        framed, framed_labels = blank(window), np.full(window, VOID, np.uint8)
        framed[place], framed_labels[place] = image, labels
        if self.rotate and not whole:
            return _turned(framed, framed_labels, float(rng.uniform(-self.rotate, self.rotate)))
        return framed, framed_labels

    def _choose(self, view: _View, labels: Labels, rng: np.random.Generator) -> tuple[slice, slice]:
        """Rows and columns of the picture that are seen."""
        places = self._places(view, rng)
        best = next(places)
        if self.max_share == 1 or view.room == (0, 0):
            return best
        least = _share(labels[best])
        for place in places:
            if least <= self.max_share:
                break
            share = _share(labels[place])
            if share < least:
                best, least = place, share
        return best

    def _places(self, view: _View, rng: np.random.Generator) -> Iterator[tuple[slice, slice]]:
        for _ in range(_TRIES):
            top, left = (int(rng.integers(room + 1)) for room in view.room)
            yield slice(top, top + view.taken[0]), slice(left, left + view.taken[1])


def _view(
    size: tuple[int, int], canvas: tuple[int, int], factor: float, window: tuple[int, int]
) -> _View:
    """See a picture of ``size`` that fills the canvas ``factor`` times."""
    taken, shown = [], []
    for side, filled, seen in zip(size, Letterbox(size, canvas).resized, window, strict=True):
        full = max(1, round(filled * factor))
        fits = full <= seen
        taken.append(side if fits else min(side, max(1, round(side * seen / full))))
        shown.append(full if fits else seen)
    return _View(
        taken=(taken[0], taken[1]),
        room=(size[0] - taken[0], size[1] - taken[1]),
        shown=(shown[0], shown[1]),
        rest=(window[0] - shown[0], window[1] - shown[1]),
    )


def _resize(image: Image, size: tuple[int, int]) -> Image:
    """Scale a picture as :meth:`visionkit.geometry.Letterbox.resize` does; always a copy."""
    how = cv2.INTER_AREA if size[0] < image.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size[::-1], interpolation=how), np.uint8)


def _mirrored(pixels: NDArray[np.uint8], axis: int) -> NDArray[np.uint8]:
    """Exchange left and right (1) or top and bottom (0)."""
    return np.asarray(cv2.flip(pixels, axis), np.uint8)


def _share(labels: Labels) -> float:
    """The greatest part of the labelled pixels that one class has; 1 where nothing is labelled."""
    counts = cv2.calcHist([labels], [0], None, [VOID + 1], [0, VOID + 1])[:VOID]
    return float(counts.max() / counts.sum()) if counts.any() else 1.0


def _turned(image: Image, labels: Labels, degrees: float) -> tuple[Image, Labels]:
    """Turn both around the centre; what comes in from outside is pad and void."""
    height, width = labels.shape
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    size = (width, height)
    turned = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderValue=PAD_COLOUR)
    nearest = cv2.warpAffine(labels, matrix, size, flags=cv2.INTER_NEAREST, borderValue=(VOID,))
    return np.asarray(turned, np.uint8), np.asarray(nearest, np.uint8)
