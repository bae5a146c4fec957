"""MNIST and CIFAR, from their own files."""

import gzip
import io
import os
import pickle
import struct
import tarfile

import numpy as np
import pytest

from visionkit.data import download
from visionkit.data.cifar import read_cifar10, read_cifar100
from visionkit.data.mnist import FASHION, read_fashion_mnist, read_mnist
from visionkit.errors import DataError


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


def mnist(folder, train=12, test=4, zipped=True, side=28):
    """Pictures whose pixels are all their number, with labels 0, 1, ... 9, 0, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem, count in (("train", train), ("t10k", test)):
        images = np.tile(np.arange(count)[:, None, None], (1, side, side))
        for name, array in (
            ("images-idx3-ubyte", images),
            ("labels-idx1-ubyte", np.arange(count) % 10),
        ):
            data = idx(array)
            suffix = ".gz" if zipped else ""
            path = folder / f"{stem}-{name}{suffix}"
            path.write_bytes(gzip.compress(data) if zipped else data)
    return folder


@pytest.mark.parametrize("place", [".", "raw", "FashionMNIST/raw"])
@pytest.mark.parametrize("zipped", [True, False])
def test_the_splits_of_fashion_mnist(tmp_path, place, zipped):
    mnist(tmp_path / place, zipped=zipped)
    train = read_fashion_mnist(tmp_path, "train", validation=3)
    val = read_fashion_mnist(tmp_path, "val", validation=3)
    test = read_fashion_mnist(tmp_path, "test", validation=3)
    assert train.classes == val.classes == test.classes == FASHION
    assert train.pixels[:, 5, 5].tolist() == list(range(9))
    assert val.pixels[:, 5, 5].tolist() == [9, 10, 11], "the last ones of the file"
    assert val.labels.tolist() == [9, 0, 1] and val.image_ids.tolist() == [9, 10, 11]
    assert test.pixels[:, 0, 0].tolist() == test.labels.tolist() == [0, 1, 2, 3]
    assert train.pixels.dtype == np.uint8 and train.pixels.shape == (9, 28, 28)
    assert train.exclusive and train.labels.dtype == np.int64
    assert read_fashion_mnist(tmp_path, "other") is None


def test_no_validation_part(tmp_path):
    mnist(tmp_path)
    assert len(read_mnist(tmp_path, "train", validation=0)) == 12
    assert read_mnist(tmp_path, "val", validation=0) is None
    with pytest.raises(DataError, match=r"12 training pictures.*validation=5000.* leave none"):
        read_mnist(tmp_path, "train")


def test_mnist_is_found_beside_fashion_mnist(tmp_path):
    mnist(tmp_path / "MNIST" / "raw", train=7)
    mnist(tmp_path / "FashionMNIST" / "raw", train=9)
    assert len(read_mnist(tmp_path, "train", validation=0)) == 7
    assert len(read_fashion_mnist(tmp_path, "train", validation=0)) == 9
    assert read_mnist(tmp_path, "train", validation=0).classes == tuple("0123456789")


def damage(folder, name, change):
    path = folder / f"{name}.gz"
    path.write_bytes(change(path.read_bytes()))


IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
DAMAGES = {
    "truncated": (IMAGES, lambda b: b[:-20], "truncated or damaged; download it again"),
    "not gzip": (IMAGES, lambda b: b"<html>", "truncated or damaged; download it again"),
    "swapped": (IMAGES, lambda b: gzip.compress(idx(np.zeros(12))), "isn't an idx file of bytes"),
    "short": (
        IMAGES,
        lambda b: gzip.compress(gzip.decompress(b)[:-1]),
        "states 12 x 28 x 28 bytes, but has 9407",
    ),
    "fewer": (LABELS, lambda b: gzip.compress(idx(np.zeros(5))), "12 pictures, but 5 labels"),
    "labels": (LABELS, lambda b: gzip.compress(idx(np.full(12, 11))), "label 11 is none of the 10"),
    "empty": (LABELS, lambda b: gzip.compress(b""), "isn't an idx file of bytes"),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_damaged_idx_files(tmp_path, what):
    name, change, message = DAMAGES[what]
    damage(mnist(tmp_path), name, change)
    with pytest.raises(DataError, match=message) as told:
        read_mnist(tmp_path, "train", validation=0)
    assert "\n" not in str(told.value) and str(tmp_path) in str(told.value)


def test_a_missing_idx_file(tmp_path):
    (mnist(tmp_path) / f"{LABELS}.gz").unlink()
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte\.gz: can't be read"):
        read_mnist(tmp_path, "val")


def row(value):
    """A CIFAR picture whose red is ``value``, green 1, blue 2, but the pixel at row 0, column 1."""
    planes = np.stack([np.full((32, 32), v, np.uint8) for v in (value, 1, 2)])
    planes[:, 0, 1] = 99
    return planes.reshape(-1)


def cifar_files(kind):
    """The files of a set of 10 + 2 pictures, as CIFAR's authors wrote theirs."""
    ten = kind == 10
    key = b"labels" if ten else b"fine_labels"
    names = [f"class{i}".encode() for i in range(kind)]
    train = [f"data_batch_{i}" for i in range(1, 6)] if ten else ["train"]
    test = "test_batch" if ten else "test"
    per_file = 10 // len(train)
    files = {}
    for f, name in enumerate([*train, test]):
        first, count = (0, 2) if name == test else (f * per_file, per_file)
        numbers = range(first, first + count)
        data = np.stack([row(n) for n in numbers])
        files[name] = {b"data": data, key: list(numbers), b"batch_label": b"part"}
    meta = "batches.meta" if ten else "meta"
    files[meta] = {b"label_names" if ten else b"fine_label_names": names}
    return {name: pickle.dumps(content, protocol=2) for name, content in files.items()}


