"""A whole split of pictures that are labelled for several parts of one network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from visionkit.data.cache import ImageCache
from visionkit.data.class_index import ClassIndex
from visionkit.data.index import DataInfo, DetectionIndex
from visionkit.data.mask_index import MaskIndex
from visionkit.data.strings import StringTable
from visionkit.errors import DataError
from visionkit.geometry import Image, read_image
from visionkit.sample import Boxes, Labels, Mask

if TYPE_CHECKING:
    from torch.utils.data import Dataset

    from visionkit.data.augment import Augment

Known = DetectionIndex | MaskIndex | ClassIndex
"""Whose labels can be told without reading the picture."""
Truth = Boxes | Mask | Labels


@dataclass(frozen=True)
class JoinedSet:
    """N pictures, each with a label for every part.

    Attributes:
        parts: the index of each part's labels, by the part's name.
        rows: [N] int64 for each part, where the pictures stand in its index.
    """

    parts: Mapping[str, Known]
    rows: Mapping[str, NDArray[np.int64]]

    def __len__(self) -> int:
        return len(next(iter(self.rows.values())))

    def only(self, keep: NDArray[np.bool_]) -> "JoinedSet":
        """The pictures for which ``keep``, [N], is true."""
        return replace(self, rows={name: rows[keep] for name, rows in self.rows.items()})

    def of(self, part: str) -> Known:
        """The index of a part without the pictures that aren't in the set; in its own order."""
        index = self.parts[part]
        kept = index.only(np.isin(np.arange(len(index)), self.rows[part]))
        assert isinstance(kept, Known)
        return kept

    def ids(self, part: str) -> NDArray[np.int64]:
        """The image ids that the index of a part has, [N]."""
        return np.asarray(self.parts[part].image_ids[self.rows[part]], np.int64)

    def path(self, i: int) -> str:
        """The file of picture ``i``, empty for pixels in memory."""
        part = next(iter(self.parts))
        return str(self.parts[part].path(int(self.rows[part][i])))

    def read(self, i: int) -> tuple[Image, dict[str, NDArray[np.uint8]]]:
        """Picture ``i``, [H, W, 3] uint8 RGB, and the masks, [H, W], of the parts that have one.

        Raises:
            DataError: the picture or a mask can't be read, or their sizes differ.
        """
        at = {name: int(rows[i]) for name, rows in self.rows.items()}
        masks = {n: p.mask(at[n]) for n, p in self.parts.items() if isinstance(p, MaskIndex)}
        image = self._image(at, masks)
        size = (image.shape[0], image.shape[1])
        for name, labels in masks.items():
            index = self.parts[name]
            if labels.shape != size and isinstance(index, MaskIndex):
                raise index.wrong_size(at[name], (labels.shape[0], labels.shape[1]), size)
        return image, masks

    def truths(
        self, i: int, size: tuple[int, int], masks: Mapping[str, NDArray[np.uint8]]
    ) -> dict[str, Truth]:
        """The labels of picture ``i`` by part.

        Args:
            i: its place.
            size: its own height and width, in whose pixels boxes are given.
            masks: of the parts that have one, at any size.
        """
        found: dict[str, Truth] = {}
        for name, index in self.parts.items():
            at = int(self.rows[name][i])
            if isinstance(index, DetectionIndex):
                found[name] = Boxes(*index.targets(at, size))
            elif isinstance(index, ClassIndex):
                found[name] = Labels(index.values(at))
            else:
                found[name] = Mask(masks[name])
        return found

    def _image(self, at: Mapping[str, int], masks: Mapping[str, NDArray[np.uint8]]) -> Image:
        """The picture, turned as the labels that have places were drawn."""
        for name, index in self.parts.items():
            if isinstance(index, DetectionIndex):
                return index.image(at[name])
        for name, labels in masks.items():
            return read_image(self.parts[name].path(at[name]), (labels.shape[0], labels.shape[1]))
        name = next(iter(self.parts))
        return self.parts[name].image(at[name])


