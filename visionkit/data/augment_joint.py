"""Random augmentation of pictures with boxes, masks and classes together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from visionkit.argtypes import Amount, Part
from visionkit.data import mosaic
from visionkit.data.augment import Augment
from visionkit.data.joint_index import Truth
from visionkit.data.transforms import MaskChain
from visionkit.errors import ConfigError
from visionkit.geometry import Image, blank
from visionkit.results import VOID
from visionkit.sample import Boxes, Labels, Mask


@dataclass(frozen=True)
class Scene:
    """A picture with the labels of each part.

    Attributes:
        image: [H, W, 3] uint8 RGB.
        parts: places and masks are in the pixels of ``image``.
    """

    image: Image
    parts: Mapping[str, Truth]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.image.shape[0], self.image.shape[1]


class JointAugment(Augment):
    """Random placement or mosaic, mirroring and colour, the same for all labels of a picture.

    A class of the whole picture holds for no piece of it, so pictures that have one are never put
    into a mosaic. Where nothing is drawn, masks are void.

    Args:
        mosaic: probability of a four-picture mosaic.
        scale: least and greatest factor on a picture that fills the canvas.
        mosaic_scale: the same for the pictures of a mosaic.
        hflip: probability of mirroring left to right.
        vflip: probability of mirroring top to bottom.
        hue: largest shift of the hue, in degrees of 180.
        saturation: largest shift of the saturation, in parts of 1.
        brightness: largest relative change of brightness and contrast.
        blur: probability of a slight blur.
        grey: probability of taking the colour away.
        close_mosaic: the last part of the schedule (0..1) that sees whole pictures, so that
            training ends on what evaluation shows.
        min_visible: a box is kept if at least this part of its area is still in the picture.
    """

    def __init__(
        self,
        mosaic: Part = 0.5,
        scale: tuple[float, float] = (0.6, 1.4),
        mosaic_scale: tuple[float, float] = (0.5, 1.2),
        hflip: Part = 0.5,
        vflip: Part = 0.0,
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
        self.mosaic, self.scale, self.mosaic_scale = mosaic, scale, mosaic_scale
        self.hflip, self.vflip = hflip, vflip
        self.close, self.min_visible = close_mosaic, min_visible
        self._chain = MaskChain(hue, saturation, brightness, blur, grey)

    def __call__(
        self,
        scene: Scene,
        another: Callable[[np.random.Generator], Scene],
        canvas: tuple[int, int],
        whole: bool,
        rng: np.random.Generator,
    ) -> Scene:
        """Make one training sample of the canvas's size.

        Args:
            scene: the picture it is about; it fills the canvas, without the pad.
            another: draws another picture of the same set.
            canvas: height and width.
            whole: no mosaic.
            rng: source of all chance.
        """
        plain = whole or any(isinstance(part, Labels) for part in scene.parts.values())
        if not plain and rng.random() < self.mosaic:
            four = [scene, *(another(rng) for _ in range(3))]
            four = [four[i] for i in rng.permutation(4)]
            lie = mosaic.quarters(
                [one.size for one in four],
                canvas,
                lambda: float(rng.uniform(*self.mosaic_scale)),
                rng,
            )
        else:
            four = [scene]
            scale = float(rng.uniform(*self.scale))
            fixed = tuple(self.scale) == (1.0, 1.0)
            lie = [mosaic.somewhere(scene.size, canvas, scale, rng, centred=fixed)]
        drawn = self._draw(four, lie, canvas)
        for axis, chance in ((1, self.hflip), (0, self.vflip)):
            if rng.random() < chance:
                drawn = mirrored(drawn, axis)
        return Scene(self._chain(drawn.image, int(rng.integers(2**31))), drawn.parts)

    def _draw(
        self, scenes: Sequence[Scene], lie: Sequence[mosaic.Placement], canvas: tuple[int, int]
    ) -> Scene:
        """Put scenes onto one canvas, each where it lies."""
        image = blank(canvas)
        pairs = list(zip(scenes, lie, strict=True))
        for scene, place in pairs:
            place.draw(image, scene.image)
        parts: dict[str, Truth] = {}
        for name, kind in scenes[0].parts.items():
            if isinstance(kind, Labels):
                parts[name] = kind
            elif isinstance(kind, Mask):
                labels = np.full(canvas, VOID, np.uint8)
                for scene, place in pairs:
                    place.draw_labels(labels, _mask(scene.parts[name]))
                parts[name] = Mask(labels)
            else:
                seen = [place.move(_boxes(s.parts[name]), self.min_visible) for s, place in pairs]
                parts[name] = mosaic.clean(mosaic.join(seen), (0, 0, *canvas), 0.0, 1.0)
        return Scene(image, parts)


def mirrored(scene: Scene, axis: int) -> Scene:
    """Exchange left and right (1) or top and bottom (0)."""
    last = scene.size[axis]
    parts: dict[str, Truth] = {}
    for name, part in scene.parts.items():
        if isinstance(part, Mask):
            part = Mask(_flipped(part.labels, axis))
        elif isinstance(part, Boxes):
            boxes = part.boxes.copy()
            low, high = (0, 2) if axis == 1 else (1, 3)
            boxes[:, low], boxes[:, high] = last - part.boxes[:, high], last - part.boxes[:, low]
            part = Boxes(boxes, part.labels)
        parts[name] = part
    return Scene(_flipped(scene.image, axis), parts)


def _flipped(pixels: NDArray[np.uint8], axis: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.flip(pixels, axis), np.uint8)


def _mask(part: Truth) -> NDArray[np.uint8]:
    assert isinstance(part, Mask)
    return part.labels


def _boxes(part: Truth) -> Boxes:
    assert isinstance(part, Boxes)
    return part
