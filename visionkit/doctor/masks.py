"""What the masks of a split hold, and what is wrong with them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from visionkit.data.defects import WAY_OUT, Defect, Effect
from visionkit.data.dropping import kind_of
from visionkit.data.mask_index import MaskIndex
from visionkit.errors import DataError
from visionkit.results import VOID

if TYPE_CHECKING:
    from visionkit.doctor.pictures import Look

MOSTLY = 0.5
"""Part of a split, from which on something is most of it."""


@dataclass(frozen=True)
class MaskLook:
    """What a mask is.

    Attributes:
        size: height and width; None where it can't be read.
        pixels: [K + 1] int64, how many have each class, and how many are void; None likewise.
        digest: of its labels; None likewise.
        defects: what is wrong with it.
    """

    size: tuple[int, int] | None = None
    pixels: NDArray[np.int64] | None = None
    digest: bytes | None = None
    defects: tuple[Defect, ...] = ()


def look_at_mask(index: MaskIndex, i: int, split: str = "") -> MaskLook:
    """Read the mask of a picture as training does, and count its pixels.

    Args:
        index: the split.
        i: which picture.
        split: for the defects.
    """
    name = index.mask_name(i)

    def defect(kind: str, cause: str, mend: str, effect: Effect) -> Defect:
        return Defect(kind, name, cause, mend, effect, split)

    try:
        labels = index.mask(i)
    except DataError as error:
        line = str(error).removesuffix(WAY_OUT).removeprefix(f"{name}: ")
        cause, _, mend = line.rpartition("; ")
        return MaskLook(defects=(defect(kind_of(cause, True), cause, mend, "stops"),))
    count = len(index.classes)
    values = np.bincount(labels.ravel(), minlength=VOID + 1)
    pixels = np.append(values[:count], values[VOID]).astype(np.int64)
    found: list[Defect] = []
    beyond = np.flatnonzero(values[count:VOID]) + count
    if len(beyond):
        cause = f"gives pixels the label {beyond[0]}, of {count} classes"
        found.append(defect("unknown-value", cause, "mend what reads it", "stops"))
    elif not pixels[:count].any():
        cause = f"labels no pixel of {index.path(i)}"
        mend = "label it or take it out: nothing is learned from it"
        found.append(defect("void-mask", cause, mend, "noted"))
    digest = hashlib.sha1(str(labels.shape).encode(), usedforsecurity=False)
    digest.update(np.ascontiguousarray(labels).data)
    size = (labels.shape[0], labels.shape[1])
    return MaskLook(size, pixels, digest.digest(), tuple(found))


def mask_pixels(index: MaskIndex, looks: Sequence["Look"]) -> NDArray[np.int64]:
    """How many pixels of each picture have each class, and how many are void, [N, K + 1].

    Args:
        index: the split.
        looks: at its pictures. Masks that can't be read have no pixels.
    """
    pixels = np.zeros((len(index), len(index.classes) + 1), np.int64)
    for i, look in enumerate(looks):
        if look.mask is not None and look.mask.pixels is not None:
            pixels[i] = look.mask.pixels
    return pixels


def mask_defects(root: Path, split: str, index: MaskIndex, looks: Sequence["Look"]) -> list[Defect]:
    """Find what is odd about a split's masks as a whole.

    Args:
        root: the set's folder, which the defects name.
        split: the split's name.
        index: the split.
        looks: at its pictures.
    """
    pixels = mask_pixels(index, looks)
    total, void = int(pixels.sum()), int(pixels[:, -1].sum())
    labelled = pixels[:, :-1]
    found = []
    if total and void > MOSTLY * total:
        cause = f"{100 * void / total:.0f} % of the pixels of {split} are void"
        mend = "see whether values that are void should be classes: they are never learned"
        found.append(Defect("mostly-void", str(root), cause, mend, "noted", split))
    alone = (labelled > 0).sum(1) == 1
    one = np.bincount(labelled[alone].argmax(1), minlength=len(index.classes))
    name = index.classes[int(one.argmax())]
    if len(index.classes) > 1 and one.max() > MOSTLY * len(index):
        cause = f"{one.max():,} of {len(index):,} masks of {split} show nothing but {name}"
        mend = "see whether these pictures are unlabelled: what they show is learned as that"
        found.append(Defect("mostly-empty", str(root), cause, mend, "noted", split))
    return found
