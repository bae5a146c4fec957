"""A whole split in a few flat arrays.

Lists of Python objects are touched by every reader's reference counts, so that forked workers copy
them page by page; arrays are not. An index of COCO's 118k pictures takes about 55 MB, shared.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from visionkit.data.info import DataInfo as DataInfo
from visionkit.data.strings import StringTable
from visionkit.geometry import Image, read_image

if TYPE_CHECKING:
    from torch.utils.data import Dataset

    from visionkit.data.augment import Augment
    from visionkit.data.cache import ImageCache


class Index(Protocol):
    """One split of any kind of set: N pictures, K classes.

    Attributes:
        image_ids: [N] int64, unique.
        classes: names by label.
        warnings: what was mended while reading, one line each.
        kind: what is labelled, ``boxes``, ``classes`` or ``masks``; ``images`` where nothing is;
            or that there is another picture for each: its own (``pairs``), or any of a second
            list (``unpaired``); ``parts`` where there are labels of several kinds.
        exclusive: whether what is labelled (a picture, an object, a pixel) has one class only.
        grey: whether every picture is known to be grey, without reading it.
    """

    @property
    def image_ids(self) -> NDArray[np.int64]: ...  # noqa: D102

    @property
    def classes(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def warnings(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def kind(self) -> str: ...  # noqa: D102

    @property
    def exclusive(self) -> bool: ...  # noqa: D102

    @property
    def grey(self) -> bool: ...  # noqa: D102

    def __len__(self) -> int: ...

    def counts(self) -> NDArray[np.int64]:
        """How many pictures, objects or pixels there are of each class, [K]."""
        ...

    def weights(self) -> NDArray[np.float64]:
        """How often to draw each picture, [N], so that classes come about equally often."""
        ...

    def untrainable(self) -> str | None:
        """Say why nothing can be learned from the split, if so."""
        ...

    def only(self, keep: NDArray[np.bool_]) -> "Index":
        """The split with those of its pictures for which ``keep``, [N], is true."""
        ...

    def with_classes(self, classes: tuple[str, ...]) -> "Index":
        """The split with another list of classes; what is of none of them is left out."""
        ...

    def dataset(
        self,
        canvas: tuple[int, int],
        augment: "Augment | None" = None,
        seed: int = 0,
        cache: "ImageCache | None" = None,
    ) -> "Dataset[Any]":
        """The split's samples on a canvas of (height, width).

        Asked by position they are those of evaluation, by
        :class:`visionkit.data.samplers.SampleKey` those of training. A dataset with a true
        ``batched`` is asked by lists of these and gives whole batches.
        """
        ...


Layout = Callable[[Path, str], Index | None]
"""Reads one split of a folder; None where the set has no such split."""


@dataclass(frozen=True)
class DetectionIndex:
    """One split of a detection set: N pictures, M annotations, K classes.

    Annotations stand in the order of their pictures: those of picture ``i`` are
    ``first[i]:first[i + 1]``. They are the split's raw truth (evaluation needs crowds and the
    file's own areas); :meth:`targets` gives what training may use.

    Attributes:
        files: paths of the pictures.
        image_ids: [N] int64, unique.
        sizes: [N, 2] int32, height and width as the annotation file states them, 0 0 if it doesn't.
        first: [N + 1] int64.
        boxes: [M, 4] float64, ``x1 y1 width height`` in original pixels.
        labels: [M] int64, 0..K-1.
        areas: [M] float64, the file's own areas (of the mask, in COCO), in pixels.
        crowd: [M] bool.
        annotation_ids: [M] int64, unique and never 0.
        classes: names by label.
        category_ids: the data set's own id for each label (gaps are kept).
        warnings: what was mended while reading, one line each.
        repeats: [M] bool, those that repeat an earlier annotation and so don't train; None for
            none.
    """

    files: StringTable
    image_ids: NDArray[np.int64]
    sizes: NDArray[np.int32]
    first: NDArray[np.int64]
    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    areas: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    annotation_ids: NDArray[np.int64]
    classes: tuple[str, ...]
    category_ids: tuple[int, ...]
    warnings: tuple[str, ...] = ()
    repeats: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def kind(self) -> str:
        """Boxes."""
        return "boxes"

    @property
    def exclusive(self) -> bool:
        """A box has one class."""
        return True

    @property
    def grey(self) -> bool:
        """Nothing is known before pictures are read."""
        return False

    def counts(self) -> NDArray[np.int64]:
        """How many boxes there are of each class, [K], crowds left out."""
        return np.bincount(self.labels[~self.crowd], minlength=len(self.classes)).astype(np.int64)

    def weights(self) -> NDArray[np.float64]:
        """How often to draw each picture, [N]: by the rarest class in it."""
        rarity = 1 / np.maximum(self.counts(), 1)
        owner = np.repeat(np.arange(len(self)), np.diff(self.first))
        # a picture without boxes is drawn as often as one of the commonest class
        weights = np.full(len(self), rarity.min() if len(rarity) else 1.0)
        real = ~self.crowd
        np.maximum.at(weights, owner[real], rarity[self.labels[real]])
        return weights

    def untrainable(self) -> str | None:
        """See :class:`Index`."""
        owner = np.repeat(np.arange(len(self)), np.diff(self.first))
        size = self.sizes[owner][:, ::-1].astype(np.float64)
        low, high = self.boxes[:, :2], self.boxes[:, :2] + self.boxes[:, 2:]
        inside = np.minimum(high, np.where(size > 0, size, np.inf)) > np.maximum(low, 0)
        learned = inside.all(1) & ~self.crowd  # as targets() has it
        if self.repeats is not None:
            learned &= ~self.repeats
        return None if learned.any() else "no picture has a box to learn from"

    def dataset(
        self,
        canvas: tuple[int, int],
        augment: "Augment | None" = None,
        seed: int = 0,
        cache: "ImageCache | None" = None,
    ) -> "Dataset[Any]":
        """See :class:`Index`."""
        from visionkit.data.detection import DetectionDataset

        return DetectionDataset(self, canvas, augment, seed, cache)

    def only(self, keep: NDArray[np.bool_]) -> "DetectionIndex":
        """See :class:`Index`."""
        kept = np.flatnonzero(keep)
        counts = np.diff(self.first)
        rows = np.repeat(keep, counts)
        return replace(
            self._rows(rows, np.concatenate([[0], np.cumsum(counts[kept])])),
            files=StringTable([self.files[i] for i in kept.tolist()]),
            image_ids=self.image_ids[kept],
            sizes=self.sizes[kept],
        )

    def with_classes(self, classes: tuple[str, ...]) -> "DetectionIndex":
        """See :class:`Index`."""
        new = {name: label for label, name in enumerate(classes)}
        labels = np.array([new.get(name, -1) for name in self.classes], np.int64)[self.labels]
        rows = labels >= 0
        first = np.concatenate([[0], np.cumsum(rows)])[self.first]
        mine = dict(zip(self.classes, self.category_ids, strict=True))
        free = itertools.count(1 + max((0, *self.category_ids)))
        return replace(
            self._rows(rows, first),
            labels=labels[rows],
            classes=classes,
            category_ids=tuple(mine[c] if c in mine else next(free) for c in classes),
        )

    def _rows(self, rows: NDArray[np.bool_], first: NDArray[np.int64]) -> "DetectionIndex":
        """Keep some annotations, which then begin at ``first``."""
        return replace(
            self,
            first=first,
            boxes=self.boxes[rows],
            labels=self.labels[rows],
            areas=self.areas[rows],
            crowd=self.crowd[rows],
            annotation_ids=self.annotation_ids[rows],
            repeats=None if self.repeats is None else self.repeats[rows],
        )

    def path(self, i: int) -> Path:
        """The file of picture ``i``."""
        return Path(self.files[i])

    def image(self, i: int) -> Image:
        """Picture ``i``, [H, W, 3] uint8 RGB, turned as its boxes were drawn.

        Raises:
            DataError: its file is missing, truncated, or no picture.
        """
        return read_image(self.path(i), self.size(i))

    def size(self, i: int) -> tuple[int, int] | None:
        """Height and width of picture ``i`` as the annotations state them, if they do."""
        height, width = self.sizes[i].tolist()
        return (height, width) if height and width else None

    def targets(
        self, i: int, size: tuple[int, int]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Boxes [n, 4] (``x1 y1 x2 y2``) and labels [n] of picture ``i`` that training may use.

        Crowds and repeats are left out; boxes are clipped to the picture of ``size`` (height,
        width), and those with no area left are dropped.
        """
        here = slice(int(self.first[i]), int(self.first[i + 1]))
        boxes = self.boxes[here].copy()
        boxes[:, 2:] += boxes[:, :2]
        height, width = size
        np.clip(boxes[:, 0::2], 0, width, out=boxes[:, 0::2])
        np.clip(boxes[:, 1::2], 0, height, out=boxes[:, 1::2])
        keep = ~self.crowd[here] & ((boxes[:, 2:] - boxes[:, :2]) > 0).all(1)
        if self.repeats is not None:
            keep &= ~self.repeats[here]
        return boxes[keep].astype(np.float32), self.labels[here][keep]
