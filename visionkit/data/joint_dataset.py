"""Pictures with labels of several kinds, as samples on the run's canvas."""

from collections.abc import Mapping

import numpy as np
from torch.utils.data import Dataset

from visionkit.data.augment import Augment, suited
from visionkit.data.augment_joint import JointAugment, Scene
from visionkit.data.cache import ImageCache
from visionkit.data.defects import naming_way_out
from visionkit.data.joint_index import JoinedSet, JointIndex, Truth
from visionkit.data.mask_index import MaskIndex
from visionkit.data.samplers import SampleKey
from visionkit.geometry import Image, Letterbox, resize_labels
from visionkit.sample import Boxes, ImageMeta, Mask, Parts, Sample


class JointDataset(Dataset[Sample]):
    """A split for evaluation (asked by position) or for training (asked by :class:`SampleKey`).

    Args:
        index: the split.
        canvas: height and width.
        augment: makes training samples; None for those of evaluation.
        seed: with epoch and position it settles all chance of a sample.
        cache: decoded pictures, scaled to the canvas; masks are kept beside it.

    Raises:
        ConfigError: ``augment`` is for another kind of sample.
    """

    def __init__(
        self,
        index: JointIndex,
        canvas: tuple[int, int],
        augment: Augment | None = None,
        seed: int = 0,
        cache: ImageCache | None = None,
    ) -> None:
        self.augment = suited(
            augment, JointAugment, "pictures with labels of several kinds", "joint"
        )
        self.index, self.canvas = index, canvas
        self.seed, self.cache = seed, cache
        self._ids = index.image_ids
        masks = [n for n, part in index.indices.items() if isinstance(part, MaskIndex)]
        self._masks: dict[str, ImageCache] = {}
        if cache is not None:
            size = (len(index), *canvas, 1)
            self._masks = {name: cache.beside(f"masks-{name}", *size) for name in masks}

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, key: int | SampleKey) -> Sample:
        i, canvas = (key.index, key.canvas) if isinstance(key, SampleKey) else (key, self.canvas)
        image, truths, letterbox = self._scaled(i, canvas)
        if isinstance(key, SampleKey) and self.augment is not None:
            rng = np.random.default_rng((self.seed, key.epoch, key.index, key.draw))
            first, count = self._neighbours(i)
            drawn = self.augment(
                _scene(image, truths, letterbox),
                lambda rng: _scene(*self._scaled(first + int(rng.integers(count)), canvas)),
                canvas,
                key.whole,
                rng,
            )
            image, parts = drawn.image, dict(drawn.parts)
        else:
            image = letterbox.frame(image)
            parts = {name: _framed(part, letterbox) for name, part in truths.items()}
        meta = ImageMeta(int(self._ids[i]), self.index.path(i), letterbox)
        return Sample(image, Parts(parts), meta)

    def _neighbours(self, i: int) -> tuple[int, int]:
        """The first picture, and the number of pictures, of the set that picture ``i`` is of."""
        first = 0
        for count in self.index.groups:
            if i < first + count:
                return first, count
            first += count
        raise IndexError(i)

    def _scaled(self, i: int, canvas: tuple[int, int]) -> tuple[Image, dict[str, Truth], Letterbox]:
        """Picture ``i`` scaled so that it fills ``canvas`` one way, without the pad.

        Its masks are scaled alike, its boxes in its own pixels.
        """
        one, at = self.index.place(i)
        cache = self.cache if canvas == self.canvas else None
        found = self._kept(i, one, cache)
        if found is None:
            with naming_way_out():
                image, masks = one.read(at)
            size = (image.shape[0], image.shape[1])
            letterbox = Letterbox(size, canvas)
            image = letterbox.resize(image)
            masks = {n: resize_labels(mask, letterbox.resized) for n, mask in masks.items()}
            if cache is not None:
                cache.keep(i, image, size)
                for name, labels in masks.items():
                    self._masks[name].keep(i, labels, size)
        else:
            image, size, masks = found
        return image, one.truths(at, size, masks), Letterbox(size, canvas)

    def _kept(
        self, i: int, one: JoinedSet, cache: ImageCache | None
    ) -> tuple[Image, tuple[int, int], dict[str, Image]] | None:
        """A picture, its original height and width, and its masks, if all of them are cached."""
        kept = None if cache is None else cache.kept(i)
        if kept is None:
            return None
        masks = {name: self._masks[name].kept(i) for name in one.parts if name in self._masks}
        there = {name: mask[0] for name, mask in masks.items() if mask is not None}
        return (*kept, there) if len(there) == len(masks) else None


def _scene(image: Image, truths: Mapping[str, Truth], letterbox: Letterbox) -> Scene:
    """A scaled picture with its labels in the same pixels."""
    (height, width), (own_height, own_width) = letterbox.resized, letterbox.size
    factor = np.array([width / own_width, height / own_height] * 2, np.float32)
    return Scene(
        image,
        {
            name: Boxes((part.boxes * factor).astype(np.float32), part.labels)
            if isinstance(part, Boxes)
            else part
            for name, part in truths.items()
        },
    )


def _framed(part: Truth, letterbox: Letterbox) -> Truth:
    """A label as evaluation sees it, on the canvas."""
    if isinstance(part, Mask):
        return Mask(letterbox.frame_labels(part.labels))
    if isinstance(part, Boxes):
        return Boxes(letterbox.to_canvas(part.boxes), part.labels)
    return part
