"""Pictures with boxes, as samples on the run's canvas."""

import logging

import numpy as np
from torch.utils.data import Dataset

from visionkit.data.augment import Augment, suited
from visionkit.data.augment_boxes import DetectionAugment
from visionkit.data.cache import ImageCache
from visionkit.data.defects import naming_way_out
from visionkit.data.index import DetectionIndex
from visionkit.data.mosaic import Picture
from visionkit.data.samplers import SampleKey
from visionkit.geometry import Image, Letterbox
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

    Raises:
        ConfigError: ``augment`` is for another kind of sample.
    """

    def __init__(
        self,
        index: DetectionIndex,
        canvas: tuple[int, int],
        augment: Augment | None = None,
        seed: int = 0,
        cache: ImageCache | None = None,
    ) -> None:
        self.augment = suited(augment, DetectionAugment, "pictures with boxes", "detection")
        self.index, self.canvas = index, canvas
        self.seed, self.cache = seed, cache
        self._warned = False

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, key: int | SampleKey) -> Sample:
        if not isinstance(key, SampleKey):
            return self._whole(key, self.canvas)
        if self.augment is None:
            return self._whole(key.index, key.canvas)
        rng = np.random.default_rng((self.seed, key.epoch, key.index, key.draw))
        return self.augment(
            key.index,
            lambda i: self._picture(i, key.canvas),
            len(self),
            key.canvas,
            key.whole,
            rng,
        )

    def _whole(self, i: int, canvas: tuple[int, int]) -> Sample:
        image, meta = self._scaled(i, canvas)
        boxes, labels = self.index.targets(i, meta.letterbox.size)
        target = Boxes(meta.letterbox.to_canvas(boxes), labels)
        return Sample(meta.letterbox.frame(image), target, meta)

    def _read(self, i: int) -> Image:
        stated = self.index.size(i)
        with naming_way_out():
            image = self.index.image(i)
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

    def _scaled(self, i: int, canvas: tuple[int, int]) -> tuple[Image, ImageMeta]:
        """Picture ``i`` scaled so that it fills ``canvas`` one way, without the pad."""

        def read() -> tuple[Image, tuple[int, int]]:
            image = self._read(i)
            size = (image.shape[0], image.shape[1])
            return Letterbox(size, canvas).resize(image), size

        cached = self.cache is not None and canvas == self.canvas
        image, size = self.cache.get(i, read) if cached and self.cache else read()
        image_id, path = int(self.index.image_ids[i]), str(self.index.path(i))
        return image, ImageMeta(image_id, path, Letterbox(size, canvas))

    def _picture(self, i: int, canvas: tuple[int, int]) -> tuple[Picture, ImageMeta]:
        image, meta = self._scaled(i, canvas)
        height, width = meta.letterbox.size
        boxes, labels = self.index.targets(i, (height, width))
        factor = np.array([image.shape[1] / width, image.shape[0] / height], np.float32)
        return (image, Boxes((boxes * np.tile(factor, 2)).astype(np.float32), labels)), meta
