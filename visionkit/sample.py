"""One training or evaluation example before it becomes part of a batch. NumPy only."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from visionkit.geometry import Letterbox


def _no_boxes() -> NDArray[np.float32]:
    return np.zeros((0, 4), np.float32)


@dataclass(frozen=True)
class Boxes:
    """The objects of one picture.

    Attributes:
        boxes: [N, 4] float32, absolute ``x1 y1 x2 y2`` in the pixels of the sample's image.
        labels: [N] int64, 0..K-1.
    """

    boxes: NDArray[np.float32] = field(default_factory=_no_boxes)
    labels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))


@dataclass(frozen=True)
class Labels:
    """The classes of one picture.

    Attributes:
        values: [K] float32, 1 for each class that the picture shows, 0 for the others.
    """

    values: NDArray[np.float32]


@dataclass(frozen=True)
class Mask:
    """The class of each pixel of one picture.

    Attributes:
        labels: [H, W] uint8, 0..K-1, or :data:`visionkit.results.VOID` where nothing is learned.
    """

    labels: NDArray[np.uint8]


@dataclass(frozen=True)
class Picture:
    """Another picture: what one is to be turned into, or one of what it is to look like.

    Attributes:
        image: [H, W, 3] uint8 RGB, of the size of the sample's image.
    """

    image: NDArray[np.uint8]


@dataclass(frozen=True)
class Parts:
    """Several targets of one picture.

    Attributes:
        parts: what each part of a joint network learns, by the part's name.
    """

    parts: Mapping[str, Boxes | Labels | Mask | Picture]


Target = Boxes | Labels | Mask | Picture | Parts


@dataclass(frozen=True)
class ImageMeta:
    """Where a picture came from and how to get back to its own pixels.

    Attributes:
        image_id: the data set's id (COCO's ``image_id``), or the position in the list of files.
        path: the file it was read from, empty for arrays.
        letterbox: the map from original pixels to the canvas, with its inverse.
    """

    image_id: int
    path: str
    letterbox: Letterbox


@dataclass(frozen=True)
class Sample:
    """An image with its target.

    Attributes:
        image: [H, W, 3] uint8 RGB.
        target: what is to be learned; places are in the pixels of ``image``.
        meta: see :class:`ImageMeta`.
    """

    image: NDArray[np.uint8]
    target: Target
    meta: ImageMeta
