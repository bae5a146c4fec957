"""A whole split of pictures without labels."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from visionkit.data.class_index import ClassIndex
from visionkit.errors import ConfigError
from visionkit.geometry import Image, centred_square

if TYPE_CHECKING:
    from torch.utils.data import Dataset

    from visionkit.data.augment import Augment
    from visionkit.data.cache import ImageCache


@dataclass(frozen=True)
class ImageIndex(ClassIndex):
    """One split of N pictures of no class: ``labels`` is [N, 0].

    Attributes:
        square: whether each picture is cut to its centred square.
    """

    square: bool = False

    @property
    def kind(self) -> str:
        """Pictures alone."""
        return "images"

    def untrainable(self) -> str | None:
        """See :class:`visionkit.data.index.Index`: any picture will do."""
        return None

    def image(self, i: int) -> Image:
        """Picture ``i``, [H, W, 3] uint8 RGB; see :attr:`square`.

        Raises:
            DataError: its file is missing, truncated, or no picture.
        """
        image = super().image(i)
        return centred_square(image) if self.square else image

    def dataset(
        self,
        canvas: tuple[int, int],
        augment: "Augment | None" = None,
        seed: int = 0,
        cache: "ImageCache | None" = None,
    ) -> "Dataset[Any]":
        """See :class:`visionkit.data.class_index.ClassIndex`.

        Raises:
            ConfigError: the augmentation isn't for such pictures, or squares don't fit the canvas.
        """
        if self.square and canvas[0] != canvas[1]:
            raise ConfigError(
                f"data.image_size: [{canvas[0]}, {canvas[1]}] is no square, which pictures are cut "
                "to; choose N or data.layout.fit=letterbox"
            )
        return super().dataset(canvas, augment, seed, cache)
