"""Pictures with boxes, as samples on the run's canvas."""

import logging

import numpy as np
from torch.utils.data import Dataset

from visionkit.data.cache import ImageCache
from visionkit.data.index import DetectionIndex
from visionkit.data.mosaic import Picture
from visionkit.data.samplers import SampleKey
from visionkit.data.transforms import DetectionAugment
from visionkit.geometry import Image, Letterbox, read_image
from visionkit.sample import Boxes, ImageMeta, Sample

log = logging.getLogger(__name__)


class DetectionDataset(Dataset[Sample]):
    """A split for evaluation (asked by position) or for training (asked by :class:`SampleKey`).

    Args:
        index: the split.
        canvas: height and width.
        augment: makes training samples; None for evaluation.
        seed: with epoch and position it settles all chance of a sample.
        cache: decoded pictures, scaled to the canvas.
    """

    def __init__(
        self,
        index: DetectionIndex,
        canvas: tuple[int, int],
        augment: DetectionAugment | None = None,
        seed: int = 0,
        cache: ImageCache | None = None,
    ) -> None:
        self.index, self.canvas = index, canvas
        self.augment, self.seed, self.cache = augment, seed, cache
        self._warned = False

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, key: int | SampleKey) -> Sample:
        if not isinstance(key, SampleKey):
            return self._whole(key, self.canvas)
        if self.augment is None:
            return self._whole(key.index, key.canvas)
        rng = np.random.default_rng((self.seed, key.epoch, key.index))
        return self.augment(
            key.index,
            lambda i: self._picture(i, key.canvas),
            len(self),
            key.canvas,
            key.whole,
            rng,
        )

    def _whole(self, i: int, canvas: tuple[int, int]) -> Sample:
        image = self._read(i)
        box = Letterbox((image.shape[0], image.shape[1]), canvas)
        boxes, labels = self.index.targets(i, box.size)
        return Sample(
            image=box.apply(image),
            target=Boxes(box.to_canvas(boxes), labels),
            meta=ImageMeta(int(self.index.image_ids[i]), str(self.index.path(i)), box),
        )

    def _read(self, i: int) -> Image:
        stated = self.index.size(i)
        image = read_image(self.index.path(i), stated)
        if stated and not self._warned:
            off = [abs(a - b) for a, b in zip(stated, image.shape[:2], strict=True)]
            if max(off) > 1:
                self._warned = True
                log.warning(
                    "%s: is %d x %d pixels, the annotations say %d x %d: its boxes, and those of "
                    "others like it, may be in the wrong place; mend the annotations",
                    self.index.path(i),
                    *image.shape[:2],
                    *stated,
                )
        return image

    def _picture(self, i: int, canvas: tuple[int, int]) -> tuple[Picture, ImageMeta]:
        """Picture ``i`` scaled so that it fills ``canvas`` one way, without the pad."""

        def read() -> tuple[Image, tuple[int, int]]:
            image = self._read(i)
            size = (image.shape[0], image.shape[1])
            return Letterbox(size, canvas).resize(image), size

        cached = self.cache is not None and canvas == self.canvas
        image, size = self.cache.get(i, read) if cached and self.cache else read()
        boxes, labels = self.index.targets(i, size)
        factor = np.array([image.shape[1] / size[1], image.shape[0] / size[0]], np.float32)
        target = Boxes((boxes * np.tile(factor, 2)).astype(np.float32), labels)
        meta = ImageMeta(
            int(self.index.image_ids[i]), str(self.index.path(i)), Letterbox(size, canvas)
        )
        return (image, target), meta
