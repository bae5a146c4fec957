"""What kept pictures lie in: shared by ranks, found again by the next run, whole or not at all."""

import errno
import functools
import json
import multiprocessing
import os
import pickle
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch.distributed as dist
from runs import two_processes
from tiny import make_coco

from visionkit.benchmarking.process import peak_memory
from visionkit.data import cache_rooms, cores
from visionkit.data.augment_boxes import DetectionAugment
from visionkit.data.augment_classes import ClassificationAugment
from visionkit.data.cache import ImageCache
from visionkit.data.cache_rooms import Folder, OnDisk, Private, Shared, folder_of, shared
from visionkit.data.coco import read_coco
from visionkit.data.datamodule import DataModule
from visionkit.data.fingerprint import fingerprint
from visionkit.data.folder import read_folder
from visionkit.errors import ConfigError, DataError
from visionkit.finding import steps

needs_memfd = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="Linux shares so")


def picture(value, shape=(4, 6, 3)):
    return np.full(shape, value, np.uint8)


def on_disk(folder, key="key", count=4):
    return ImageCache(count, 4, 6, place=Folder(folder, "train", key))


def in_fork(work):
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join(20)
    return process.exitcode


def _rank(number: int, folder: str, root: str) -> None:
    store = dist.FileStore(str(Path(folder) / "store"), 2)
    dist.init_process_group("gloo", store=store, rank=number, world_size=2)
    data = DataModule(functools.partial(read_coco), root, 64, 2, num_workers=0, cache="ram")
    cache = data.train_dataloader().dataset.cache
    masks = cache.beside("masks", 8, 64, 64, 1)
    if number == 0:
        cache.keep(3, picture(7), (40, 60))
        masks.keep(2, picture(5, (4, 6)), (40, 60))
    dist.barrier()
    said = [cache.kept(i) is not None for i in range(8)], [masks.kept(i) is None for i in range(8)]
    image, size = cache.kept(3)
    assert (image == 7).all() and size == (40, 60)
    Path(folder, f"{number}.json").write_text(json.dumps(said))
    dist.barrier()
    dist.destroy_process_group()


@needs_memfd
def test_ranks_of_a_machine_have_one_buffer(tmp_path, squares):
    two_processes(_rank, 240, str(tmp_path), str(squares))
    for number in (0, 1):
        kept, missing = json.loads((tmp_path / f"{number}.json").read_text())
        assert kept == [i == 3 for i in range(8)]
        assert missing == [i != 2 for i in range(8)]


@needs_memfd
def test_what_is_shared_may_be_pickled_and_leaves_nothing_behind():
    before = len(os.listdir("/proc/self/fd"))
    cache = ImageCache(2, 4, 6, place=shared)
    copy = pickle.loads(pickle.dumps(cache))
    copy.keep(1, picture(3), (8, 9))
    assert (cache.kept(1)[0] == 3).all()
    assert cache.kept(0) is None
    room = pickle.loads(pickle.dumps(cache._room))
    del cache, copy
    room.file = 10**6  # of an owner that is gone
    assert room.open()[:] == bytes(room.size)
    assert len(os.listdir("/proc/self/fd")) <= before


@needs_memfd
def test_ranks_elsewhere_have_their_own(monkeypatch):
    def gathered(mine):
        other = pickle.loads(pickle.dumps(mine))
        other.where, other.owner = ("another machine", ""), 1
        return [other, mine]

    monkeypatch.setattr("visionkit.ops.distributed.gather_objects", gathered)
    room = shared("", 100)
    assert isinstance(room, Shared) and room.owner == os.getpid()
    monkeypatch.delattr(os, "memfd_create")
    assert shared("", 100) == Private(100)


def test_the_next_run_finds_what_was_kept(tmp_path):
    on_disk(tmp_path).keep(1, picture(3), (40, 60))
    again = on_disk(tmp_path)
    image, size = again.kept(1)
    assert (image == 3).all() and size == (40, 60)
    assert [again.kept(i) for i in (0, 2, 3)] == [None] * 3
    assert pickle.loads(pickle.dumps(again)).kept(1) is not None
    with pytest.raises(ValueError, match="read-only"):
        image[0] = 0


def test_a_kill_leaves_whole_pictures(tmp_path):
    def work():
        cache = on_disk(tmp_path)
        cache.keep(0, picture(1), (4, 6))
        _, pixels = cache._open()
        pixels[cache._first(1) :][:20] = 9  # half of picture 1
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_fork(work) == -signal.SIGKILL
    cache = on_disk(tmp_path)
    assert (cache.kept(0)[0] == 1).all()
    assert cache.kept(1) is None


def test_what_a_crash_mixed_up_is_read_again(tmp_path):
    cache = on_disk(tmp_path)
    for i in range(4):
        cache.keep(i, picture(i + 1), (4, 6))
    (file,) = tmp_path.glob("*.pixels")
    content = bytearray(file.read_bytes())
    content[cache._start + cache._first(1) + 5] ^= 1
    content[2 * 20 : 2 * 20 + 4] = b"\xff\xff\xff\x7f"  # a height that can't be
    file.write_bytes(content[:-1])  # and the end is lost
    again = on_disk(tmp_path)
    assert [again.kept(i) is not None for i in range(4)] == [True, False, False, False]
    assert (again.get(1, lambda: (picture(2), (4, 6)))[0] == 2).all()
    assert (on_disk(tmp_path).kept(1)[0] == 2).all()


