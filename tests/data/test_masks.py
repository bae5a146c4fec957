"""Pictures with masks in files, as lists and as folders."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from small_masks import CLASSES, MASK, lay_out, make_masks, names, picture, write_png

from visionkit.data.defects import collecting
from visionkit.data.dropping import readable
from visionkit.data.masks import read_masks
from visionkit.errors import DataError

LAYOUTS = {
    "images and masks": ("images/{s}/{n}.jpg.png", "masks/{s}/{n}.jpg.png"),
    "images and labels": ("images/{s}/{n}.png", "labels/{s}/{n}.png"),
    "images and annotations": ("Images/{s}/{n}.png", "Annotations/{s}/{n}_gt.png"),
    "in the split": ("{s}/images/{n}.png", "{s}/masks/{n}_mask.png"),
    "beside it": ("{s}/{n}.png", "{s}annot/{n}.png"),
    "beside it, with an ending": ("{s}/{n}.png", "{s}_labels/{n}_L.png"),
    "beside it, as masks": ("{s}/{n}.png", "{s}_masks/{n}.png"),
    "among the pictures": ("{s}/{n}.png", "{s}/{n}_mask.png"),
    "in deeper folders": ("images/{s}/a/b/{n}.png", "masks/{s}/a/b/{n}.png"),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize(
    "spelled", [("train", "val"), ("training", "validation"), ("Train", "valid")]
)
def test_pairs_of_folders(tmp_path, layout, spelled):
    pairs = [
        tuple(part.format(s=s, n=n) for part in layout)
        for s, count in zip((*spelled, "test"), (3, 2, 1), strict=True)
        for n in range(count)
    ]
    root = lay_out(tmp_path, pairs)
    train, val, test = (read_masks(root, split) for split in ("train", "val", "test"))
    assert [len(train), len(val), len(test)] == [3, 2, 1]
    assert train.classes == val.classes == test.classes == CLASSES
    assert train.warnings == ()
    for i in range(3):
        assert train.path(i) == str(root / pairs[i][0])
        assert train.mask_name(i) == str(root / pairs[i][1])
        np.testing.assert_array_equal(train.pair(i)[1], MASK)
    assert read_masks(root, "other") is None


LINES = {
    "relative": "{a} {b}",
    "absolute": "{root}/{a} {root}/{b}",
    "of another machine": "/SegNet/CamVid/{a} /SegNet/CamVid/{b}",
    "below another folder": "data/mine/{a}\tdata/mine/{b}",
    "by commas": "{a}, {b}",
    "of Windows": "C:\\data\\{a} C:\\data\\{b}",
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_lists(tmp_path, line):
    pairs = [(f"{s}/my {n}.png", f"{s}annot/{n}-x.png") for s in ("one", "two") for n in range(3)]
    root = lay_out(tmp_path, pairs)
    for name, part in (("train", pairs[:4]), ("val", pairs[4:])):
        lines = [line.format(a=a, b=b, root=root) for a, b in part]
        if "\\" in line:
            lines = [text.replace("/", "\\") for text in lines]
        (root / f"{name}.txt").write_text("\n\n".join(lines) + "\n")
    train, val = read_masks(root, "train"), read_masks(root, "val")
    assert names(train) == ["my 0", "my 1", "my 2", "my 0"] and names(val) == ["my 1", "my 2"]
    assert train.mask_name(3) == str(root / "twoannot" / "0-x.png")
    assert read_masks(root, "test") is None
    assert read_masks(root, "train", layout="lists").path(0) == train.path(0)


def test_a_set_without_splits(tmp_path):
    root = lay_out(tmp_path, [(f"images/{n}.png", f"masks/{n}.png") for n in range(40)])
    found = {split: read_masks(root, split) for split in ("train", "val", "test")}
    assert [len(index) for index in found.values()] == [32, 4, 4]
    assert sorted(n for index in found.values() for n in names(index)) == sorted(
        map(str, range(40))
    )
    assert len({int(i) for index in found.values() for i in index.image_ids}) == 40
    assert "by a hash of their paths, 4 of 40 pictures are val" in found["val"].warnings[0]
    assert len(read_masks(root, "val", validation=0.25)) == 10
    assert read_masks(root, "val", validation=0) is None
    again = read_masks(root, "train")
    assert names(again) == names(found["train"])


def test_train_lends_to_val(tmp_path):
    pairs = [
        (f"images/{s}/{n}.png", f"masks/{s}/{n}.png") for s in ("train", "test") for n in range(20)
    ]
    root = lay_out(tmp_path, pairs)
    train, val, test = (read_masks(root, split) for split in ("train", "val", "test"))
    assert [len(train), len(val), len(test)] == [18, 2, 20]
    assert not set(names(train)) & set(names(val))


def broken(root):
    """One of each: no mask, no picture, another size."""
    make_masks(root, {"train": 6, "val": 2})
    (root / "masks" / "train" / "0.png").unlink()
    (root / "images" / "train" / "1.png").unlink()
    picture(root / "images" / "train" / "2.png", (20, 30))
    return root


def test_defects_stop_or_are_collected(tmp_path):
    root = broken(tmp_path)
    with pytest.raises(DataError, match=r"0\.png: has no mask in .*data\.defects=drop"):
        read_masks(root, "train")
    with collecting("train") as found:
        index = read_masks(root, "train")
    assert names(index) == ["2", "3", "4", "5"]
    assert [(d.kind, Path(d.file).name) for d in found] == [
        ("missing-mask", "0.png"),
        ("mask-without-picture", "1.png"),
    ]
    assert all(d.effect == "stops" and d.split == "train" for d in found)
    with pytest.raises(DataError, match=r"masks/train/2\.png: is 48 x 48 .* is 30 x 20"):
        index.pair(0)
    with collecting() as found:
        assert len(read_masks(root, "val")) == 2
    assert found == []
    with collecting("train") as found:
        good = readable(index)
    assert names(good) == ["3", "4", "5"] and [d.kind for d in found] == ["wrong-size"]


@pytest.mark.parametrize("size", [(16, 24), (24, 16)])
def test_masks_of_turned_pictures(tmp_path, size):
    """They may be of the pixels as stored, or upright."""
    make_masks(tmp_path, {"train": 1})
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "images" / "train" / "0.png").unlink()
    path = tmp_path / "images" / "train" / "0.jpg"
    Image.fromarray(np.zeros((16, 24, 3), np.uint8)).save(path, exif=exif)
    write_png(tmp_path / "masks" / "train" / "0.png", np.zeros(size, np.uint8))
    index = read_masks(tmp_path, "train", validation=0)
    assert index.pair(0)[0].shape[:2] == size


def test_defects_of_lists(tmp_path):
    root = lay_out(tmp_path, [(f"t/{n}.png", f"m/{n}.png") for n in range(3)])
    lines = ["t/0.png m/0.png", "t/9.png m/0.png", "t/1.png m/9.png", "t/0.png m/0.png", "nothing"]
    (root / "train.txt").write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"train\.txt:2: there is no t/9\.png"):
        read_masks(root, "train")
    with collecting() as found:
        index = read_masks(root, "train", validation=0)
    assert names(index) == ["0"] and "t/0.png once more" in index.warnings[0]
    assert sorted((d.kind, d.file[-1], d.effect) for d in found) == [
        ("bad-line", "5", "stops"),
        ("listed-twice", "4", "mended"),
        ("missing-file", "2", "stops"),
        ("missing-mask", "3", "stops"),
    ]
    (root / "train.txt").write_text("elsewhere/a.png elsewhere/b.png\n")
    with pytest.raises(DataError, match="none of the files that it lists is there"):
        read_masks(root, "train")


def test_a_defect_of_a_set_without_splits_is_told_once(tmp_path):
    root = lay_out(tmp_path, [(f"images/{n}.png", f"masks/{n}.png") for n in range(20)])
    (root / "masks" / "7.png").unlink()
    told = {}
    for split in ("train", "val", "test"):
        with collecting(split) as found:
            assert read_masks(root, split) is not None
        told[split] = [d.kind for d in found]
    assert told == {"train": ["missing-mask"], "val": [], "test": []}


def test_masks_of_one_name(tmp_path):
    """Spelled as the picture is, and rather no JPEG; the others are told."""
    lay_out(
        tmp_path,
        [(f"images/train/{n}.png", f"masks/train/{n}.png") for n in ("a", "A", "b", "c")],
    )
    masks = tmp_path / "masks" / "train"
    (masks / "b.png").rename(masks / "B.png")
    (masks / "b.jpg").write_bytes((masks / "a.png").read_bytes())
    (masks / "c.jpeg").write_bytes((masks / "a.png").read_bytes())
    picture(tmp_path / "images" / "train" / "C.png")
    (tmp_path / "images" / "train" / "b.png").rename(tmp_path / "images" / "train" / "B.png")
    with collecting() as found:
        index = read_masks(tmp_path, "train", validation=0)
    assert {Path(index.path(i)).name: Path(index.mask_name(i)).name for i in range(len(index))} == {
        name: name for name in ("a.png", "A.png", "B.png", "c.png")
    }
    assert [(d.kind, Path(d.file).name, d.cause) for d in found] == [
        ("missing-mask", "C.png", f"has no mask in {masks}"),
        ("mask-without-picture", "b.jpg", f"is called as {masks / 'B.png'} is"),
        ("mask-without-picture", "c.jpeg", f"is called as {masks / 'c.png'} is"),
    ]


def test_masks_of_other_names(tmp_path):
    lay_out(tmp_path, [("images/train/a.png", "masks/train/b.png")])
    with pytest.raises(DataError, match="none of its 1 pictures has a mask of its name"):
        read_masks(tmp_path, "train")


def test_folders_that_hold_no_masks(tmp_path):
    picture(tmp_path / "images" / "train" / "a.png")
    (tmp_path / "labels" / "train").mkdir(parents=True)
    (tmp_path / "labels" / "train" / "a.txt").write_text("0 0.5 0.5 0.1 0.1")
    with pytest.raises(DataError, match="no masks found: there are neither lists"):
        read_masks(tmp_path, "train")
    with pytest.raises(DataError, match=r"isn't laid out as data\.layout\.layout=voc"):
        read_masks(tmp_path, "train", layout="voc")
    with pytest.raises(DataError, match="doesn't exist"):
        read_masks(tmp_path / "nowhere", "train")


@pytest.mark.real
def test_camvid_is_read_by_its_folder_alone(shared_data):
    root = shared_data / "camvid"
    found = {split: read_masks(root, split) for split in ("train", "val", "test")}
    assert [len(index) for index in found.values()] == [367, 101, 233]
    classes = "sky building pole road pavement tree signsymbol fence car pedestrian bicyclist"
    assert {index.classes for index in found.values()} == {tuple(classes.split())}
    for split, index in found.items():
        assert index.warnings == ()
        counted = np.zeros(256, np.int64)
        for path in (root / f"{split}annot").iterdir():
            mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            values, counts = np.unique(mask, return_counts=True)
            counted[values] += counts
        assert set(np.flatnonzero(counted)) <= set(range(12))
        assert index.counts().tolist() == counted[:11].tolist()
        assert index.pixels().sum() + counted[11] == len(index) * 360 * 480
        image, labels = index.pair(0)
        assert image.shape == (360, 480, 3) and labels.shape == (360, 480)
    folders = read_masks(root, "train", layout="folders")
    assert sorted(names(folders)) == sorted(names(found["train"]))
