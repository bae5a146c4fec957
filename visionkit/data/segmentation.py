"""Pictures with masks, as samples on the run's canvas."""

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from visionkit.data.augment import Augment, suited
from visionkit.data.augment_masks import SegmentationAugment
from visionkit.data.cache import ImageCache
from visionkit.data.defects import naming_way_out
from visionkit.data.mask_index import MaskIndex
from visionkit.data.samplers import SampleKey
from visionkit.geometry import Image, Letterbox, resize_labels
from visionkit.sample import ImageMeta, Mask, Sample


class SegmentationDataset(Dataset[Sample]):
    """A split for evaluation (asked by position) or for training (asked by :class:`SampleKey`).

    Args:
        index: the split.
        canvas: height and width.
        augment: makes training samples; None for those of evaluation.
        seed: with epoch and position it settles all chance of a sample.
        cache: decoded pictures, scaled to the canvas; masks are kept beside it. Pictures larger
            than the canvas that may be enlarged are cut from their original pixels instead.

    Raises:
        ConfigError: ``augment`` is for another kind of sample.
    """

    def __init__(
        self,
        index: MaskIndex,
        canvas: tuple[int, int],
        augment: Augment | None = None,
        seed: int = 0,
        cache: ImageCache | None = None,
    ) -> None:
        self.augment = suited(augment, SegmentationAugment, "pictures with masks", "segmentation")
        self.index, self.canvas = index, canvas
        self.seed, self.cache = seed, cache
        self._masks = None if cache is None else cache.beside("masks", len(index), *canvas, 1)

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, key: int | SampleKey) -> Sample:
        i, canvas = (key.index, key.canvas) if isinstance(key, SampleKey) else (key, self.canvas)
        image, labels, size = self._read(i, canvas)
        if isinstance(key, SampleKey) and self.augment is not None:
            rng = np.random.default_rng((self.seed, key.epoch, key.index, key.draw))
            image, labels = self.augment(image, labels, canvas, key.whole, rng)
            letterbox = Letterbox(size, (labels.shape[0], labels.shape[1]))
        else:
            letterbox = Letterbox(size, canvas)
            image = letterbox.frame(letterbox.resize(image))
            labels = letterbox.frame_labels(labels)
        meta = ImageMeta(int(self.index.image_ids[i]), self.index.path(i), letterbox)
        return Sample(image, Mask(labels), meta)

    def _read(
        self, i: int, canvas: tuple[int, int]
    ) -> tuple[Image, NDArray[np.uint8], tuple[int, int]]:
        """Picture ``i`` and its labels, as they are or scaled to the canvas; the original size."""
        cache, masks = (self.cache, self._masks) if canvas == self.canvas else (None, None)
        if cache is not None and masks is not None:
            kept, mask = cache.kept(i), masks.kept(i)
            # a room that lasts may have what another augmentation needed
            if kept and mask and not self._cuts(Letterbox(kept[1], canvas)):
                return kept[0], mask[0], kept[1]
        with naming_way_out():
            image, labels = self.index.pair(i)
        size = (image.shape[0], image.shape[1])
        letterbox = Letterbox(size, canvas)
        if cache is not None and masks is not None and not self._cuts(letterbox):
            image, labels = letterbox.resize(image), resize_labels(labels, letterbox.resized)
            cache.keep(i, image, size)
            masks.keep(i, labels, size)
        return image, labels, size

    def _cuts(self, letterbox: Letterbox) -> bool:
        """Whether training pictures show more than what fills the canvas would."""
        enlarges = self.augment is not None and self.augment.enlarges
        return enlarges and any(
            side < own for side, own in zip(letterbox.resized, letterbox.size, strict=True)
        )
