"""Chains of random transforms of single pictures. The only file that imports albumentations."""

import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network at import otherwise

import albumentations as A
import numpy as np
from numpy.typing import NDArray

from visionkit.sample import Boxes


class BoxChain:
    """Colour, flips and turns of a picture with boxes.

    Args:
        hue: largest shift of the hue, in degrees of 180.
        saturation: largest shift of the saturation, in parts of 1.
        brightness: largest relative change of brightness and contrast.
        blur: probability of a slight blur.
        grey: probability of taking the colour away.
        hflip: probability of mirroring left to right.
        vflip: probability of mirroring top to bottom.
        rotate90: probability of turning by a random quarter, on square pictures only.
    """

    def __init__(
        self,
        hue: float,
        saturation: float,
        brightness: float,
        blur: float,
        grey: float,
        hflip: float,
        vflip: float,
        rotate90: float,
    ) -> None:
        chain = [
            *_colours(hue, saturation, brightness, blur, grey),
            A.HorizontalFlip(p=hflip),
            A.VerticalFlip(p=vflip),
        ]
        self._oblong = _compose(chain)
        self._square = _compose([*chain, A.RandomRotate90(p=rotate90)])

    def __call__(
        self, image: NDArray[np.uint8], target: Boxes, seed: int
    ) -> tuple[NDArray[np.uint8], Boxes]:
        """Change a picture [H, W, 3] and its boxes."""
        chain = self._square if image.shape[0] == image.shape[1] else self._oblong
        chain.set_random_seed(seed)
        varied = chain(image=image, bboxes=target.boxes, labels=target.labels)
        boxes = np.asarray(varied["bboxes"], np.float32).reshape(-1, 4)
        labels = np.asarray(varied["labels"], np.int64).reshape(-1)
        return np.ascontiguousarray(varied["image"]), Boxes(boxes, labels)


def _colours(
    hue: float, saturation: float, brightness: float, blur: float, grey: float
) -> list[A.BasicTransform]:
    return [
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


def _compose(transforms: list[A.BasicTransform]) -> A.Compose:
    """Chain what may happen: each link costs time even where it does nothing."""
    boxes = A.BboxParams(format="pascal_voc", label_fields=["labels"])
    # albumentations warns of a chain that has boxes but nothing to move them
    chain = [t for t in transforms if t.p > 0 or isinstance(t, A.HorizontalFlip)]
    return A.Compose(chain, bbox_params=boxes)


class MaskChain:
    """Colour of a picture with a mask, which stays as it is.

    Args:
        hue: largest shift of the hue, in degrees of 180.
        saturation: largest shift of the saturation, in parts of 1.
        brightness: largest relative change of brightness and contrast.
        blur: probability of a slight blur.
        grey: probability of taking the colour away.
    """

    def __init__(
        self, hue: float, saturation: float, brightness: float, blur: float, grey: float
    ) -> None:
        steps = [t for t in _colours(hue, saturation, brightness, blur, grey) if t.p > 0]
        self._chain = A.Compose(steps) if steps else None

    def __call__(self, image: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
        """Change a picture [H, W, 3]; the same for the same seed."""
        if self._chain is None:
            return image
        self._chain.set_random_seed(seed)
        return np.asarray(self._chain(image=image)["image"], np.uint8)


class ColourChain:
    """Random brightness, contrast, saturation and hue, in random order.

    Args:
        strength: factors of brightness, contrast and saturation lie in 1 - strength..1 + strength.
        hue: largest shift of the hue, in parts of the colour circle, 0..0.5.
    """

    def __init__(self, strength: float, hue: float) -> None:
        jitter = A.ColorJitter(
            brightness=strength, contrast=strength, saturation=strength, hue=hue, p=1.0
        )
        self._chain = A.Compose([jitter])

    def __call__(self, image: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
        """Change a picture [H, W, 3]; the same for the same seed."""
        self._chain.set_random_seed(seed)
        return np.asarray(self._chain(image=image)["image"], np.uint8)
