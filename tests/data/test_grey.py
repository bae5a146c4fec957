"""Sets whose pictures are known to be grey."""

import numpy as np
import pytest

from visionkit.data.class_index import ClassIndex
from visionkit.data.datamodule import DataModule
from visionkit.data.image_index import ImageIndex
from visionkit.data.layout import make_index


def index_of(shape):
    pixels = np.zeros(shape, np.uint8)
    ids = np.arange(len(pixels))
    return ClassIndex(("a", "b"), ids, ids % 2, pixels=pixels)


@pytest.mark.parametrize(("shape", "grey"), [((4, 8, 8), True), ((4, 8, 8, 3), False)])
def test_pixels_of_one_channel_are(tmp_path, shape, grey):
    data = DataModule(lambda root, split: index_of(shape), str(tmp_path), 8)
    assert index_of(shape).grey is grey
    assert data.read("train", "val").grey is grey


def test_of_files_nothing_is_known():
    boxes = make_index(
        files=["a.jpg"],
        sizes=[(8, 8)],
        owner=[0],
        boxes=[[1, 1, 2, 2]],
        labels=[0],
        classes=["a"],
        category_ids=[1],
    )
    pictures = ImageIndex((), np.arange(1), np.zeros((1, 0), bool), boxes.files)
    assert not boxes.grey and not pictures.grey
