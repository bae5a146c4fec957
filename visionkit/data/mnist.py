"""MNIST and Fashion-MNIST, from their own idx files, into memory.

``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte`` and
``t10k-labels-idx1-ubyte``, each plain or with ``.gz``, in the folder itself, in ``raw/``, or where
torchvision puts them (``FashionMNIST/raw``, ``MNIST/raw``).
"""

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visionkit.argtypes import Count
from visionkit.data.class_index import ClassIndex
from visionkit.data.download import download as fetch
from visionkit.data.layout import check_root, names_in
from visionkit.errors import DataError

DIGITS = tuple("0123456789")
FASHION = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

_FILES = {"train": "train", "val": "train", "test": "t10k"}


def read_mnist(
    root: str | Path, split: str, validation: Count = 5000, download: bool = False
) -> ClassIndex | None:
    """Read a split of MNIST (LeCun et al. 1998): 28 x 28 grey pixels, 10 digits.

    Args:
        root: the folder.
        split: ``train``, ``val``: the last pictures of the training file, which ``train`` then
            lacks; or ``test``.
        validation: how many ``val`` has; 0 for no such split.
        download: fetch the files by torchvision if they aren't there.

    Returns:
        The index, or None where there is no such split.

    Raises:
        DataError: files are missing, truncated, or not what they should be.
    """
    return _read(Path(root), split, validation, download, "MNIST", DIGITS)


def read_fashion_mnist(
    root: str | Path, split: str, validation: Count = 5000, download: bool = False
) -> ClassIndex | None:
    """Read a split of Fashion-MNIST (Xiao et al. 2017); see :func:`read_mnist`."""
    return _read(Path(root), split, validation, download, "FashionMNIST", FASHION)


def _read(
    root: Path, split: str, validation: int, download: bool, name: str, classes: tuple[str, ...]
) -> ClassIndex | None:
    if split not in _FILES or (split == "val" and not validation):
        return None
    stem = _FILES[split]
    if download and not _folder(root, name, stem):
        fetch(name, name, root)
    check_root(root)
    folder = _folder(root, name, stem)
    if folder is None:
        mend = f"delete {root / name}, which was in the way of the download"
        if not download:
            mend = "set data.root to the folder that holds them, or data.layout.download=true"
        raise DataError(
            f"{root}: no {name}: neither {stem}-images-idx3-ubyte nor {stem}-images-idx3-ubyte.gz "
            f"is there or in {name}/raw; {mend}"
        )
    images = _idx(folder, f"{stem}-images-idx3-ubyte", 3)
    labels = _idx(folder, f"{stem}-labels-idx1-ubyte", 1)
    return split_off(images, labels, split, validation, classes, str(folder))


def split_off(
    pixels: NDArray[np.uint8],
    labels: NDArray[Any],
    split: str,
    validation: int,
    classes: tuple[str, ...],
    source: str,
) -> ClassIndex:
    """Make the index of a split of a set in memory, whose ``val`` is the end of its training part.

    Ids are positions in the file.

    Args:
        pixels: [N, H, W] or [N, H, W, 3] of the whole file.
        labels: [N].
        split: ``train``, ``val`` or ``test``.
        validation: how many pictures ``val`` has.
        classes: names by label.
        source: where they come from, for messages.

    Raises:
        DataError: pictures and labels don't go together.
    """
    if len(pixels) != len(labels):
        raise DataError(
            f"{source}: {len(pixels)} pictures, but {len(labels)} labels; get the files again"
        )
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(classes):
        wrong = next(int(v) for v in labels if not 0 <= v < len(classes))
        raise DataError(
            f"{source}: label {wrong} is none of the {len(classes)} classes; "
            "choose the data= that these files belong to"
        )
    first, last = 0, len(labels)
    if split != "test":
        if validation >= last:
            raise DataError(
                f"{source}: has {last} training pictures, of which data.layout.validation="
                f"{validation} would leave none; choose fewer"
            )
        first, last = (last - validation, last) if split == "val" else (0, last - validation)
    return ClassIndex(
        classes=classes,
        image_ids=np.arange(first, last, dtype=np.int64),
        labels=labels[first:last].astype(np.int64),
        pixels=pixels[first:last],
    )


def _folder(root: Path, name: str, stem: str) -> Path | None:
    """The folder with the pictures of a file."""
    for folder in (root / name / "raw", root / "raw", root / name, root):
        names = names_in(folder)
        if {f"{stem}-images-idx3-ubyte", f"{stem}-images-idx3-ubyte.gz"} & names:
            return folder
    return None


def _idx(folder: Path, name: str, dimensions: int) -> NDArray[np.uint8]:
    """An array of bytes in the idx format."""
    path = folder / name
    if not path.is_file():
        path = folder / f"{name}.gz"
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: truncated or damaged; download it again") from error
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror}); check the file") from error
    start = 4 + 4 * dimensions
    if data[:3] != b"\0\0\x08" or len(data) < start or data[3] != dimensions:
        raise DataError(
            f"{path}: isn't an idx file of bytes with {dimensions} dimension(s); download it again"
        )
    shape = np.frombuffer(data, ">u4", dimensions, 4).astype(np.int64)
    if len(data) - start != int(shape.prod()):
        raise DataError(
            f"{path}: states {' x '.join(map(str, shape))} bytes, but has {len(data) - start}; "
            "download it again"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)
