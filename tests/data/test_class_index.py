"""A split of pictures with classes, in flat arrays."""

import pickle

import cv2
import numpy as np
import pytest

from visionkit.data.augment import Augment
from visionkit.data.augment_boxes import DetectionAugment
from visionkit.data.augment_classes import ClassificationAugment
from visionkit.data.class_index import ClassIndex
from visionkit.data.classification import ArrayDataset, ClassificationDataset
from visionkit.data.strings import StringTable
from visionkit.errors import ConfigError, DataError

NAMES = ("a", "b", "c")


def single(labels, **more):
    labels = np.array(labels, np.int64)
    files = StringTable([f"{i}.png" for i in range(len(labels))])
    return ClassIndex(NAMES, np.arange(len(labels)), labels, files=files, **more)


def several(rows):
    labels = np.zeros((len(rows), 3), np.bool_)
    for i, row in enumerate(rows):
        labels[i, row] = True
    files = StringTable([f"{i}.png" for i in range(len(rows))])
    return ClassIndex(NAMES, np.arange(len(rows)), labels, files=files)


def arrays(shape=(4, 8, 6), labels=None):
    pixels = np.arange(int(np.prod(shape)), dtype=np.int64).astype(np.uint8).reshape(shape)
    labels = np.zeros(len(pixels), np.int64) if labels is None else np.array(labels)
    return ClassIndex(NAMES, np.arange(len(pixels)), labels, pixels=pixels)


def test_one_class_each():
    index = single([0, 2, 0, 0])
    assert index.exclusive and len(index) == 4 and index.kind == "classes"
    assert index.counts().tolist() == [3, 0, 1]
    assert index.values(1).tolist() == [0, 0, 1]
    assert index.values(1).dtype == np.float32
    assert index.untrainable() is None


def test_balanced_weights_give_each_class_the_same_share():
    weights = single([0, 2, 0, 0]).weights()
    assert weights[[0, 2, 3]].sum() == pytest.approx(weights[1])
    # of several classes the rarest counts, and none at all is a class of its own
    index = several([[0], [0, 1], [0], [], []])
    assert not index.exclusive
    assert index.counts().tolist() == [3, 1, 0]
    assert index.weights() == pytest.approx([1 / 3, 1, 1 / 3, 1 / 2, 1 / 2])
    assert index.values(1).tolist() == [1, 1, 0]


def test_nothing_to_learn():
    assert several([[], []]).untrainable() == "no picture has a class to learn"
    assert single([]).untrainable() == "no picture has a class to learn"


def test_pixels_become_rgb():
    index = arrays()
    image = index.image(2)
    assert image.shape == (8, 6, 3)
    for channel in range(3):
        np.testing.assert_array_equal(image[..., channel], index.pixels[2])
    assert index.path(2) == ""
    coloured = arrays((2, 5, 4, 3))
    np.testing.assert_array_equal(coloured.image(1), coloured.pixels[1])


def test_files_are_read_upright_as_rgb(tmp_path):
    picture = np.zeros((4, 5, 3), np.uint8)
    picture[..., 2] = 200  # OpenCV's red
    cv2.imwrite(str(tmp_path / "x.png"), picture)
    files = StringTable([str(tmp_path / "x.png"), str(tmp_path / "none.png")])
    index = ClassIndex(NAMES, np.arange(2), np.zeros(2, np.int64), files=files)
    assert index.image(0)[0, 0].tolist() == [200, 0, 0]
    assert index.path(0) == str(tmp_path / "x.png")
    with pytest.raises(DataError, match=r"none\.png: can't be read"):
        index.image(1)


def test_the_dataset_suits_the_pictures_and_the_augmentation():
    small = ClassificationAugment(crop=(1, 1), colour=0, shift=2)
    by_picture = ClassificationAugment(policy="trivial")
    assert isinstance(arrays().dataset((8, 6)), ArrayDataset)
    assert isinstance(arrays().dataset((8, 6), small), ArrayDataset)
    assert isinstance(arrays().dataset((8, 6), Augment()), ArrayDataset)
    assert isinstance(arrays().dataset((8, 6), by_picture), ClassificationDataset)
    assert isinstance(arrays().dataset((8, 8)), ClassificationDataset)
    assert isinstance(single([0]).dataset((8, 6), small), ClassificationDataset)


def test_an_augmentation_of_another_kind_is_refused():
    with pytest.raises(ConfigError, match=r"augment: DetectionAugment isn't .*=classification"):
        single([0]).dataset((8, 8), DetectionAugment())


def test_holds_few_objects_however_long():
    """Python objects in it would be copied page by page into every worker."""
    index = single(np.zeros(3000))
    lists = [v for v in vars(index).values() if isinstance(v, list | dict | set)]
    assert lists == []
    assert len(pickle.dumps(index)) < 3000 * 40
