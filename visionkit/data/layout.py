"""What the readers of data layouts share: finding files, making an index."""

import os
import posixpath
import struct
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from visionkit.data.box_checks import Where, check_boxes
from visionkit.data.defects import WAY_OUT, is_collecting, lose
from visionkit.data.index import DetectionIndex
from visionkit.data.strings import StringTable
from visionkit.errors import DataError

SPLITS = ("train", "val", "test")

SPLIT_NAMES: Mapping[str, tuple[str, ...]] = {"val": ("val", "valid")}
"""Other names that people give the folder of a split."""

T = TypeVar("T")


def split_names(split: str) -> tuple[str, ...]:
    """Return the folder names that stand for ``split``, the usual one first."""
    return SPLIT_NAMES.get(split, (split,))


def check_root(root: str | Path) -> Path:
    """Return the root of a data set.

    Raises:
        DataError: it isn't a folder.
    """
    root = Path(root)
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "doesn't exist"
        raise DataError(f"{root}: the data set's folder {what}; set data.root to the set's folder")
    return root


def read_text(path: Path) -> str:
    """Read a text file of a data set (UTF-8, with or without a byte order mark).

    Raises:
        DataError: it can't be read, or isn't UTF-8.
    """
    try:
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: isn't UTF-8 text ({error.reason}); save it as UTF-8") from error


def names_in(folder: str | Path) -> frozenset[str]:
    """The names of a folder's entries, from one listing; none where it isn't a folder."""
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries)
    except (OSError, ValueError):  # the latter for a name with a null character
        return frozenset()


def missing_from(folder: Path, names: Iterable[str]) -> list[str]:
    """Return those of ``names`` (with ``/`` between folders) that don't exist under ``folder``.

    Each folder is listed once: asking for 118k files one by one takes minutes on network disks.
    """
    listed: dict[str, frozenset[str]] = {}
    missing = []
    for name in names:
        parent, base = posixpath.split(name)
        if parent not in listed:
            listed[parent] = names_in(folder / parent)
        if base not in listed[parent]:
            missing.append(name)
    return missing


def find_pictures(
    source: Path, names: Sequence[str], folders: Sequence[Path]
) -> tuple[Path, frozenset[str]]:
    """Return the first of ``folders`` that holds all pictures called ``names``.

    Args:
        source: the file that names them, for messages.
        names: relative names, at least one.
        folders: where to look.

    Returns:
        The folder, and the names that it lacks: none, unless somebody collects defects. Then it is
        the folder that lacks the fewest.

    Raises:
        DataError: none of the folders has all of them; or any of them, whoever collects.
    """
    best: tuple[list[str], Path] | None = None
    for folder in folders:
        if not folder.is_dir():
            continue
        missing = missing_from(folder, names)
        if not missing:
            return folder, frozenset()
        if best is None or len(missing) < len(best[0]):
            best = missing, folder
    if best is not None and len(best[0]) < len(names):
        missing, folder = best
        if is_collecting():
            for name in missing:
                lose_missing(f"{folder}/{name}", source)
            return folder, frozenset(missing)
        where, way_out = str(folder), WAY_OUT
    else:
        missing, way_out = list(names), ""
        where = ", ".join(str(f) for f in folders)
    raise DataError(
        f"{source}: {len(missing)} of {len(names)} pictures are missing, first {missing[0]!r} "
        f"(looked in {where}); put the pictures there or take them out of the annotations{way_out}"
    )


def lose_missing(picture: str, source: object) -> None:
    """Go on without a picture that isn't there.

    Args:
        picture: where it should be.
        source: what names it.

    Raises:
        DataError: nobody collects defects.
    """
    lose(
        "missing-file",
        picture,
        f"there is no such picture, but {source} names it",
        "put it there or take it out of the annotations",
    )


def lose_split(split: str, file: object, cause: str, mend: str) -> None:
    """Go on without a split that is empty.

    Raises:
        DataError: it is ``train``, or nobody collects defects.
    """
    if split == "train":
        raise DataError(f"{file}: {cause}; {mend}")
    lose("empty-split", file, cause, mend)


