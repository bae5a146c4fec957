"""Masks as Pascal VOC, CVAT and Cityscapes lay them out."""

import shutil

import numpy as np
import pytest
from PIL import Image
from small_masks import MASK, indices, names, picture, write_png

from visionkit.data.mask_sets import CITYSCAPES, voc_colour
from visionkit.data.masks import read_masks
from visionkit.errors import DataError


def voc(root, masks="SegmentationClass"):
    home = root / "VOC2012"
    for stem in "abc":
        picture(home / "JPEGImages" / f"{stem}.png")
        mask = np.array([[0, 15, 255], [20, 1, 0], [0, 0, 0], [2, 2, 2]], np.uint8).T.copy()
        indices(home / masks / f"{stem}.png", mask, [voc_colour(k) for k in range(256)])
    picture(home / "JPEGImages" / "unused.png")
    lists = home / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("b\na\n")
    (lists / "val.txt").write_text("c\n")
    (lists / "test.txt").write_text("unused\n")
    return home


def test_voc(tmp_path):
    home = voc(tmp_path)
    train, val = read_masks(tmp_path, "train"), read_masks(home, "val")
    assert names(train) == ["b", "a"] and names(val) == ["c"]
    assert len(train.classes) == 21
    assert [train.classes[k] for k in (0, 1, 15, 20)] == [
        "background",
        "aeroplane",
        "person",
        "tvmonitor",
    ]
    assert train.mask(0).T.tolist() == [[0, 15, 255], [20, 1, 0], [0, 0, 0], [2, 2, 2]]
    assert read_masks(home, "test") is None, "its masks are not there"
    # the same masks in the colours of the palette
    for path in (home / "SegmentationClass").iterdir():
        Image.open(path).convert("RGB").save(path)
    np.testing.assert_array_equal(read_masks(home, "train").mask(0), train.mask(0))
    (home / "classes.txt").write_text("ground\nplane\n")
    with pytest.raises(DataError, match="stands for no class"):
        read_masks(home, "train").mask(0)


def test_the_colours_of_voc():
    """The first, the last and some between, as the devkit prints them."""
    assert [voc_colour(k) for k in (0, 1, 2, 3, 7, 8, 15, 20, 255)] == [
        (0, 0, 0),
        (128, 0, 0),
        (0, 128, 0),
        (128, 128, 0),
        (128, 128, 128),
        (64, 0, 0),
        (192, 128, 128),
        (0, 64, 128),
        (224, 224, 192),
    ]
    assert len({voc_colour(k) for k in range(256)}) == 256


def test_cvat_writes_voc_with_a_map_of_labels(tmp_path):
    home = voc(tmp_path)
    shutil.rmtree(home / "SegmentationClass")
    red, green = (250, 50, 83), (36, 179, 83)
    for stem in "abc":
        mask = np.zeros((*MASK.shape, 3), np.uint8)
        mask[0], mask[1, :2] = red, green
        write_png(home / "SegmentationClass" / f"{stem}.png", mask[..., ::-1])
    (home / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\n"
        "background:0,0,0::\nsmall cat:250,50,83::\ndog:36,179,83::\n"
    )
    index = read_masks(tmp_path, "train")
    assert index.classes == ("background", "small cat", "dog")
    assert index.mask(0).tolist() == [[1] * 4, [2, 2, 0, 0], [0] * 4]


@pytest.mark.parametrize("kind", ["labelIds", "labelTrainIds"])
def test_cityscapes(tmp_path, kind):
    ids = np.array([[7, 33, 0, 255], [1, 29, 26, 24], [8, 8, 8, 31]], np.uint8)
    if kind == "labelTrainIds":
        ids = np.array([[0, 18, 255, 255], [255, 255, 13, 11], [1, 1, 1, 16]], np.uint8)
    for split, city in (("train", "ulm"), ("train", "bonn"), ("val", "lindau")):
        stem = f"{city}_000000_000019"
        picture(tmp_path / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png")
        for name in ("labelIds", "color", "instanceIds", kind):
            write_png(tmp_path / "gtFine" / split / city / f"{stem}_gtFine_{name}.png", ids)
    train, val = read_masks(tmp_path, "train"), read_masks(tmp_path, "val")
    assert len(train) == 2 and len(val) == 1 and train.classes == tuple(CITYSCAPES)
    assert len(train.classes) == 19
    expected = [[0, 18, 255, 255], [255, 255, 13, 11], [1, 1, 1, 16]]
    assert train.mask(0).tolist() == val.mask(0).tolist() == expected
    assert kind in train.mask_name(0)
