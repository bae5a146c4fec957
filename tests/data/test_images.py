"""Pictures alone."""

import shutil

import cv2
import numpy as np
import pytest

from visionkit.data.augment import Augment
from visionkit.data.augment_classes import ClassificationAugment
from visionkit.data.augment_pairs import PairAugment
from visionkit.data.datamodule import DataModule
from visionkit.data.defects import collecting
from visionkit.data.dropping import readable
from visionkit.data.images import read_images
from visionkit.data.samplers import SampleKey
from visionkit.errors import ConfigError, DataError
from visionkit.geometry import centred_square


def put(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    _, data = cv2.imencode(".png", np.asarray(pixels, np.uint8)[:, :, ::-1])
    path.write_bytes(data.tobytes())


def plain(path, value=100, size=(6, 8)):
    put(path, np.full((*size, 3), value, np.uint8))


def test_split_folders(tmp_path):
    for name in ("train/a.png", "train/deep/er/b.png", "valid/c.png", "Testing/x/d.png"):
        plain(tmp_path / name)
    plain(tmp_path / "loose.png")
    train, val = read_images(tmp_path, "train"), read_images(tmp_path, "val")
    assert [train.path(i)[len(str(tmp_path)) :] for i in range(2)] == [
        "/train/a.png",
        "/train/deep/er/b.png",
    ]
    assert len(train) == 2 and len(val) == 1 and len(read_images(tmp_path, "test")) == 1
    assert train.warnings == () and read_images(tmp_path, "other") is None


def test_any_folder_is_split_alike_wherever_it_lies(tmp_path):
    for i in range(40):
        plain(tmp_path / "one" / f"{i % 3}" / f"{i}.png", i)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    parts = {}
    for name in ("one", "two"):
        root = tmp_path / name
        splits = [read_images(root, split) for split in ("train", "val", "test")]
        assert [len(index) for index in splits] == [32, 4, 4]
        parts[name] = [[s.path(i)[len(str(root)) :] for i in range(len(s))] for s in splits]
        assert "by a hash of their paths, 32 of 40 pictures are train" in splits[0].warnings[0]
    assert parts["one"] == parts["two"]
    assert len({path for part in parts["one"] for path in part}) == 40
    assert read_images(tmp_path / "one", "val", validation=0) is None


def test_val_is_taken_from_train_where_there_is_none(tmp_path):
    for i in range(20):
        plain(tmp_path / "train" / f"{i}.png")
    plain(tmp_path / "test" / "a.png")
    sizes = {s: len(read_images(tmp_path, s)) for s in ("train", "val", "test")}
    assert sizes == {"train": 18, "val": 2, "test": 1}
    assert read_images(tmp_path, "val", validation=0) is None


def test_what_it_is(tmp_path):
    for i in range(3):
        plain(tmp_path / "train" / f"{i}.png")
    index = read_images(tmp_path, "train", validation=0)
    assert (index.kind, index.classes, index.grey, index.untrainable()) == (
        "images",
        (),
        False,
        None,
    )
    assert index.counts().tolist() == [] and index.weights().tolist() == [1 / 3] * 3
    assert index.with_classes(()).kind == "images"
    few = index.only(np.array([True, False, True]))
    assert few.image_ids.tolist() == [0, 2] and few.kind == "images" and few.square


def test_pictures_are_cut_to_their_middle(tmp_path):
    pixels = np.zeros((4, 9, 3), np.uint8)
    pixels[:, 2:6] = (10, 20, 30)
    put(tmp_path / "train" / "wide.png", pixels)
    index = read_images(tmp_path, "train", validation=0)
    assert index.image(0).shape == (4, 4, 3) and (index.image(0) == (10, 20, 30)).all()
    sample = index.dataset((8, 8))[0]
    assert (sample.image == (10, 20, 30)).all()  # no bars
    assert sample.meta.letterbox.size == (4, 4)
    whole = read_images(tmp_path, "train", fit="letterbox", validation=0)
    assert whole.image(0).shape == (4, 9, 3)
    assert (whole.dataset((8, 8))[0].image[0] == (124, 116, 104)).all()
    tall = np.arange(5 * 2 * 3, dtype=np.uint8).reshape(5, 2, 3)
    assert np.array_equal(centred_square(tall), tall[1:3])


def test_squares_need_a_square_canvas(tmp_path):
    plain(tmp_path / "train" / "a.png")
    index = read_images(tmp_path, "train", validation=0)
    with pytest.raises(ConfigError, match=r"data.image_size: \[8, 16\] is no square.*letterbox"):
        index.dataset((8, 16))
    assert read_images(tmp_path, "train", "letterbox", 0).dataset((8, 16))[0].image.shape[1] == 16


def test_batches_have_no_classes_and_are_mirrored_at_random(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(8):
        put(tmp_path / "train" / f"{i}.png", rng.integers(0, 256, (8, 8, 3)))
    augment = ClassificationAugment(crop=(1.0, 1.0), colour=0.0)
    data = DataModule(read_images, str(tmp_path), 8, 4, num_workers=0, augment=augment)
    info = data.read("train", "val")
    assert (info.classes, info.kind, info.counts, info.grey) == ((), "images", (), False)
    batch = next(iter(data.train_dataloader()))
    assert batch.images.shape == (4, 3, 8, 8) and batch.labels.values.shape == (4, 0)
    index = data.splits["train"]
    dataset = index.dataset((8, 8), augment, seed=1)
    mirrored = 0
    for i in range(len(index)):
        image = dataset[SampleKey(i, 0, False, (8, 8))].image
        flipped = np.array_equal(image, index.image(i)[:, ::-1])
        assert flipped or np.array_equal(image, index.image(i))
        mirrored += flipped
    assert 0 < mirrored < len(index)
    assert np.array_equal(index.dataset((8, 8), Augment())[0].image, index.image(0))
    with pytest.raises(ConfigError, match=r"PairAugment isn't for pictures .* augment=flip"):
        index.dataset((8, 8), PairAugment())


def test_nothing_there(tmp_path):
    with pytest.raises(DataError, match="doesn't exist"):
        read_images(tmp_path / "none", "train")
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(DataError, match=r"there are no pictures in it .* set data\.root"):
        read_images(tmp_path, "train")


def test_what_cannot_be_read_is_left_out_and_told(tmp_path):
    for i in range(3):
        plain(tmp_path / "train" / f"{i}.png")
    (tmp_path / "train" / "1.png").write_bytes(b"")
    (tmp_path / "train" / "odd.gif").write_bytes(b"GIF89a")
    with collecting("train") as found:
        index = readable(read_images(tmp_path, "train", validation=0))
    assert index.image_ids.tolist() == [0, 2] and index.kind == "images"
    assert [d.kind for d in found] == ["unread-suffix", "empty-file"]
    assert "1 file(s) of a kind that isn't read" in index.warnings[0]
