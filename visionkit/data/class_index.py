"""A whole split of pictures with classes, in a few flat arrays."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from visionkit.data.strings import StringTable
from visionkit.geometry import Image, read_image

if TYPE_CHECKING:
    from torch.utils.data import Dataset

    from visionkit.data.augment import Augment
    from visionkit.data.cache import ImageCache


@dataclass(frozen=True)
class ClassIndex:
    """One split of a classification set: N pictures, K classes.

    The pictures are files, or pixels in memory; one of ``files`` and ``pixels`` is None.

    Attributes:
        classes: names by label.
        image_ids: [N] int64, unique.
        labels: [N] int64, 0..K-1; or [N, K] bool where a picture may have several classes or none.
        files: paths of the pictures.
        pixels: [N, H, W] (grey) or [N, H, W, 3] (RGB) uint8.
        warnings: what was mended while reading, one line each.
    """

    classes: tuple[str, ...]
    image_ids: NDArray[np.int64]
    labels: NDArray[Any]
    files: StringTable | None = None
    pixels: NDArray[np.uint8] | None = None
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def kind(self) -> str:
        """Classes."""
        return "classes"

    @property
    def exclusive(self) -> bool:
        """Whether each picture has exactly one class."""
        return self.labels.ndim == 1

    @property
    def grey(self) -> bool:
        """Whether the pictures are pixels in memory of one channel."""
        return self.pixels is not None and self.pixels.ndim == 3

    def counts(self) -> NDArray[np.int64]:
        """How many pictures there are of each class, [K]."""
        if not self.exclusive:
            return np.asarray(self.labels.sum(0), np.int64)
        return np.bincount(self.labels, minlength=len(self.classes)).astype(np.int64)

    def weights(self) -> NDArray[np.float64]:
        """How often to draw each picture, [N]: the inverse size of its class.

        Of several classes the rarest counts; pictures without any are a class of their own.
        """
        rarity = 1 / np.maximum(self.counts(), 1)
        if self.exclusive:
            return np.asarray(rarity[self.labels], np.float64)
        none = ~self.labels.any(1)
        weights = np.where(self.labels, rarity, 0.0).max(1, initial=0.0)
        weights[none] = 1 / max(1, int(none.sum()))
        return np.asarray(weights, np.float64)

    def untrainable(self) -> str | None:
        """See :class:`visionkit.data.index.Index`."""
        return None if self.counts().any() else "no picture has a class to learn"

    def values(self, i: int) -> NDArray[np.float32]:
        """The target of picture ``i``, [K]: 1 for each class that it shows, else 0."""
        if not self.exclusive:
            return np.asarray(self.labels[i], np.float32)
        values = np.zeros(len(self.classes), np.float32)
        values[self.labels[i]] = 1
        return values

    def path(self, i: int) -> str:
        """The file of picture ``i``, empty for pixels in memory."""
        return "" if self.files is None else self.files[i]

    def image(self, i: int) -> Image:
        """Picture ``i``, [H, W, 3] uint8 RGB.

        Raises:
            DataError: its file is missing, truncated, or no picture.
        """
        if self.pixels is None:
            return read_image(self.path(i))
        pixels = self.pixels[i]
        return np.repeat(pixels[:, :, None], 3, 2) if pixels.ndim == 2 else pixels

    def only(self, keep: NDArray[np.bool_]) -> "ClassIndex":
        """See :class:`visionkit.data.index.Index`."""
        kept = np.flatnonzero(keep)
        files = self.files
        return replace(
            self,
            image_ids=self.image_ids[kept],
            labels=self.labels[kept],
            files=None if files is None else StringTable([files[i] for i in kept.tolist()]),
            pixels=None if self.pixels is None else self.pixels[kept],
        )

    def with_classes(self, classes: tuple[str, ...]) -> "ClassIndex":
        """See :class:`visionkit.data.index.Index`: pictures of one class that isn't kept go."""
        if self.exclusive:
            new = {name: label for label, name in enumerate(classes)}
            labels = np.array([new.get(name, -1) for name in self.classes], np.int64)[self.labels]
            return replace(self, labels=labels, classes=classes).only(labels >= 0)
        marks = np.zeros((len(self), len(classes)), np.bool_)
        for label, name in enumerate(classes):
            if name in self.classes:
                marks[:, label] = self.labels[:, self.classes.index(name)]
        return replace(self, labels=marks, classes=classes)

    def dataset(
        self,
        canvas: tuple[int, int],
        augment: "Augment | None" = None,
        seed: int = 0,
        cache: "ImageCache | None" = None,
    ) -> "Dataset[Any]":
        """See :class:`visionkit.data.index.Index`.

        Pixels in memory that have the size of the canvas are handed out as whole batches, unless
        the augmentation has steps that only work picture by picture.

        Raises:
            ConfigError: the augmentation isn't for classification.
        """
        from visionkit.data.augment import suited
        from visionkit.data.augment_classes import ClassificationAugment
        from visionkit.data.classification import ArrayDataset, ClassificationDataset

        suit = suited(
            augment,
            ClassificationAugment,
            "pictures with classes, or alone",
            "classification",
            "small_images",
            "flip",
        )
        batched = suit is None or suit.batchable
        if self.pixels is not None and self.pixels.shape[1:3] == tuple(canvas) and batched:
            return ArrayDataset(self, suit, seed)
        return ClassificationDataset(self, canvas, suit, seed, cache)
