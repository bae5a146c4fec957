"""Random augmentation of pictures with classes, one by one or a batch at a time."""

import math
from typing import Annotated, Any, Literal

import cv2
import numpy as np
import torch
from torch import Tensor

from visionkit.argtypes import Amount, Count, Part, Range
from visionkit.batch import Batch
from visionkit.data import batch_augment as many
from visionkit.data.augment import Augment
from visionkit.data.batch_augment import Border, Chance, between, whole_between, windows
from visionkit.data.samplers import SampleKey
from visionkit.data.transforms import ColourChain
from visionkit.errors import ConfigError
from visionkit.geometry import PAD_COLOUR, Image, Letterbox

_CROP_ASPECT = (3 / 4, 4 / 3)
_HOLE_AREA = (0.02, 1 / 3)
_HOLE_ASPECT = (0.3, 1 / 0.3)
_BORDERS = {"edge": cv2.BORDER_REPLICATE, "reflect": cv2.BORDER_REFLECT_101}


class ClassificationAugment(Augment):
    """Random crops, flips, turns, colours and holes, and blends of pictures.

    With all of it off, training pictures are those of evaluation. A crop fills the part of the
    canvas that the whole picture would fill, so training and evaluation have the same pad.

    Args:
        crop: least and greatest part of the picture's area that is shown (Szegedy et al. 2015), in
            3/4 to 4/3 of the picture's own ratio of sides; [1, 1] for whole pictures.
        shift: largest shift up, down, left and right, in pixels of the canvas.
        border: what shifts and turns bring in from outside: the ``mean`` colour, ``black``, the
            ``edge`` repeated, or the picture mirrored at it (``reflect``).
        hflip: probability of mirroring left to right.
        vflip: probability of mirroring top to bottom.
        rotate: largest turn either way, in degrees.
        colour: brightness, contrast and saturation change by factors of 1 - colour to 1 + colour.
        hue: largest shift of the hue, in parts of the colour circle.
        policy: ``randaugment`` (Cubuk et al. 2020: two steps), ``trivial`` (Müller and Hutter 2021:
            one step of any strength), or ``none``.
        magnitude: strength of RandAugment's steps.
        erase: probability of a hole of one random colour (Zhong et al. 2020).
        mixup: alpha of blending pictures two by two (Zhang et al. 2018), 0 for never.
        cutmix: alpha of pasting a window of another picture (Yun et al. 2019), 0 for never.
        mix_probability: of either, for each batch.
        close: the last part of the schedule (0..1) that sees whole pictures: neither crop, policy
            nor hole.

    Attributes:
        batchable: whether batches of arrays can be changed at once (see :meth:`batch`).
        crops: whether training pictures are cut out of the original ones.
    """

    def __init__(
        self,
        crop: tuple[float, float] = (0.5, 1.0),
        shift: Count = 0,
        border: Border = "mean",
        hflip: Part = 0.5,
        vflip: Part = 0.0,
        rotate: Annotated[float, Range(0, 180)] = 0.0,
        colour: Part = 0.3,
        hue: Annotated[float, Range(0, 0.5)] = 0.0,
        policy: Literal["none", "randaugment", "trivial"] = "none",
        magnitude: Annotated[int, Range(0, 30)] = 9,
        erase: Part = 0.0,
        mixup: Amount = 0.0,
        cutmix: Amount = 0.0,
        mix_probability: Part = 1.0,
        close: Part = 0.0,
    ) -> None:
        if not 0 < crop[0] <= crop[1] <= 1:
            raise ConfigError(
                f"augment.crop: [{crop[0]}, {crop[1]}] must be 0 < least <= greatest <= 1"
            )
        self.crop, self.shift, self.rotate = (crop[0], crop[1]), shift, rotate
        self.border: Border = border
        self.hflip, self.vflip = hflip, vflip
        self.colour, self.erase = colour, erase
        self.mixup, self.cutmix, self.mix_probability = mixup, cutmix, mix_probability
        self.close = close
        self.batchable = not hue and policy == "none"
        self.crops = self.crop != (1.0, 1.0)
        self._chain = ColourChain(colour, hue) if colour or hue else None
        self._policy = _policy(policy, magnitude)

    def __call__(
        self, image: Image, canvas: tuple[int, int], rng: np.random.Generator, key: SampleKey
    ) -> Image:
        """Make one training picture.

        Args:
            image: [H, W, 3] uint8 RGB, the whole picture.
            canvas: height and width of the result.
            rng: source of all chance.
            key: whether the picture is to stay whole.

        Returns:
            [*canvas, 3] uint8 RGB.
        """
        letterbox = Letterbox((image.shape[0], image.shape[1]), canvas)
        if self.crops and not key.whole:
            image = _cut(image, self.crop, rng)
        image = letterbox.resize(image)
        if rng.random() < self.hflip:
            image = image[:, ::-1]
        if rng.random() < self.vflip:
            image = image[::-1]
        image = np.ascontiguousarray(image)
        if self._chain is not None:
            image = self._chain(image, int(rng.integers(2**31)))
        if self._policy is not None and not key.whole:
            image = _seeded(self._policy, image, int(rng.integers(2**31)))
        image = letterbox.frame(image)
        if self.shift or self.rotate:
            image = self._move(image, rng)
        if not key.whole and rng.random() < self.erase:
            _erase(image, rng)
        return image

    def batch(self, images: Tensor, draw: Chance, whole: bool) -> Tensor:
        """Change a batch of training pictures at once.

        Args:
            images: [B, C, H, W] uint8, grey or RGB.
            draw: source of all chance.
            whole: neither crop nor hole.

        Returns:
            [B, C, H, W] uint8.
        """
        mirrored, upside = draw() < self.hflip, draw() < self.vflip
        down = whole_between(draw, -self.shift, self.shift)
        right = whole_between(draw, -self.shift, self.shift)
        crop = (1.0, 1.0) if whole else self.crop
        if self.rotate or crop != (1.0, 1.0):
            cut = windows(draw, crop, _CROP_ASPECT if crop != (1.0, 1.0) else (1.0, 1.0))
            degrees = between(draw, -self.rotate, self.rotate)
            images = many.warped(images, cut, degrees, down, right, upside, mirrored, self.border)
        else:
            images = many.moved(images, down, right, upside, mirrored, self.border)
        if self.colour:
            factors = [between(draw, 1 - self.colour, 1 + self.colour) for _ in range(3)]
            images = many.recoloured(images, *factors)
        if self.erase and not whole:
            chosen = draw() < self.erase
            colours = np.stack([draw() for _ in range(images.shape[1])], 1)
            images = many.erased(images, windows(draw, _HOLE_AREA, _HOLE_ASPECT), colours, chosen)
        return images

    def mix(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Blend the pictures of a batch, and their targets, by mixup or CutMix."""
        if not (self.mixup or self.cutmix) or not self.mix_probability:
            return batch
        from visionkit.ops.mixing import mix_labels

        return mix_labels(batch, rng, self.mixup, self.cutmix, self.mix_probability)

    def _move(self, image: Image, rng: np.random.Generator) -> Image:
        """Turn around the centre, and shift."""
        height, width = image.shape[:2]
        down, right = rng.integers(-self.shift, self.shift + 1, 2).tolist()
        degrees = float(rng.uniform(-self.rotate, self.rotate))
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
        matrix[:, 2] += right, down
        return np.asarray(
            cv2.warpAffine(
                image,
                matrix,
                (width, height),
                flags=cv2.INTER_LINEAR if degrees else cv2.INTER_NEAREST,
                borderMode=_BORDERS.get(self.border, cv2.BORDER_CONSTANT),
                borderValue=PAD_COLOUR if self.border == "mean" else (0, 0, 0),
            ),
            np.uint8,
        )


def _cut(image: Image, area: tuple[float, float], rng: np.random.Generator) -> Image:
    """A random window of a picture."""
    parts = windows(lambda: rng.random(1), area, _CROP_ASPECT)
    (h, w, top, left), (height, width) = (float(p[0]) for p in parts), image.shape[:2]
    y, x = round(top * height), round(left * width)
    rows, columns = max(1, round(h * height)), max(1, round(w * width))
    return image[min(y, height - 1) : y + rows, min(x, width - 1) : x + columns]


def _erase(image: Image, rng: np.random.Generator) -> None:
    """Fill a random window with a random colour, in place."""
    parts = windows(lambda: rng.random(1), _HOLE_AREA, _HOLE_ASPECT)
    (h, w, top, left), (height, width) = (float(p[0]) for p in parts), image.shape[:2]
    rows = slice(math.floor(top * height), math.ceil((top + h) * height))
    columns = slice(math.floor(left * width), math.ceil((left + w) * width))
    image[rows, columns] = rng.integers(0, 256, 3)


def _policy(name: str, magnitude: int) -> Any:
    if name == "none":
        return None
    from torchvision.transforms import InterpolationMode, v2

    how = {"interpolation": InterpolationMode.BILINEAR, "fill": list(map(float, PAD_COLOUR))}
    if name == "trivial":
        return v2.TrivialAugmentWide(**how)
    return v2.RandAugment(magnitude=magnitude, **how)


def _seeded(policy: Any, image: Image, seed: int) -> Image:
    """Apply a transform that draws from torch's own generator, and leave that as it was."""
    pixels = torch.from_numpy(image).permute(2, 0, 1)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # of the CPU alone
        changed: Tensor = policy(pixels)
    return np.ascontiguousarray(changed.permute(1, 2, 0).numpy())
