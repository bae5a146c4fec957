"""What a person points at (files, folders, patterns, arrays), as pictures on the canvas.

No torch: exported files are run on the same pictures.
"""

import glob
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from visionkit.errors import DataError
from visionkit.geometry import IMAGE_SUFFIXES, Image, Letterbox, Padded, read_image
from visionkit.sample import Boxes, ImageMeta, Sample

Source = Any
"""A path, folder or glob pattern (str or PathLike), a uint8 array, or a list or tuple of these."""

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def find(source: Source) -> list[Path | Image]:
    """List the pictures that ``source`` means, in order: a path each, or the array itself.

    A folder gives the pictures directly in it, sorted; the pattern ``folder/**`` also those of its
    folders. A file that exists is never taken for a pattern, whatever its name.

    Raises:
        DataError: a path isn't there, a folder or pattern has no pictures, or an array isn't
            [H, W, 3] or [H, W] uint8.
        TypeError: ``source`` is something else.
    """
    if isinstance(source, np.ndarray):
        return [_as_rgb(source)]
    if isinstance(source, (str, PathLike)):
        return list(_find_files(str(source)))
    if isinstance(source, Iterable) and not isinstance(source, (bytes, dict)):
        items: list[Path | Image] = []
        for n, item in enumerate(source):
            try:
                items += find(item)
            except DataError as error:
                raise DataError(f"source {n}: {error}") from error
        if not items:
            raise DataError("source: the list is empty; give at least one picture")
        return items
    raise TypeError(
        f"source must be a path, a folder, a pattern, a uint8 array or a list of these, "
        f"got {type(source).__name__}"
    )


def _as_rgb(array: np.ndarray[Any, np.dtype[Any]]) -> Image:
    grey = array.ndim == 2
    if array.dtype != np.uint8 or not (grey or (array.ndim == 3 and array.shape[2] == 3)):
        shape = "x".join(map(str, array.shape))
        raise DataError(
            f"array of {array.dtype} {shape}: pictures are uint8, [H, W, 3] RGB or [H, W] grey; "
            "convert it first"
        )
    if not array.size:
        raise DataError("array: the picture has no pixels; leave it out")
    return np.ascontiguousarray(np.repeat(array[..., None], 3, 2) if grey else array)


def _is_picture(path: Path) -> bool:
    hidden = path.name.startswith(".")
    return path.suffix.lower() in IMAGE_SUFFIXES and not hidden and path.is_file()


def _find_files(text: str) -> list[Path]:
    path = Path(text).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if _is_picture(p))
        if not files:
            nested = f"; those of nested folders are {path}/**" if _has_nested(path) else ""
            raise DataError(f"{text}: no picture in this folder{nested}; {_kinds()}")
        return files
    if not glob.has_magic(text):
        raise DataError(f"{text}: no such file or folder; check the path")
    found = sorted({Path(p) for p in glob.glob(str(path), recursive=True)})
    files = [p for p in found if _is_picture(p)]
    if not files:
        raise DataError(f"{text}: the pattern matches no picture; {_kinds()}")
    return files


def _has_nested(folder: Path) -> bool:
    return any(_is_picture(p) for p in folder.rglob("*"))


def _kinds() -> str:
    return "pictures end in " + " ".join(sorted(IMAGE_SUFFIXES))


def read_samples(
    items: Iterable[Path | Image],
    canvas: tuple[int, int],
    errors: list[DataError] | None = None,
    window: tuple[int, int] | None = None,
    workers: int = 0,
    ahead: int = 0,
) -> Iterator[tuple[Sample, Image]]:
    """Read pictures one by one and put each on the canvas, just as evaluation does.

    Args:
        items: what :func:`find` gave, or any of its like, taken as they are needed.
        canvas: height and width that the model sees.
        errors: pictures that can't be read are noted here and left out; without it, the first
            raises.
        window: height and width. With it, each picture keeps its own pixels, on a canvas of its own
            size that is at least so large.
        workers: threads that read while the caller computes; 0 to read in the caller's own.
        ahead: pictures that are read before they are asked for; at least one for each worker.

    Yields:
        The sample (its image is the canvas; ``meta.image_id`` counts the items, ``meta.path`` is
        empty for arrays) and the picture in its own pixels, [H, W, 3] uint8 RGB.

    Raises:
        DataError: a picture can't be read, and ``errors`` isn't given.
    """

    def read(numbered: tuple[int, Path | Image]) -> tuple[Sample, Image] | DataError:
        number, item = numbered
        try:
            image = read_image(item) if isinstance(item, Path) else item
        except DataError as error:
            return error
        size = (image.shape[0], image.shape[1])
        letterbox = Padded.around(size, window) if window else Letterbox(size, canvas)
        path = str(item) if isinstance(item, Path) else ""
        return Sample(letterbox.apply(image), Boxes(), ImageMeta(number, path, letterbox)), image

    for got in in_order(read, enumerate(items), workers, ahead):
        if not isinstance(got, DataError):
            yield got
        elif errors is None:
            raise got
        else:
            errors.append(got)


def in_order(
    work: Callable[[Item], Answer], items: Iterable[Item], workers: int, ahead: int = 0
) -> Iterator[Answer]:
    """Do ``work`` for each item in threads, ahead of who asks; answers come in order.

    Args:
        work: for threads.
        items: taken in the caller's thread, only as far ahead as is worked.
        workers: threads; 0 to do the work when it is asked for.
        ahead: answers that wait at most, at least one for each worker.
    """
    if not workers:
        yield from map(work, items)
        return
    waiting: deque[Future[Answer]] = deque()
    pool = ThreadPoolExecutor(workers, "reader")
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > max(workers, ahead):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:  # the caller may have had enough
        pool.shutdown(wait=False, cancel_futures=True)
