"""A whole split of pictures with a class for each pixel."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from visionkit.data.cache import ImageCache
from visionkit.data.cores import in_threads
from visionkit.data.defects import naming_way_out
from visionkit.data.layout import exif_orientation
from visionkit.data.strings import StringTable
from visionkit.errors import DataError
from visionkit.geometry import Image, read_image
from visionkit.results import VOID

if TYPE_CHECKING:
    from torch.utils.data import Dataset

    from visionkit.data.augment import Augment

UNLABELLED = "no pixel of its masks has a class to learn"
"""Why nothing can be learned from a split whose masks are void."""


class Masks(Protocol):
    """Where the truth of N pictures comes from: files of masks, or outlines to be filled."""

    def mask(self, i: int) -> NDArray[np.uint8]:
        """The labels of picture ``i``, [H, W], 0..K-1 or :data:`visionkit.results.VOID`.

        Raises:
            DataError: they can't be read, or have a value that stands for nothing.
        """
        ...

    def name(self, i: int) -> str:
        """What messages call the mask of picture ``i``: its file, or that of its annotations."""
        ...

    def wrong_size(
        self, i: int, size: tuple[int, int], picture: str, theirs: tuple[int, int]
    ) -> DataError:
        """Say that mask ``i`` isn't of its picture's size (height and width of both)."""
        ...

    def only(self, keep: NDArray[np.bool_]) -> "Masks":
        """The masks for which ``keep``, [N], is true."""
        ...


@dataclass(frozen=True)
class MaskIndex:
    """One split of a set for semantic segmentation: N pictures, K classes.

    Attributes:
        files: paths of the pictures.
        image_ids: [N] int64, unique.
        truth: their masks.
        classes: names by label.
        warnings: what was mended while reading, one line each.
        remap: [256] uint8, the label of each value of ``truth``; None where they are the same.
    """

    files: StringTable
    image_ids: NDArray[np.int64]
    truth: Masks
    classes: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    remap: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def kind(self) -> str:
        """Masks."""
        return "masks"

    @property
    def exclusive(self) -> bool:
        """A pixel has one class."""
        return True

    @property
    def grey(self) -> bool:
        """Nothing is known before pictures are read."""
        return False

    def path(self, i: int) -> str:
        """The file of picture ``i``."""
        return self.files[i]

    def cached_bytes(self, canvas: tuple[int, int], augment: "Augment | None" = None) -> int:
        """What a dataset comes to keep in a cache: of each pixel its colours and its label."""
        return ImageCache.size(len(self), *canvas, 4)

    def mask_name(self, i: int) -> str:
        """What messages call the mask of picture ``i``."""
        return self.truth.name(i)

    def mask(self, i: int) -> NDArray[np.uint8]:
        """The labels of picture ``i``, [H, W], 0..K-1 or :data:`visionkit.results.VOID`.

        Raises:
            DataError: they can't be read, or have a value that stands for nothing.
        """
        labels = self.truth.mask(i)
        return labels if self.remap is None else self.remap[labels]

    def image(self, i: int) -> Image:
        """Picture ``i``, [H, W, 3] uint8 RGB, turned as its mask is.

        Raises:
            DataError: its file is missing, truncated, or no picture.
        """
        path = self.path(i)
        return read_image(path, _size(self.mask(i)) if _may_lie(path) else None)

    def pair(self, i: int) -> tuple[Image, NDArray[np.uint8]]:
        """Picture ``i`` and its labels; see :meth:`image` and :meth:`mask`.

        Raises:
            DataError: one of them can't be read, or their sizes differ.
        """
        labels = self.mask(i)
        image = read_image(self.path(i), _size(labels))
        if image.shape[:2] != labels.shape:
            raise self.wrong_size(i, _size(labels), _size(image))
        return image, labels

    def wrong_size(self, i: int, size: tuple[int, int], theirs: tuple[int, int]) -> DataError:
        """Say that mask ``i`` isn't of its picture's size (height and width of both)."""
        return self.truth.wrong_size(i, size, self.path(i), theirs)

    def pixels(self) -> NDArray[np.int64]:
        """How many pixels of each class each picture has, [N, K].

        Every mask is read for it, once.

        Raises:
            DataError: one of them can't be.
        """
        return self._pixels

    @cached_property
    def _pixels(self) -> NDArray[np.int64]:
        count = len(self.classes)

        def of(i: int) -> NDArray[np.int64]:
            return np.bincount(self.mask(i).ravel(), minlength=VOID + 1)[:count].astype(np.int64)

        with naming_way_out():
            rows = list(in_threads(of, range(len(self))))
        return np.stack(rows) if rows else np.zeros((0, count), np.int64)

    def counts(self) -> NDArray[np.int64]:
        """How many pixels there are of each class, [K]."""
        return np.asarray(self.pixels().sum(0), np.int64)

    def weights(self) -> NDArray[np.float64]:
        """How often to draw each picture, [N]: by the class in it that the fewest pictures have."""
        shown = self.pixels() > 0
        rarity = 1 / np.maximum(shown.sum(0), 1)
        weights = np.where(shown, rarity, 0.0).max(1, initial=0.0)
        # a picture without labels is drawn as seldom as any
        weights[weights == 0] = 1 / max(1, len(self))
        return np.asarray(weights, np.float64)

    def untrainable(self) -> str | None:
        """See :class:`visionkit.data.index.Index`. Masks are read until one has a label."""
        with naming_way_out():
            learned = any((self.mask(i) < len(self.classes)).any() for i in range(len(self)))
        return None if learned else UNLABELLED

    def only(self, keep: NDArray[np.bool_]) -> "MaskIndex":
        """See :class:`visionkit.data.index.Index`."""
        return replace(
            self,
            files=StringTable([self.files[i] for i in np.flatnonzero(keep).tolist()]),
            image_ids=self.image_ids[keep],
            truth=self.truth.only(keep),
        )

    def with_classes(self, classes: tuple[str, ...]) -> "MaskIndex":
        """See :class:`visionkit.data.index.Index`: pixels of a class that isn't kept are void."""
        new = {name: label for label, name in enumerate(classes)}
        remap = np.full(VOID + 1, VOID, np.uint8)
        for label, name in enumerate(self.classes):
            remap[label] = new.get(name, VOID)
        if self.remap is not None:
            remap = remap[self.remap]
        return replace(self, classes=classes, remap=remap)

    def dataset(
        self,
        canvas: tuple[int, int],
        augment: "Augment | None" = None,
        seed: int = 0,
        cache: ImageCache | None = None,
    ) -> "Dataset[Any]":
        """See :class:`visionkit.data.index.Index`.

        Raises:
            ConfigError: the augmentation isn't for masks.
        """
        from visionkit.data.segmentation import SegmentationDataset

        return SegmentationDataset(self, canvas, augment, seed, cache)


def wrong_size(
    mask: str, size: tuple[int, int], picture: str, theirs: tuple[int, int]
) -> DataError:
    """Say that the file of a mask isn't of its picture's size (height and width of both)."""
    return DataError(
        f"{mask}: is {size[1]} x {size[0]} pixels, its picture {picture} is "
        f"{theirs[1]} x {theirs[0]}; make the mask anew or take both out of the set"
    )


def _size(pixels: NDArray[Any]) -> tuple[int, int]:
    return pixels.shape[0], pixels.shape[1]


def _may_lie(path: str) -> bool:
    """Whether height and width of a picture change places when its EXIF orientation is applied."""
    try:
        with Pillow.open(path) as picture:
            return exif_orientation(picture) >= 5
    except (OSError, SyntaxError, ValueError, Pillow.DecompressionBombError):
        return False  # reading it will tell
