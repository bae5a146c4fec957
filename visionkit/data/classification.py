"""Pictures with classes, as samples or whole batches on the run's canvas."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from visionkit.batch import Batch, LabelTargets
from visionkit.data.augment_classes import ClassificationAugment
from visionkit.data.batch_augment import Chance
from visionkit.data.cache import ImageCache
from visionkit.data.class_index import ClassIndex
from visionkit.data.defects import naming_way_out
from visionkit.data.samplers import SampleKey
from visionkit.geometry import Image, Letterbox
from visionkit.sample import ImageMeta, Labels, Sample


class ClassificationDataset(Dataset[Sample]):
    """A split for evaluation (asked by position) or for training (asked by :class:`SampleKey`).

    Args:
        index: the split.
        canvas: height and width.
        augment: makes training pictures; None for those of evaluation.
        seed: with epoch and position it settles all chance of a sample.
        cache: decoded pictures, scaled to the canvas. Crops are made from the original pixels, so
            where there are any it isn't used.

    Attributes:
        caches: whether a cache is used.
    """

    def __init__(
        self,
        index: ClassIndex,
        canvas: tuple[int, int],
        augment: ClassificationAugment | None = None,
        seed: int = 0,
        cache: ImageCache | None = None,
    ) -> None:
        self.index, self.canvas = index, canvas
        self.augment, self.seed = augment, seed
        self.caches = index.files is not None and not (augment is not None and augment.crops)
        self.cache = cache if self.caches else None

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, key: int | SampleKey) -> Sample:
        i, canvas = (key.index, key.canvas) if isinstance(key, SampleKey) else (key, self.canvas)
        image, size = self._read(i, canvas)
        letterbox = Letterbox(size, canvas)
        if isinstance(key, SampleKey) and self.augment is not None:
            rng = np.random.default_rng((self.seed, key.epoch, key.index, key.draw))
            image = self.augment(image, canvas, rng, key)
        else:
            image = letterbox.frame(letterbox.resize(image))
        meta = ImageMeta(int(self.index.image_ids[i]), self.index.path(i), letterbox)
        return Sample(image, Labels(self.index.values(i)), meta)

    def _read(self, i: int, canvas: tuple[int, int]) -> tuple[Image, tuple[int, int]]:
        """Picture ``i``, from the cache scaled to the canvas, and its original size."""

        def read() -> tuple[Image, tuple[int, int]]:
            image, size = whole()
            return Letterbox(size, canvas).resize(image), size

        def whole() -> tuple[Image, tuple[int, int]]:
            with naming_way_out():
                image = self.index.image(i)
            return image, (image.shape[0], image.shape[1])

        if self.cache is None or canvas != self.canvas:
            return whole()
        return self.cache.get(i, read)


class ArrayDataset(Dataset[Batch]):
    """Pixels in memory, asked by a list of positions or of :class:`SampleKey`, as whole batches.

    Evaluation gives the pixels themselves, grey ones in three equal channels. Training pictures
    differ by the seed, the epoch and their position alone, as they do one by one.

    Args:
        index: the split, with pixels of the canvas's size.
        augment: makes training pictures; None for those of evaluation.
        seed: with epoch and position it settles all chance of a picture.
    """

    batched = True
    caches = False

    def __init__(
        self, index: ClassIndex, augment: ClassificationAugment | None = None, seed: int = 0
    ) -> None:
        if index.pixels is None:
            raise ValueError("ArrayDataset needs an index with pixels")
        self.index, self.pixels = index, index.pixels
        self.augment, self.seed = augment, seed
        size = (self.pixels.shape[1], self.pixels.shape[2])
        self._letterbox = Letterbox(size, size)

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, keys: Sequence[int | SampleKey]) -> Batch:
        training = [key for key in keys if isinstance(key, SampleKey)]
        where = np.array([k.index for k in training] if training else keys, np.int64)
        images = _channels_first(self.pixels[where])
        letterbox = self._letterbox
        if training:
            if self.augment is not None:
                epochs = np.array([key.epoch for key in training], np.int64)
                draws = np.array([key.draw for key in training], np.int64)
                chance = Chance(self.seed, epochs, where, draws)
                images = self.augment.batch(images, chance, training[0].whole)
            canvas = training[0].canvas
            if canvas != letterbox.canvas:  # data.multiscale
                letterbox = Letterbox(letterbox.size, canvas)
                images = _resized(images, letterbox)
        meta = [
            ImageMeta(image_id, "", letterbox) for image_id in self.index.image_ids[where].tolist()
        ]
        images = images.expand(-1, 3, -1, -1).contiguous()
        return Batch(images, LabelTargets(self._values(where)), tuple(meta))

    def _values(self, where: NDArray[np.int64]) -> Tensor:
        labels = torch.from_numpy(self.index.labels[where])
        if not self.index.exclusive:
            return labels.float()
        return F.one_hot(labels, len(self.index.classes)).float()


def _channels_first(pixels: NDArray[np.uint8]) -> Tensor:
    """[B, C, H, W] of [B, H, W] or [B, H, W, 3]."""
    if pixels.ndim == 3:
        return torch.from_numpy(pixels)[:, None]
    count, height, width, _ = pixels.shape
    planes = cv2.split(pixels.reshape(count * height, width, 3))  # far faster than a transpose
    return torch.from_numpy(np.stack([p.reshape(count, height, width) for p in planes], 1))


def _resized(images: Tensor, letterbox: Letterbox) -> Tensor:
    """Scale to another canvas, with pad where its shape differs."""
    height, width = letterbox.resized
    scaled = F.interpolate(images, (height, width), mode="bilinear", antialias=True)
    if (height, width) == letterbox.canvas:
        return scaled
    frames = [letterbox.frame(i) for i in scaled.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()]
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