def test_two_writers(tmp_path):
    def work(order):
        cache = on_disk(tmp_path, count=200)
        for i in order:
            cache.get(i, lambda i=i: (picture(i), (4, 6)))
        assert all((cache.kept(i)[0] == i).all() for i in order)

    context = multiprocessing.get_context("fork")
    both = [context.Process(target=work, args=(range(200)[::step],)) for step in (1, -1)]
    for process in both:
        process.start()
    for process in both:
        process.join(20)
    assert [process.exitcode for process in both] == [0, 0]
    cache = on_disk(tmp_path, count=200)
    assert all((cache.kept(i)[0] == i).all() for i in range(200))


def test_pictures_that_would_be_read_otherwise_are_forgotten(tmp_path):
    on_disk(tmp_path, "old").keep(0, picture(1), (4, 6))
    ImageCache(4, 8, 6, place=Folder(tmp_path, "train", "old")).keep(0, picture(1), (4, 6))
    assert on_disk(tmp_path, "new").kept(0) is None
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == ["train-4x6x3-images-new.pixels", "train-8x6x3-images-old.pixels"]


def test_a_disk_without_room(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(ConfigError, match=r"data.cache: disk needs 0.0 GB in .*data.cache_dir"):
        on_disk(tmp_path)
    monkeypatch.undo()

    def full(file, size):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache_rooms, "_allocate", full)
    with pytest.raises(DataError, match="No space left on device"):
        on_disk(tmp_path).kept(0)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"data.cache_dir: .* can't be made"):
        OnDisk(tmp_path / "file" / "folder" / "x.pixels", 10).check()


def test_a_machine_without_memory(squares, monkeypatch):
    monkeypatch.setattr(cache_rooms, "_memory", lambda: 50_000)
    data = DataModule(functools.partial(read_coco), str(squares), 64, 3, cache="ram")
    with pytest.raises(ConfigError, match=r"data.cache: ram needs 0.0 GB, this machine .*=disk"):
        data.train_dataloader()


@pytest.mark.parametrize("controllers", ["", "memory"])
def test_a_container_has_less_memory_than_the_machine(tmp_path, monkeypatch, controllers):
    names = ("limit_in_bytes", "usage_in_bytes") if controllers else ("max", "current")
    for group, limit in (("", 70_000), ("a", 50_000), ("a/b", "max")):
        folder = tmp_path / controllers / group
        folder.mkdir(exist_ok=True)
        for name, text in zip(names, (limit, 20_000), strict=True):
            (folder / f"memory.{name}").write_text(f"{text}\n")
    (tmp_path / "own").write_text(f"9:name=systemd:/\n4:{controllers}:/a/b\n")
    monkeypatch.setattr(cores, "_CONTROL", tmp_path)
    monkeypatch.setattr(cores, "_GROUPS", tmp_path / "own")
    assert cache_rooms._memory() == 50_000
    assert 0 <= steps._room() - 30_000 <= (peak_memory() or 0)
    (tmp_path / "own").unlink()
    assert cache_rooms._memory() > 10**8


def test_a_cache_that_would_not_be_used_is_not_refused(folders, monkeypatch, caplog):
    monkeypatch.setattr(cache_rooms, "_memory", lambda: 50)
    options = {"num_workers": 0, "cache": "ram", "augment": ClassificationAugment()}
    DataModule(functools.partial(read_folder), str(folders), 32, 3, **options).train_dataloader()
    assert "data.cache: ram isn't used" in caplog.text


def test_where_pictures_lie(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    one, other = folder_of(Path("a/set"), None), folder_of(Path("b/set"), None)
    assert one != other and one.parent == other.parent == tmp_path / "visionkit"
    assert one.name.startswith("set-")
    assert folder_of(Path("a/set"), "~/kept").parent == Path("~/kept").expanduser()


def test_a_fingerprint_is_of_files_and_fields(tmp_path):
    root = make_coco(tmp_path, {"train": 3})
    index = read_coco(root, "train")
    first = fingerprint(index)
    assert first == fingerprint(read_coco(root, "train"))
    index.counts()
    assert first == fingerprint(index)
    assert first != fingerprint(index.only(np.array([True, True, False])))
    os.utime(index.path(1), ns=(1, 1))
    assert first != fingerprint(index)


@pytest.mark.parametrize("workers", [0, 1])
def test_samples_from_disk_are_those_from_files(tmp_path, monkeypatch, workers):
    root = make_coco(tmp_path / "set", {"train": 4})

    def draw(**options):
        data = DataModule(
            functools.partial(read_coco), str(root), 64, 3, augment=DetectionAugment(), **options
        )
        return [b.images.clone() for b in data.train_dataloader()]

    kept = {"cache": "disk", "cache_dir": str(tmp_path / "kept"), "num_workers": workers}
    plain = draw(cache="none", num_workers=0)
    assert all((a == b).all() for a, b in zip(plain, draw(**kept), strict=True))
    monkeypatch.setattr("visionkit.data.index.read_image", None)
    assert all((a == b).all() for a, b in zip(plain, draw(**kept), strict=True))


def test_a_wish_that_cannot_be_followed_is_told(squares, caplog):
    options = {"num_workers": 0, "cache": "ram", "multiscale": 0.2}
    DataModule(functools.partial(read_coco), str(squares), 64, 3, **options).train_dataloader()
    assert "data.cache: ram isn't used" in caplog.text
