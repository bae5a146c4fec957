"""Pictures that are turned into one another, as samples on the run's canvas."""

from collections.abc import Callable

import numpy as np
from torch.utils.data import Dataset

from visionkit.data.augment import Augment, suited
from visionkit.data.augment_pairs import PairAugment
from visionkit.data.cache import ImageCache
from visionkit.data.defects import naming_way_out
from visionkit.data.pair_index import PairIndex, UnpairedIndex, size_of
from visionkit.data.samplers import SampleKey
from visionkit.geometry import Image, Letterbox
from visionkit.sample import ImageMeta, Picture, Sample

Read = tuple[Image, tuple[int, int]]
"""A picture, maybe scaled, and its original height and width."""


class PairDataset(Dataset[Sample]):
    """A split for evaluation (asked by position) or for training (asked by :class:`SampleKey`).

    The target of a sample is the picture's own, or where there are no pairs: in training any of the
    others, drawn anew for each sample; in evaluation number ``i``, beginning again after the last.

    Args:
        index: the split.
        canvas: height and width.
        augment: makes training samples; None for those of evaluation.
        seed: with epoch and position it settles all chance of a sample.
        cache: whether decoded pictures, scaled to what training needs, are kept: any cache says so,
            and two of the right sizes are made beside it.

    Raises:
        ConfigError: ``augment`` is for another kind of sample.
    """

    def __init__(
        self,
        index: PairIndex | UnpairedIndex,
        canvas: tuple[int, int],
        augment: Augment | None = None,
        seed: int = 0,
        cache: ImageCache | None = None,
    ) -> None:
        self.augment = suited(
            augment, PairAugment, "pictures that are turned into one another", "pairs"
        )
        self.index, self.canvas = index, canvas
        self.seed = seed
        self._scaled = kept_size(canvas, augment)
        self._images: ImageCache | None = None
        self._targets: ImageCache | None = None
        if cache is not None:
            self._images = cache.beside("sources", len(index), *self._scaled)
            self._targets = cache.beside("targets", index.others, *self._scaled)

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, key: int | SampleKey) -> Sample:
        if not isinstance(key, SampleKey):
            return self._sample(key, key, self.canvas, None)
        rng = np.random.default_rng((self.seed, key.epoch, key.index, key.draw))
        other = key.index
        if isinstance(self.index, UnpairedIndex):
            other = int(rng.integers(len(self.index.targets)))
        return self._sample(key.index, other, key.canvas, rng)

    def _sample(
        self, i: int, other: int, canvas: tuple[int, int], rng: np.random.Generator | None
    ) -> Sample:
        keeps = rng is not None and canvas == self.canvas
        (image, size), (target, theirs) = self._read(i, other, keeps)
        letterbox = Letterbox(size, canvas)
        if rng is not None and self.augment is not None:
            paired = isinstance(self.index, PairIndex)
            image, target = self.augment(image, target, canvas, paired, rng)
        else:
            image = letterbox.frame(letterbox.resize(image))
            framed = Letterbox(theirs, canvas)
            target = framed.frame(framed.resize(target))
        meta = ImageMeta(int(self.index.image_ids[i]), self.index.path(i), letterbox)
        return Sample(image, Picture(target), meta)

    def _read(self, i: int, other: int, keeps: bool) -> tuple[Read, Read]:
        """Picture ``i`` and the other, from the cache if samples of that canvas are kept."""
        images, targets = (self._images, self._targets) if keeps else (None, None)
        if isinstance(self.index, UnpairedIndex):
            other %= len(self.index.targets)
            source = self._one(images, i, self.index.image)
            return source, self._one(targets, other, self.index.target)
        if images is None or targets is None:
            return self._pair(i)
        kept, partner = images.kept(i), targets.kept(i)
        if kept is None or partner is None:
            (image, size), (target, theirs) = self._pair(i)
            kept, partner = (self._scale(image), size), (self._scale(target), theirs)
            images.keep(i, *kept)
            targets.keep(i, *partner)
        return kept, partner

    def _pair(self, i: int) -> tuple[Read, Read]:
        assert isinstance(self.index, PairIndex)
        with naming_way_out():
            image, target = self.index.pair(i)
        return (image, size_of(image)), (target, size_of(target))

    def _one(self, cache: ImageCache | None, i: int, of: Callable[[int], Image]) -> Read:
        def whole() -> Read:
            with naming_way_out():
                image = of(i)
            return image, size_of(image)

        def scaled() -> Read:
            image, size = whole()
            return self._scale(image), size

        return whole() if cache is None else cache.get(i, scaled)

    def _scale(self, image: Image) -> Image:
        """Scale a picture to what windows are cut from."""
        return Letterbox(size_of(image), self._scaled).resize(image)


def kept_size(canvas: tuple[int, int], augment: Augment | None) -> tuple[int, int]:
    """Height and width that pictures are scaled to before windows of a canvas are cut from them."""
    return augment.enlarged(canvas) if isinstance(augment, PairAugment) else canvas
