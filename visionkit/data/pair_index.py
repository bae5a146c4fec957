"""Whole splits of pictures that have another picture each: their own, or any of a second list."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from visionkit.data.cache import ImageCache
from visionkit.data.image_index import ImageIndex
from visionkit.data.strings import StringTable
from visionkit.errors import DataError
from visionkit.geometry import Image, read_image

if TYPE_CHECKING:
    from torch.utils.data import Dataset

    from visionkit.data.augment import Augment


@dataclass(frozen=True)
class _Sources:
    """N pictures to be turned into others. There are no classes.

    Attributes:
        files: paths of the pictures.
        image_ids: [N] int64, unique.
    """

    files: StringTable
    image_ids: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def others(self) -> int:
        """How many pictures there are to turn them into: one for each."""
        return len(self)

    @property
    def classes(self) -> tuple[str, ...]:
        """None."""
        return ()

    @property
    def exclusive(self) -> bool:
        """There are no classes."""
        return False

    @property
    def grey(self) -> bool:
        """Nothing is known before pictures are read."""
        return False

    def counts(self) -> NDArray[np.int64]:
        """Of no class, [0]."""
        return np.zeros(0, np.int64)

    def weights(self) -> NDArray[np.float64]:
        """All alike, [N]."""
        return np.ones(len(self))

    def untrainable(self) -> str | None:
        """See :class:`visionkit.data.index.Index`: any picture will do."""
        return None

    def with_classes(self, classes: tuple[str, ...]) -> Self:
        """See :class:`visionkit.data.index.Index`: the same."""
        return self

    def path(self, i: int) -> str:
        """The file of picture ``i``."""
        return self.files[i]

    def cached_bytes(self, canvas: tuple[int, int], augment: "Augment | None" = None) -> int:
        """What a dataset comes to keep in a cache: the pictures of both kinds."""
        from visionkit.data.pairs_dataset import kept_size

        return ImageCache.size(len(self) + self.others, *kept_size(canvas, augment))

    def dataset(
        self,
        canvas: tuple[int, int],
        augment: "Augment | None" = None,
        seed: int = 0,
        cache: ImageCache | None = None,
    ) -> "Dataset[Any]":
        """See :class:`visionkit.data.index.Index`.

        Raises:
            ConfigError: the augmentation isn't for pairs.
        """
        from visionkit.data.pairs_dataset import PairDataset

        assert isinstance(self, PairIndex | UnpairedIndex)
        return PairDataset(self, canvas, augment, seed, cache)


@dataclass(frozen=True)
class PairIndex(_Sources):
    """One split of N pictures, each with the one that it is to be turned into.

    Attributes:
        targets: paths of the others; None where each file holds both beside each other.
        reverse: whether the picture is the right half of its file, and the other the left one.
        warnings: what was mended while reading, one line each.
    """

    targets: StringTable | None = None
    reverse: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """Pairs."""
        return "pairs"

    def pair(self, i: int) -> tuple[Image, Image]:
        """Picture ``i`` and the other, [H, W, 3] uint8 RGB of the same size.

        Raises:
            DataError: a file is missing, truncated, or no picture; their sizes differ; or a file of
                both is of odd width.
        """
        first = read_image(self.path(i))
        if self.targets is not None:
            second = read_image(self.targets[i])
            if first.shape != second.shape:
                raise DataError(
                    f"{self.targets[i]}: {unequal(size_of(second), self.path(i), size_of(first))}"
                )
            return first, second
        width = first.shape[1]
        if width % 2:
            raise DataError(f"{self.path(i)}: {odd(width)}")
        left, right = first[:, : width // 2], first[:, width // 2 :]
        return (right, left) if self.reverse else (left, right)

    def image(self, i: int) -> Image:
        """Picture ``i``; see :meth:`pair`."""
        return read_image(self.path(i)) if self.targets is not None else self.pair(i)[0]

    def target(self, i: int) -> Image:
        """What picture ``i`` is to be turned into; see :meth:`pair`."""
        return read_image(self.targets[i]) if self.targets is not None else self.pair(i)[1]

    def other_side(self) -> ImageIndex | None:
        """The targets as pictures, if they are files of their own."""
        return None if self.targets is None else _alone(self.targets)

    def only(self, keep: NDArray[np.bool_]) -> "PairIndex":
        """See :class:`visionkit.data.index.Index`."""
        targets = None if self.targets is None else _kept(self.targets, keep)
        return replace(
            self, files=_kept(self.files, keep), image_ids=self.image_ids[keep], targets=targets
        )


@dataclass(frozen=True)
class UnpairedIndex(_Sources):
    """One split of N pictures, and M others that they are to look like.

    An epoch has each of the N once.

    Attributes:
        targets: paths of the others.
        warnings: what was mended while reading, one line each.
    """

    targets: StringTable
    warnings: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """Two lists."""
        return "unpaired"

    @property
    def others(self) -> int:
        """How many pictures the second list has."""
        return len(self.targets)

    def image(self, i: int) -> Image:
        """Picture ``i``, [H, W, 3] uint8 RGB.

        Raises:
            DataError: its file is missing, truncated, or no picture.
        """
        return read_image(self.path(i))

    def target(self, i: int) -> Image:
        """Number ``i`` of the others, which begin again after the last; see :meth:`image`."""
        return read_image(self.targets[i % len(self.targets)])

    def other_side(self) -> ImageIndex:
        """The others as pictures."""
        return _alone(self.targets)

    def only(self, keep: NDArray[np.bool_]) -> "UnpairedIndex":
        """See :class:`visionkit.data.index.Index`: of the N."""
        return replace(self, files=_kept(self.files, keep), image_ids=self.image_ids[keep])

    def only_targets(self, keep: NDArray[np.bool_]) -> "UnpairedIndex":
        """The split with those of the others for which ``keep``, [M], is true."""
        return replace(self, targets=_kept(self.targets, keep))


def unequal(size: tuple[int, int], picture: str, theirs: tuple[int, int]) -> str:
    """Say that a picture isn't of the size of the one it belongs to (height and width of both)."""
    return (
        f"is {size[1]} x {size[0]} pixels, its partner {picture} is {theirs[1]} x {theirs[0]}; "
        "scale them to one size or take both out of the set"
    )


def odd(width: int) -> str:
    """Say that a file can't hold two pictures."""
    return (
        f"is {width} pixels wide, which isn't two pictures beside each other; make it anew or take "
        "it out of the set"
    )


def _alone(files: StringTable) -> ImageIndex:
    count = len(files)
    return ImageIndex((), np.arange(count), np.zeros((count, 0), np.bool_), files)


def _kept(files: StringTable, keep: NDArray[np.bool_]) -> StringTable:
    return StringTable([files[i] for i in np.flatnonzero(keep).tolist()])


def size_of(image: Image) -> tuple[int, int]:
    """Height and width of a picture."""
    return image.shape[0], image.shape[1]
