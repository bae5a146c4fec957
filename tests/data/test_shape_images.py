"""The generated pictures of 32 px."""

from pathlib import Path

import numpy as np
import pytest

from visionkit.data import drawing, shape_images
from visionkit.data.classification import ArrayDataset
from visionkit.data.shape_images import CLASSES, draw_one, generate, read_shape_images
from visionkit.errors import DataError

FEW = {"train": 13, "val": 6}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made") / "shapes"
    generate(root, FEW)
    return root


def test_the_set_is_pixels_in_memory(made):
    train, val = read_shape_images(made, "train"), read_shape_images(made, "val")
    assert train.classes == val.classes == CLASSES and train.kind == "classes"
    assert train.counts().tolist() == [3, 2, 2, 2, 2, 2] and val.counts().tolist() == [1] * 6
    assert train.pixels.shape == (13, 32, 32, 3) and not train.grey
    assert train.warnings == () and train.image_ids.tolist() == list(range(13))
    assert read_shape_images(made, "test") is None and read_shape_images(made, "other") is None
    assert isinstance(train.dataset((32, 32)), ArrayDataset)


def test_the_folder_need_not_be_there():
    assert read_shape_images.generates is True
    assert shape_images.COUNTS == {"train": 8000, "val": 1000, "test": 1000}


def test_generating_again_gives_the_same_pixels(made, tmp_path):
    generate(tmp_path / "again", FEW)
    generate(tmp_path / "other", FEW, seed=1)
    for split in FEW:
        pixels = read_shape_images(made, split).pixels
        assert np.array_equal(pixels, read_shape_images(tmp_path / "again", split).pixels)
        assert (pixels != read_shape_images(tmp_path / "other", split).pixels).any((1, 2, 3)).all()


def test_a_picture_shows_one_whole_shape(monkeypatch):
    monkeypatch.setattr(drawing, "_GRADIENT", 0.0)
    monkeypatch.setattr(shape_images, "_NOISE", 0.0)
    for seed in range(4):
        for label in range(6):
            image = draw_one(np.random.default_rng((seed, label)), label).astype(int)
            background = np.median(image[[0, 0, -1, -1], [0, -1, 0, -1]], 0)
            rows, columns = np.nonzero((np.abs(image - background) > 20).any(-1))
            across = max(np.ptp(rows) + 1, np.ptp(columns) + 1)
            assert 17 <= across <= 30 and rows.size > 40, (seed, label, across)


def test_noise_leaves_the_shapes_as_they_are(monkeypatch):
    """What differs from the background by more than the noise does fills its box as it should."""
    monkeypatch.setattr(drawing, "_GRADIENT", 0.0)

    def filled(label):
        parts = []
        for seed in range(30):
            image = draw_one(np.random.default_rng((seed, label)), label).astype(int)
            background = np.median(image[[0, 0, -1, -1], [0, -1, 0, -1]], 0)
            rows, columns = np.nonzero((np.abs(image - background) > 30).any(-1))
            parts.append(rows.size / (np.ptp(rows) + 1) / (np.ptp(columns) + 1))
        return np.median(parts)

    circle, square, triangle, star, cross, ring = (filled(label) for label in range(6))
    assert circle == pytest.approx(np.pi / 4, abs=0.05)
    assert ring == pytest.approx(np.pi / 4 * (1 - 0.55**2), abs=0.05)
    assert min(square, triangle, cross) > 1.1 * star


def test_folders_with_something_else_are_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(DataError, match="isn't an empty folder"):
        read_shape_images(tmp_path, "train")
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_another_version_is_not_mixed_in(tmp_path):
    (tmp_path / "shape_images.json").write_text('{"version": 0}')
    with pytest.raises(DataError, match="holds version 0 of the generated set"):
        read_shape_images(tmp_path, "train")


@pytest.mark.parametrize("keep", [0, 40, 5000])
def test_a_damaged_file_is_told(tmp_path, keep):
    generate(tmp_path / "set", FEW)
    path: Path = tmp_path / "set" / "train.npz"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"train.npz: truncated or damaged; delete .*set to make"):
        read_shape_images(tmp_path / "set", "train")
