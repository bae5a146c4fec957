"""Looking at every picture of a set once, several at a time."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from visionkit.data.class_index import ClassIndex
from visionkit.data.cores import cores
from visionkit.data.defects import Defect
from visionkit.data.index import DetectionIndex, Index
from visionkit.data.mask_index import MaskIndex
from visionkit.data.pair_index import PairIndex, UnpairedIndex
from visionkit.doctor.masks import look_at_mask
from visionkit.doctor.overheard import Said, damage, overhearing
from visionkit.doctor.pictures import REPLACE, Look, digest_of, look_at
from visionkit.errors import DataError
from visionkit.geometry import read_image

_PART = 32
"""Pictures for each thread, after which it is seen whether any was damaged."""


def scan(
    splits: Mapping[str, Index], threads: int | None = None, console: Console | None = None
) -> dict[str, list[Look]]:
    """Look at the pictures of each split, and at their masks if there are any, in order.

    Args:
        splits: by name. Indices that hold neither files nor pixels have no pictures to look at.
        threads: pictures decoded at a time; as many as there are cores unless given.
        console: where the progress bar goes if it is a terminal; the error stream unless given.
    """
    threads = threads or cores()
    found: dict[str, list[Look]] = {}
    with (
        _quiet(),
        overhearing() as (said, stream),
        _bar(console or Console(file=stream)) as bar,
        ThreadPoolExecutor(threads) as pool,
    ):
        task = bar.add_task("pictures", total=sum(len(index) for index in splits.values()))
        for split, index in splits.items():
            looks: list[Look] = []
            if isinstance(index, ClassIndex) and index.pixels is not None:
                for image in index.pixels:
                    looks.append(Look((image.shape[0], image.shape[1]), digest=digest_of(image)))
                    bar.advance(task)
            for part in _parts(index, _PART * threads):
                for look in pool.map(partial(_look, split, index), part):
                    looks.append(look)
                    bar.advance(task)
                if damage(said()):  # of which picture can't be told but by reading them one by one
                    for i in part:
                        looks[i] = _listened(looks[i], split, index, i, said)
            found[split] = looks
    return found


def _parts(index: Index, count: int) -> Iterator[range]:
    """So many pictures that are files at a time."""
    if getattr(index, "files", None) is not None:
        for start in range(0, len(index), count):
            yield range(start, min(start + count, len(index)))


def _look(split: str, index: Index, i: int) -> Look:
    """What picture ``i`` is, and its mask."""
    path = path_of(split, index, i)
    if not isinstance(index, MaskIndex):
        return look_at(path, _stated(index, i), split)
    mask = look_at_mask(index, i, split)
    look = look_at(path, mask.size, split, index.mask_name(i))
    return replace(look, mask=mask, defects=(*look.defects, *mask.defects))


def _listened(look: Look, split: str, index: Index, i: int, said: Said) -> Look:
    """The same look, with a defect if it is at a damaged JPEG file."""
    if not look.form.startswith(("JPEG ", "MPO ")):
        return look
    path = path_of(split, index, i)
    said()
    try:
        read_image(path, look.mask.size if look.mask else _stated(index, i))
    except DataError:  # it has changed since
        return look
    what = damage(said())
    if not what:
        return look
    cause = f"is read in part only ({what})"
    defect = Defect("damaged", path, cause, REPLACE, "noted", split)
    return replace(look, defects=(*look.defects, defect))


def path_of(split: str, index: Index, i: int) -> str:
    """The file of picture ``i``; of pixels in memory, ``split[i]``."""
    if isinstance(index, ClassIndex) and index.files is None:
        return f"{split}[{i}]"
    known = (ClassIndex, DetectionIndex, MaskIndex, PairIndex, UnpairedIndex)
    return str(index.path(i)) if isinstance(index, known) else ""


def shapes_of(looks: Sequence[Look], index: Index) -> NDArray[np.int64]:
    """Height and width of each picture as training sees it, [N, 2]; 0 0 where unknown.

    A picture that can't be read has the size that the annotations state.
    """
    sizes = np.zeros((len(index), 2), np.int64)
    for i, look in enumerate(looks):
        sizes[i] = look.size or (look.mask and look.mask.size) or _stated(index, i) or (0, 0)
    return sizes


def _stated(index: Index, i: int) -> tuple[int, int] | None:
    return index.size(i) if isinstance(index, DetectionIndex) else None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Pillow's warnings of odd headers back; filters are global, so not thread by thread."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
