"""A split of pictures with masks."""

import functools
import pickle
from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest
from PIL import Image
from small_masks import make_masks, write_png

from visionkit.data import datamodule
from visionkit.data.augment_boxes import DetectionAugment
from visionkit.data.datamodule import DataModule
from visionkit.data.mask_index import MaskIndex, wrong_size
from visionkit.data.masks import read_masks
from visionkit.data.segmentation import SegmentationDataset
from visionkit.data.strings import StringTable
from visionkit.errors import ConfigError, DataError

VOID = 255


@dataclass
class Arrays:
    """Masks in memory that count how often they are asked for."""

    masks: list
    asked: list = field(default_factory=list)

    def mask(self, i):
        self.asked.append(i)
        return self.masks[i]

    def name(self, i):
        return f"mask {i}"

    def wrong_size(self, i, size, picture, theirs):
        return wrong_size(self.name(i), size, picture, theirs)

    def only(self, keep):
        return Arrays([m for m, k in zip(self.masks, keep, strict=True) if k])


def make(rows, classes=("a", "b", "c"), files=None):
    masks = [np.array([row], np.uint8) for row in rows]
    files = StringTable(files or [f"{i}.png" for i in range(len(rows))])
    return MaskIndex(files, np.arange(len(rows)) + 10, Arrays(masks), classes)


ROWS = [[0, 0, 0, VOID], [0, 1, 1, 1], [0, 2, VOID, VOID], [VOID] * 4]


def test_pixels_are_counted_once():
    index = make(ROWS)
    expected = [[3, 0, 0], [1, 3, 0], [1, 0, 1], [0, 0, 0]]
    for _ in range(2):
        assert index.pixels().tolist() == expected
        assert index.counts().tolist() == [5, 3, 1]
        index.weights()
    assert sorted(index.truth.asked) == [0, 1, 2, 3]
    assert index.pixels().dtype == np.int64
    assert (index.kind, index.exclusive, len(index)) == ("masks", True, 4)
    assert make([]).pixels().shape == (0, 3) and make([]).counts().tolist() == [0, 0, 0]


def test_a_picture_weighs_as_the_class_that_fewest_have():
    # a is in three pictures, b and c in one each; the fourth has none
    assert make(ROWS).weights().tolist() == pytest.approx([1 / 3, 1, 1, 1 / 4])
    assert (make([[VOID]] * 3).weights() > 0).all()


def test_untrainable_reads_until_a_pixel_has_a_label():
    index = make(ROWS)
    assert index.untrainable() is None and index.truth.asked == [0]
    assert "no pixel" in make([[VOID, VOID], [VOID]]).untrainable()
    late = make([[VOID], [VOID, 2], [1]])
    assert late.untrainable() is None and late.truth.asked == [0, 1]


def test_a_part_of_the_pictures():
    index = make(ROWS)
    part = index.only(np.array([False, True, False, True]))
    assert part.image_ids.tolist() == [11, 13] and part.path(0) == "1.png"
    assert part.mask(0).tolist() == [[0, 1, 1, 1]]
    assert part.counts().tolist() == [1, 3, 0], "not those of the whole"


def test_other_classes():
    index = make(ROWS)
    fewer = index.with_classes(("c", "new", "a"))
    assert fewer.classes == ("c", "new", "a")
    assert fewer.mask(1).tolist() == [[2, VOID, VOID, VOID]]
    assert fewer.mask(2).tolist() == [[2, 0, VOID, VOID]]
    assert fewer.counts().tolist() == [1, 0, 5]
    again = fewer.with_classes(("a", "b"))
    assert again.mask(1).tolist() == [[0, VOID, VOID, VOID]], "b was lost before"
    assert again.only(np.array([False, False, True, False])).mask(0).tolist() == [[0] + [VOID] * 3]
    assert index.mask(1).tolist() == [[0, 1, 1, 1]]


def test_255_classes():
    names = tuple(str(k) for k in range(255))
    index = make([list(range(256))], names)
    assert index.counts().tolist() == [1] * 255
    backwards = index.with_classes(names[::-1])
    assert backwards.mask(0)[0].tolist() == [*range(254, -1, -1), VOID]


def test_pictures_and_masks_go_together(tmp_path):
    picture = write_png(tmp_path / "0.png", np.full((1, 4, 3), 7, np.uint8))
    index = make(ROWS[:1], files=[str(picture)])
    image, labels = index.pair(0)
    assert image.shape == (1, 4, 3) and labels.tolist() == [ROWS[0]]
    assert index.mask_name(0) == "mask 0"
    write_png(picture, np.zeros((2, 4, 3), np.uint8))
    with pytest.raises(DataError) as caught:
        index.pair(0)
    assert str(caught.value).startswith("mask 0: is 4 x 1 pixels, its picture")
    assert "4 x 2" in str(caught.value)
    assert index.image(0).shape == (2, 4, 3), "the picture alone can be read"


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("size", [(16, 24), (24, 16)])
def test_a_picture_is_turned_as_its_mask_is(tmp_path, orientation, size):
    """Stored 16 x 24; EXIF's 6 would make it 24 x 16."""
    path = tmp_path / "turned.jpg"
    stored = np.zeros((16, 24, 3), np.uint8)
    stored[:, :12] = 200
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(path, exif=exif, quality=95)
    index = MaskIndex(
        StringTable([str(path)]), np.arange(1), Arrays([np.zeros(size, np.uint8)]), ("a", "b")
    )
    if size == (16, 24) or orientation == 6:
        image, labels = index.pair(0)
        assert image.shape[:2] == labels.shape == size
        np.testing.assert_array_equal(index.image(0), image)
    else:
        with pytest.raises(DataError, match="is 16 x 24 pixels"):
            index.pair(0)
    if orientation == 1:
        np.testing.assert_array_equal(index.image(0)[..., ::-1], cv2.imread(str(path)))


def test_reading_a_picture_that_is_not_there():
    with pytest.raises(DataError, match="can't be read"):
        make(ROWS).image(0)


def test_the_dataset():
    index = make(ROWS)
    assert isinstance(index.dataset((32, 32)), SegmentationDataset)
    with pytest.raises(ConfigError, match="augment=segmentation or augment=none"):
        index.dataset((32, 32), DetectionAugment())


def test_workers_get_a_copy():
    index = make(ROWS).with_classes(("b", "a"))
    copy = pickle.loads(pickle.dumps(index))
    assert copy.mask(1).tolist() == index.mask(1).tolist()
    assert copy.counts().tolist() == [3, 5]


def test_the_cache_has_room_for_masks(tmp_path, monkeypatch):
    """A picture of 32 x 32 takes 3 bytes a pixel, and its mask a fourth."""
    make_masks(tmp_path, {"train": 2})
    layout = functools.partial(read_masks, validation=0)

    def cached():
        data = DataModule(layout, str(tmp_path), image_size=32, batch_size=1, num_workers=0)
        return data.train_dataloader().dataset.cache is not None

    monkeypatch.setattr(datamodule, "CACHE_LIMIT", 2 * 32 * 32 * 4)
    assert cached()
    monkeypatch.setattr(datamodule, "CACHE_LIMIT", 2 * 32 * 32 * 4 - 1)
    assert not cached()