def cifar(root, kind, packed=False, **changed):
    files = cifar_files(kind) | changed
    folder = "cifar-10-batches-py" if kind == 10 else "cifar-100-python"
    if not packed:
        (root / folder).mkdir(parents=True)
        for name, data in files.items():
            (root / folder / name).write_bytes(data)
        return root
    root.mkdir(exist_ok=True)
    with tarfile.open(root / f"cifar-{kind}-python.tar.gz", "w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return root


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("kind", "read"), [(10, read_cifar10), (100, read_cifar100)])
def test_the_splits_of_cifar(tmp_path, kind, read, packed):
    cifar(tmp_path, kind, packed)
    train, val = read(tmp_path, "train", validation=4), read(tmp_path, "val", validation=4)
    test = read(tmp_path, "test", validation=4)
    assert train.classes == tuple(f"class{i}" for i in range(kind))
    assert train.pixels.shape == (6, 32, 32, 3) and train.pixels.flags.c_contiguous
    assert train.image(5)[3, 4].tolist() == [5, 1, 2]
    assert train.image(5)[0, 1].tolist() == [99, 99, 99]
    assert train.labels.tolist() == list(range(6)) and val.labels.tolist() == [6, 7, 8, 9]
    assert val.image(0)[9, 9].tolist() == [6, 1, 2]
    assert test.labels.tolist() == [0, 1]
    assert read(tmp_path, "val", validation=0) is None


def test_the_folder_itself_will_do(tmp_path):
    cifar(tmp_path, 10)
    assert len(read_cifar10(tmp_path / "cifar-10-batches-py", "test")) == 2


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def test_cifar_files_run_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cifar(tmp_path, 10, data_batch_2=pickle.dumps({b"data": Harmful()}))
    with pytest.raises(DataError, match="data_batch_2 is damaged, or isn't CIFAR's"):
        read_cifar10(tmp_path, "train")
    assert not (tmp_path / "harm").exists()


CIFAR_DAMAGES = {
    "no labels": {"test_batch": pickle.dumps({b"data": np.zeros((2, 3072), np.uint8)})},
    "other size": {
        "test_batch": pickle.dumps({b"data": np.zeros((2, 9), np.uint8), b"labels": [0, 1]})
    },
    "not a mapping": {"test_batch": pickle.dumps([1])},
    "no names": {"batches.meta": pickle.dumps({b"label_names": 3})},
    "cut off": {"test_batch": cifar_files(10)["test_batch"][:200]},
}


@pytest.mark.parametrize("what", CIFAR_DAMAGES)
def test_damaged_cifar_files(tmp_path, what):
    cifar(tmp_path, 10, **CIFAR_DAMAGES[what])
    with pytest.raises(DataError, match="download the set again") as told:
        read_cifar10(tmp_path, "test")
    assert "\n" not in str(told.value)


def test_damaged_archives(tmp_path):
    cifar(tmp_path, 100, packed=True)
    path = tmp_path / "cifar-100-python.tar.gz"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"tar\.gz: truncated or damaged"):
        read_cifar100(tmp_path, "train")
    path.write_bytes(b"not an archive")
    with pytest.raises(DataError, match=r"tar\.gz: (truncated or damaged|can't be read)"):
        read_cifar100(tmp_path, "train")


@pytest.mark.parametrize("read", [read_mnist, read_fashion_mnist, read_cifar10, read_cifar100])
def test_nothing_there(tmp_path, read):
    with pytest.raises(DataError, match=r"set data\.root .*data\.layout\.download=true"):
        read(tmp_path, "train")
    with pytest.raises(DataError, match="doesn't exist"):
        read(tmp_path / "no", "train")


def test_a_download_is_whole_or_nothing(tmp_path, monkeypatch):
    from torchvision import datasets

    asked = []

    def fetched(root, download):
        asked.append(root)
        print("Downloading ...")
        mnist(tmp_path / root / "MNIST" / "raw")

    monkeypatch.setattr(datasets, "MNIST", fetched)
    root = tmp_path / "new"
    assert len(read_mnist(root, "test", download=True)) == 4
    assert len(read_mnist(root, "test", download=True)) == 4
    assert len(asked) == 1 and [p.name for p in root.iterdir()] == ["MNIST"]

    def refused(root, download):
        (tmp_path / root / "CIFAR").mkdir()
        raise RuntimeError("Error downloading\nno route to host")

    monkeypatch.setattr(datasets, "CIFAR10", refused)
    with pytest.raises(DataError, match=r"CIFAR10 can't be downloaded \(Error downloading no rou"):
        read_cifar10(root, "train", download=True)
    assert [p.name for p in root.iterdir()] == ["MNIST"]


def test_a_download_that_comes_second_uses_the_firsts(tmp_path, monkeypatch):
    from torchvision import datasets

    def overtaken(root, download):
        mnist(tmp_path / "set" / "MNIST" / "raw", train=5)
        mnist(tmp_path / root / "MNIST" / "raw", train=6)

    monkeypatch.setattr(datasets, "MNIST", overtaken)
    download.download("MNIST", "MNIST", tmp_path / "set")
    assert len(read_mnist(tmp_path / "set", "train", validation=0)) == 5


@pytest.mark.real
def test_real_fashion_mnist(shared_data):
    root = shared_data / "fashion_mnist"
    train, val = read_fashion_mnist(root, "train"), read_fashion_mnist(root, "val")
    test = read_fashion_mnist(root, "test")
    assert (len(train), len(val), len(test)) == (55000, 5000, 10000)
    assert test.counts().tolist() == [1000] * 10
    assert (train.counts() + val.counts()).tolist() == [6000] * 10
    assert [test.classes[k] for k in test.labels[:3]] == ["Ankle boot", "Pullover", "Trouser"]
