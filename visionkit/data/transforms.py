"""Random augmentation. The only file that imports albumentations."""

import os
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from visionkit.argtypes import Amount, Part
from visionkit.data import mosaic
from visionkit.errors import ConfigError
from visionkit.sample import Boxes, ImageMeta, Sample

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network at import otherwise

import albumentations as A


class DetectionAugment:
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
        self.close_mosaic, self.min_visible = close_mosaic, min_visible
        colour = [
            A.HueSaturationValue(
                hue_shift_limit=hue,
                sat_shift_limit=100 * saturation,
                val_shift_limit=0,
                p=0.7 if hue or saturation else 0.0,
            ),
            A.RandomBrightnessContrast(brightness, brightness, p=0.7 if brightness else 0.0),
            A.GaussianBlur(blur_limit=(3, 5), p=blur),
            A.ToGray(p=grey),
        ]
        flips = [A.HorizontalFlip(p=hflip), A.VerticalFlip(p=vflip)]
        turn = A.RandomRotate90(p=rotate90)
        self._oblong = _compose([*colour, *flips])
        self._square = _compose([*colour, *flips, turn])

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
        image, target = self._vary(*drawn, rng)
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

    def _vary(
        self, image: NDArray[np.uint8], target: Boxes, rng: np.random.Generator
    ) -> mosaic.Picture:
        chain = self._square if image.shape[0] == image.shape[1] else self._oblong
        chain.set_random_seed(int(rng.integers(2**31)))
        varied = chain(image=image, bboxes=target.boxes, labels=target.labels)
        boxes = np.asarray(varied["bboxes"], np.float32).reshape(-1, 4)
        labels = np.asarray(varied["labels"], np.int64).reshape(-1)
        image = np.ascontiguousarray(varied["image"])
        target = mosaic.clean(Boxes(boxes, labels), (0, 0, *image.shape[:2]), 0.0, 1.0)
        return image, target


def _compose(transforms: list[A.BasicTransform]) -> A.Compose:
    """Chain what may happen: each link costs time even where it does nothing."""
    boxes = A.BboxParams(format="pascal_voc", label_fields=["labels"])
    # albumentations warns of a chain that has boxes but nothing to move them
    chain = [t for t in transforms if t.p > 0 or isinstance(t, A.HorizontalFlip)]
    return A.Compose(chain, bbox_params=boxes)