@dataclass(frozen=True)
class JointIndex:
    """One split: the pictures of one or several sets, one set after the other.

    Attributes:
        sets: of different pictures; no two have a part of the same name.
        warnings: what was mended while reading, one line each.
    """

    sets: tuple[JoinedSet, ...]
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return sum(self.groups)

    @property
    def groups(self) -> tuple[int, ...]:
        """How many pictures each set has; batches are of one set."""
        return tuple(len(one) for one in self.sets)

    @property
    def image_ids(self) -> NDArray[np.int64]:
        """[N] int64: of one set those of its first part, of several 0, 1, 2 ..."""
        if len(self.sets) == 1:
            return self.sets[0].ids(next(iter(self.sets[0].parts)))
        return np.arange(len(self), dtype=np.int64)

    @property
    def files(self) -> StringTable:
        """Paths of the pictures."""
        return StringTable([one.path(i) for one in self.sets for i in range(len(one))])

    @property
    def indices(self) -> dict[str, Known]:
        """The index of each part, by the part's name."""
        return {name: index for one in self.sets for name, index in one.parts.items()}

    @property
    def classes(self) -> tuple[str, ...]:
        """Those of all parts, such as ``detection/circle``."""
        return tuple(f"{n}/{c}" for n, index in self.indices.items() for c in index.classes)

    @property
    def kind(self) -> str:
        """Labels of several kinds."""
        return "parts"

    @property
    def exclusive(self) -> bool:
        """Each part says it for itself."""
        return False

    @property
    def grey(self) -> bool:
        """Nothing is known before pictures are read."""
        return False

    def infos(self, canvas: tuple[int, int]) -> dict[str, DataInfo]:
        """What the head of each part is built from."""
        mine = {name: one.of(name) for one in self.sets for name in one.parts}
        return {
            n: DataInfo(index.classes, canvas, index.kind, index.counts, index.exclusive)
            for n, index in mine.items()
        }

    def counts(self) -> NDArray[np.int64]:
        """How much there is of each class, [K], in the order of :attr:`classes`."""
        each = [one.of(name).counts() for one in self.sets for name in one.parts]
        return np.concatenate(each)

    def weights(self) -> NDArray[np.float64]:
        """How often to draw each picture, [N]: the mean of what its parts want."""
        return np.concatenate([_weights(one) for one in self.sets])

    def untrainable(self) -> str | None:
        """See :class:`visionkit.data.index.Index`: every part must have something to learn."""
        for one in self.sets:
            for name in one.parts:
                reason = one.of(name).untrainable()
                if reason is not None:
                    return f"{name}: {reason}"
        return None

    def only(self, keep: NDArray[np.bool_]) -> "JointIndex":
        """See :class:`visionkit.data.index.Index`."""
        ends = np.cumsum(self.groups)[:-1]
        kept = zip(self.sets, np.split(keep, ends), strict=True)
        return replace(self, sets=tuple(one.only(mine) for one, mine in kept))

    def with_classes(self, classes: tuple[str, ...]) -> "JointIndex":
        """See :class:`visionkit.data.index.Index`.

        Raises:
            DataError: the splits have different classes; they are to be mended in the files.
        """
        odd = sorted(set(classes) ^ set(self.classes))
        which = f", such as {odd[0]}" if odd else " or orders of them"
        raise DataError(
            f"data.root: its splits have different classes{which}; mend the files, sets with "
            "several kinds of labels are taken as they are"
        )

    def place(self, i: int) -> tuple[JoinedSet, int]:
        """The set that picture ``i`` is of, and where it stands there."""
        for one in self.sets:
            if i < len(one):
                return one, i
            i -= len(one)
        raise IndexError(i)

    def path(self, i: int) -> str:
        """The file of picture ``i``."""
        one, at = self.place(i)
        return one.path(at)

    def image(self, i: int) -> Image:
        """Picture ``i``, [H, W, 3] uint8 RGB, turned as its labels were drawn."""
        one, at = self.place(i)
        return one.read(at)[0]

    def cached_bytes(self, canvas: tuple[int, int], augment: "Augment | None" = None) -> int:
        """What a dataset comes to keep in a cache: of each pixel its colours and its labels."""
        masks = sum(isinstance(index, MaskIndex) for index in self.indices.values())
        return ImageCache.size(len(self), *canvas, 3 + masks)

    def dataset(
        self,
        canvas: tuple[int, int],
        augment: "Augment | None" = None,
        seed: int = 0,
        cache: ImageCache | None = None,
    ) -> "Dataset[Any]":
        """See :class:`visionkit.data.index.Index`.

        Raises:
            ConfigError: the augmentation isn't for labels of several kinds.
        """
        from visionkit.data.joint_dataset import JointDataset

        return JointDataset(self, canvas, augment, seed, cache)


def _weights(one: JoinedSet) -> NDArray[np.float64]:
    """How often to draw each picture of a set; its pictures sum up to their number."""
    each: Sequence[NDArray[np.float64]] = [
        index.weights()[one.rows[name]] for name, index in one.parts.items()
    ]
    return np.asarray(np.mean([w / w.mean() for w in each], axis=0), np.float64)
