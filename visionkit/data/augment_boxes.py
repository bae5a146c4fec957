"""Random augmentation of pictures with boxes."""

from collections.abc import Callable

import numpy as np

from visionkit.argtypes import Amount, Part
from visionkit.data import mosaic
from visionkit.data.augment import Augment
from visionkit.data.transforms import BoxChain
from visionkit.errors import ConfigError
from visionkit.sample import ImageMeta, Sample


class DetectionAugment(Augment):
    """Random placement or mosaic, mixup, flips, turns and colour.

    Args:
        mosaic: probability of a four-picture mosaic.
        mixup: probability of blending with a second picture.
        scale: least and greatest factor on a picture that fills the canvas.
        mosaic_scale: the same for the pictures of a mosaic.
        hflip: probability of mirroring left to right.
        vflip: probability of mirroring top to bottom.
        rotate90: probability of turning by a random quarter (on square canvases only).
        hue: largest shift of the hue, in degrees of 180.
        saturation: largest shift of the saturation, in parts of 1.
        brightness: largest relative change of brightness and contrast.
        blur: probability of a slight blur.
        grey: probability of taking the colour away.
        close_mosaic: the last part of the schedule (0..1) that sees whole pictures, neither
            mosaic nor mixup, so that training ends on what evaluation shows.
        min_visible: a box is kept if at least this part of its area is still in the picture.
    """

    def __init__(
        self,
        mosaic: Part = 0.5,
        mixup: Part = 0.0,
        scale: tuple[float, float] = (0.6, 1.4),
        mosaic_scale: tuple[float, float] = (0.5, 1.2),
        hflip: Part = 0.5,
        vflip: Part = 0.0,
        rotate90: Part = 0.0,
        hue: Amount = 6.0,
        saturation: Amount = 0.4,
        brightness: Amount = 0.25,
        blur: Part = 0.02,
        grey: Part = 0.02,
        close_mosaic: Part = 0.25,
        min_visible: Part = 0.2,
    ) -> None:
        for name, (low, high) in {"scale": scale, "mosaic_scale": mosaic_scale}.items():
            if not 0 < low <= high:
                raise ConfigError(f"augment.{name}: [{low}, {high}] must be 0 < least <= greatest")
        self.mosaic, self.mixup = mosaic, mixup
        self.scale, self.mosaic_scale = scale, mosaic_scale
        self.close, self.min_visible = close_mosaic, min_visible
        self._chain = BoxChain(hue, saturation, brightness, blur, grey, hflip, vflip, rotate90)

    def __call__(
        self,
        index: int,
        pictures: Callable[[int], tuple[mosaic.Picture, ImageMeta]],
        count: int,
        canvas: tuple[int, int],
        whole: bool,
        rng: np.random.Generator,
    ) -> Sample:
        """Make one training sample.

        Args:
            index: the picture it is about.
            pictures: gives a picture that fills the canvas, without the pad.
            count: number of pictures there are.
            canvas: height and width.
            whole: neither mosaic nor mixup.
            rng: source of all chance.
        """
        picture, meta = pictures(index)
        drawn = self._arrange(picture, pictures, count, canvas, whole, rng)
        if not whole and rng.random() < self.mixup:
            other, _ = pictures(int(rng.integers(count)))
            second = self._arrange(other, pictures, count, canvas, whole, rng)
            drawn = mosaic.mixup(drawn, second, float(rng.beta(8, 8)))
        image, boxes = self._chain(*drawn, seed=int(rng.integers(2**31)))
        target = mosaic.clean(boxes, (0, 0, *image.shape[:2]), 0.0, 1.0)
        return Sample(image, target, meta)

    def _arrange(
        self,
        picture: mosaic.Picture,
        pictures: Callable[[int], tuple[mosaic.Picture, ImageMeta]],
        count: int,
        canvas: tuple[int, int],
        whole: bool,
        rng: np.random.Generator,
    ) -> mosaic.Picture:
        if not whole and rng.random() < self.mosaic:
            others = [pictures(int(i))[0] for i in rng.integers(count, size=3)]
            four = [picture, *others]
            order = rng.permutation(4)
            return mosaic.mosaic(
                [four[i] for i in order],
                canvas,
                lambda: float(rng.uniform(*self.mosaic_scale)),
                rng,
                self.min_visible,
            )
        scale = float(rng.uniform(*self.scale))
        fixed = tuple(self.scale) == (1.0, 1.0)
        return mosaic.scaled(picture, canvas, scale, rng, self.min_visible, centred=fixed)