def upright_size(path: str | Path) -> tuple[int, int]:
    """Height and width of a picture once its EXIF orientation is applied, from its header alone.

    Raises:
        DataError: the file is missing or no picture.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                width, height = image.size
                turned = exif_orientation(image) >= 5
    except OSError as error:
        cause = f"can't be read ({error.strerror})" if error.strerror else "isn't a picture"
        raise DataError(f"{path}: {cause}; replace the file or take it out of the set") from error
    except (Image.DecompressionBombError, SyntaxError, ValueError) as error:
        raise DataError(
            f"{path}: isn't a usable picture ({error}); replace the file or take it out of the set"
        ) from error
    return (width, height) if turned else (height, width)


def exif_orientation(image: Image.Image) -> int:
    """The EXIF orientation that OpenCV applies to a picture, 1 (none) to 8."""
    header = image.info.get("exif")  # Image.getexif() would decode a PNG as a whole
    if not header or image.format == "AVIF":  # whose orientation OpenCV doesn't apply
        return 1
    exif = Image.Exif()
    try:
        exif.load(header)
        value = exif.get(0x0112, 1)
    except (OSError, SyntaxError, ValueError, struct.error):
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def make_index(
    *,
    files: Sequence[str],
    sizes: ArrayLike,
    owner: ArrayLike,
    boxes: ArrayLike,
    labels: ArrayLike,
    classes: Sequence[str],
    category_ids: Sequence[int],
    image_ids: ArrayLike | None = None,
    areas: ArrayLike | None = None,
    crowd: ArrayLike | None = None,
    annotation_ids: ArrayLike | None = None,
    mended: Sequence[str] = (),
    source: str = "",
    where: Where | None = None,
) -> DetectionIndex:
    """Make an index from flat columns, whose annotations may stand in any order.

    Args:
        files: N paths.
        sizes: [N, 2], height and width, 0 0 where unknown.
        owner: [M], the position in ``files`` that each annotation belongs to. The annotations of
            one picture keep their order.
        boxes: [M, 4], ``x1 y1 width height``.
        labels: [M].
        classes: K names.
        category_ids: K ids.
        image_ids: [N], 1..N by default.
        areas: [M], width * height by default.
        crowd: [M], none by default.
        annotation_ids: [M], 1..M in the index's order by default.
        mended: what was mended while reading, one line each.
        source: the file that the lines begin with which tell of boxes that don't train; none are
            told without it.
        where: tells where annotation ``m`` of the columns stands.
    """
    belongs = np.asarray(owner, np.int64)
    order = np.argsort(belongs, kind="stable")
    xywh = np.asarray(boxes, np.float64).reshape(-1, 4)[order]
    first = np.zeros(len(files) + 1, np.int64)
    np.cumsum(np.bincount(belongs, minlength=len(files)), out=first[1:])
    count = len(order)
    stated = np.asarray(sizes, np.int32).reshape(-1, 2)

    def column(values: ArrayLike | None, default: ArrayLike, dtype: type) -> NDArray[Any]:
        return np.asarray(default, dtype) if values is None else np.asarray(values, dtype)[order]

    sorted_labels = np.asarray(labels, np.int64)[order]
    crowds = column(crowd, np.zeros(count), np.bool_)

    def place(m: int) -> tuple[str, str]:
        given = int(order[m])
        return where(given) if where else (source, f"annotation number {given}")

    repeats, untrained = check_boxes(belongs[order], xywh, sorted_labels, crowds, stated, place)
    told = [f"{source}: {line}" for line in untrained] if source else []
    return DetectionIndex(
        files=StringTable(files),
        image_ids=np.asarray(
            np.arange(1, len(files) + 1) if image_ids is None else image_ids, np.int64
        ),
        sizes=stated,
        first=first,
        boxes=xywh,
        labels=sorted_labels,
        areas=column(areas, xywh[:, 2] * xywh[:, 3], np.float64),
        crowd=crowds,
        annotation_ids=column(annotation_ids, np.arange(1, count + 1), np.int64),
        classes=tuple(classes),
        category_ids=tuple(category_ids),
        warnings=(*mended, *told),
        repeats=repeats,
    )


def first_repeat(values: Iterable[T]) -> T | None:
    """Return the first value that has been seen before, if any."""
    seen: set[T] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None


def listed(values: Sequence[object], limit: int = 10) -> str:
    """Write values as ``a, b, c``, shortened after ``limit``."""
    text = ", ".join(str(v) for v in values[:limit])
    return text + (f" and {len(values) - limit} more" if len(values) > limit else "")
