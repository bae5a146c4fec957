"""CIFAR-10 and CIFAR-100, from their Python files, into memory.

``cifar-10-batches-py/`` or ``cifar-100-python/`` in the folder, the folder itself, or the archive
(``cifar-10-python.tar.gz``, ``cifar-100-python.tar.gz``) as it is downloaded.
"""

import io
import pickle
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from visionkit.argtypes import Count
from visionkit.data.class_index import ClassIndex
from visionkit.data.download import download as fetch
from visionkit.data.layout import check_root
from visionkit.data.mnist import split_off
from visionkit.errors import DataError


@dataclass(frozen=True)
class _Kind:
    """How one of the two sets is laid out."""

    name: str
    folder: str
    archive: str
    train: tuple[str, ...]
    test: str
    meta: str
    labels: bytes
    names: bytes


_CIFAR10 = _Kind(
    name="CIFAR10",
    folder="cifar-10-batches-py",
    archive="cifar-10-python.tar.gz",
    train=tuple(f"data_batch_{i}" for i in range(1, 6)),
    test="test_batch",
    meta="batches.meta",
    labels=b"labels",
    names=b"label_names",
)
_CIFAR100 = _Kind(
    name="CIFAR100",
    folder="cifar-100-python",
    archive="cifar-100-python.tar.gz",
    train=("train",),
    test="test",
    meta="meta",
    labels=b"fine_labels",
    names=b"fine_label_names",
)


def read_cifar10(
    root: str | Path, split: str, validation: Count = 5000, download: bool = False
) -> ClassIndex | None:
    """Read a split of CIFAR-10 (Krizhevsky 2009): 32 x 32 RGB pixels, 10 classes.

    Args:
        root: the folder.
        split: ``train``, ``val``: the last pictures of the training files, which ``train`` then
            lacks; or ``test``.
        validation: how many ``val`` has; 0 for no such split.
        download: fetch the files by torchvision if they aren't there.

    Returns:
        The index, or None where there is no such split.

    Raises:
        DataError: files are missing, truncated, or not what they should be.
    """
    return _read(_CIFAR10, Path(root), split, validation, download)


def read_cifar100(
    root: str | Path, split: str, validation: Count = 5000, download: bool = False
) -> ClassIndex | None:
    """Read a split of CIFAR-100, with its 100 fine classes; see :func:`read_cifar10`."""
    return _read(_CIFAR100, Path(root), split, validation, download)


def _read(
    kind: _Kind, root: Path, split: str, validation: int, download: bool
) -> ClassIndex | None:
    if split not in ("train", "val", "test") or (split == "val" and not validation):
        return None
    if download and not _find(kind, root):
        fetch(kind.name, kind.folder, root)
    check_root(root)
    source = _find(kind, root)
    if source is None:
        raise DataError(
            f"{root}: no {kind.name}: neither {kind.folder}/ nor {kind.archive} is there; set "
            "data.root to the folder that holds one, or let data.layout.download=true fetch it"
        )
    files = (kind.test,) if split == "test" else kind.train
    contents = _contents(source, (*files, kind.meta))
    names = contents[kind.meta].get(kind.names)
    if not isinstance(names, list) or not all(isinstance(n, bytes | str) for n in names):
        raise DataError(f"{source}: {kind.meta} doesn't name the classes; download the set again")
    classes = tuple(n.decode("utf-8", "replace") if isinstance(n, bytes) else n for n in names)
    pixels, labels = [], []
    for name in files:
        data, values = contents[name].get(b"data"), contents[name].get(kind.labels)
        if (
            not isinstance(data, np.ndarray)
            or data.dtype != np.uint8
            or data.ndim != 2
            or data.shape[1] != 3 * 32 * 32
            or not isinstance(values, list)
            or not all(isinstance(v, int) for v in values)
        ):
            raise DataError(f"{source}: {name} isn't a part of {kind.name}; download the set again")
        pixels.append(data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
        labels += values
    return split_off(
        np.ascontiguousarray(np.concatenate(pixels)),
        np.asarray(labels, np.int64),
        split,
        validation,
        classes,
        str(source),
    )


def _find(kind: _Kind, root: Path) -> Path | None:
    """The folder with the files, else the archive."""
    for folder in (root / kind.folder, root):
        if (folder / kind.meta).is_file() and (folder / kind.test).is_file():
            return folder
    archive = root / kind.archive
    return archive if archive.is_file() else None


def _contents(source: Path, names: tuple[str, ...]) -> dict[str, dict[bytes, Any]]:
    """What is in the named files of a folder or an archive."""
    found: dict[str, bytes] = {}
    try:
        if source.is_dir():
            found = {n: (source / n).read_bytes() for n in names if (source / n).is_file()}
        else:
            with tarfile.open(source, "r:gz") as archive:
                for member in archive:
                    name = member.name.rsplit("/", 1)[-1]
                    stream = archive.extractfile(member) if name in names else None
                    if stream is not None:
                        found[name] = stream.read()
    except (EOFError, zlib.error, tarfile.TarError) as error:
        raise DataError(f"{source}: truncated or damaged; download it again") from error
    except OSError as error:
        cause = error.strerror or "it isn't a gzip file"
        raise DataError(f"{source}: can't be read ({cause}); check the file") from error
    missing = [name for name in names if name not in found]
    if missing:
        raise DataError(f"{source}: {missing[0]} is missing; download the set again")
    return {name: _unpickle(data, f"{source}: {name}") for name, data in found.items()}


def _unpickle(data: bytes, where: str) -> dict[bytes, Any]:
    try:
        content = _Unpickler(io.BytesIO(data), encoding="bytes").load()
    except Exception as error:  # a broken pickle raises anything
        raise DataError(f"{where} is damaged, or isn't CIFAR's; download the set again") from error
    if not isinstance(content, dict):
        raise DataError(f"{where} isn't CIFAR's; download the set again")
    return content


class _Unpickler(pickle.Unpickler):
    """Builds plain data and NumPy arrays, and calls nothing else that a file may name."""

    def find_class(self, module: str, name: str) -> Any:
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return np.zeros(0).__reduce__()[0]
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):
            return _encode
        raise pickle.UnpicklingError(f"{module}.{name} isn't allowed")


def _encode(text: str, encoding: str) -> bytes:
    return text.encode(encoding)
