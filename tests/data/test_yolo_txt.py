"""YOLO's text files and data.yaml."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from visionkit.data.defects import collecting
from visionkit.data.index import DetectionIndex
from visionkit.data.yolo_txt import read_yolo_txt
from visionkit.errors import DataError
from visionkit.geometry import read_image

YAML = "names: [cat, dog]\ntrain: images/train\nval: images/val\n"


def picture(path: Path, orientation: int = 1) -> None:
    """200 wide, 100 high."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (200, 100)).save(path, exif=exif)


def label(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def make(root: Path, rows: str = "0 0.5 0.5 0.2 0.4\n", yaml: str = YAML) -> Path:
    """Pictures a (with ``rows``) and b (without a label file) to train."""
    root.mkdir(exist_ok=True)
    (root / "data.yaml").write_text(yaml)
    for name in ("a.jpg", "b.png"):
        picture(root / "images/train" / name)
    label(root / "labels/train/a.txt", rows)
    return root


def read(root: Path, split: str = "train") -> DetectionIndex:
    index = read_yolo_txt(root, split)
    assert index is not None
    return index


def test_rows_become_boxes_in_pixels(tmp_path: Path) -> None:
    index = read(make(tmp_path, "1 0.5 0.5 0.2 0.4\n\n0 0.1 0.2 0.1 0.1"))
    assert [index.path(i).name for i in range(2)] == ["a.jpg", "b.png"]
    assert index.first.tolist() == [0, 2, 2], "a picture without a label file has no objects"
    np.testing.assert_allclose(index.boxes, [[80, 30, 40, 40], [10, 15, 20, 10]])
    assert index.labels.tolist() == [1, 0]
    np.testing.assert_allclose(index.areas, [1600, 200])
    assert index.classes == ("cat", "dog") and index.category_ids == (0, 1)
    assert index.size(0) == (100, 200) and index.warnings == ()
    assert not index.crowd.any()


def test_polygons_become_their_boxes(tmp_path: Path) -> None:
    index = read(make(tmp_path, "0 0.1 0.2 0.5 0.9 0.3 0.4\n1 0.2 0.2 0.4 0.2 0.4 0.6 0.2 0.6\n"))
    np.testing.assert_allclose(index.boxes, [[20, 20, 80, 70], [40, 20, 40, 40]])


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_boxes_are_parts_of_the_upright_picture(
    tmp_path: Path, suffix: str, orientation: int
) -> None:
    make(tmp_path, "")
    name = f"turned{suffix}"
    picture(tmp_path / "images/train" / name, orientation)
    label(tmp_path / "labels/train/turned.txt", "0 0.5 0.5 0.5 0.5")
    index = read(tmp_path)
    at = next(i for i in range(len(index)) if index.path(i).name == name)
    height, width = (100, 200) if orientation < 5 else (200, 100)
    assert index.size(at) == (height, width)
    assert read_image(index.path(at), index.size(at)).shape[:2] == (height, width)
    np.testing.assert_allclose(index.boxes, [[width / 4, height / 4, width / 2, height / 2]])


def test_values_outside_are_clipped_with_a_count(tmp_path: Path) -> None:
    index = read(make(tmp_path, "0 0.9 0.5 0.4 0.2\n0 1.1 -0.1 0.4 0.4\n1 -0.1 0 0.5 0 0.5 1.2\n"))
    np.testing.assert_allclose(
        index.boxes, [[140, 40, 60, 20], [180, 0, 20, 10], [0, 0, 100, 100]], atol=1e-9
    )
    assert len(index.warnings) == 1 and ": 2 row" in index.warnings[0]
    assert "clipped" in index.warnings[0]


@pytest.mark.parametrize(
    ("row", "cause"),
    [
        ("2 0.5 0.5 0.2 0.2", r"class 2 isn't declared .*\(declared: 0, 1\)"),
        ("-1 0.5 0.5 0.2 0.2", "class -1"),
        ("0.5 0.5 0.5 0.2 0.2", r"class 0\.5"),
        ("cat 0.5 0.5 0.2 0.2", "isn't numbers"),
        ("0 0.5 0.5 0.2", "neither class cx cy w h nor"),
        ("0 0.5 0.5 0.2 0.2 0.9", "neither class cx cy w h nor"),
        ("0 nan 0.5 0.2 0.2", "nan"),
        ("0 50 50 20 20", "isn't normalised"),
        ("0", "neither"),
    ],
)
def test_bad_rows_are_named_with_file_and_line(tmp_path: Path, row: str, cause: str) -> None:
    make(tmp_path, f"0 0.5 0.5 0.2 0.2\n\n{row}\n")
    with pytest.raises(DataError, match=cause) as caught:
        read_yolo_txt(tmp_path, "train")
    message = str(caught.value)
    assert message.startswith(f"{tmp_path}/labels/train/a.txt:3: ")
    assert "\n" not in message and ";" in message


@pytest.mark.parametrize(
    ("names", "classes", "ids"),
    [
        ("[cat, dog]", ("cat", "dog"), (0, 1)),
        ("{0: cat, 1: dog}", ("cat", "dog"), (0, 1)),
        ("{7: dog, 0: cat}", ("cat", "dog"), (0, 7)),
        ("[no, 1]", ("no", "1"), (0, 1)),
    ],
)
def test_names(tmp_path: Path, names: str, classes: tuple[str, ...], ids: tuple[int, ...]) -> None:
    yaml = f"names: {names}\ntrain: images/train\n"
    index = read(make(tmp_path, f"{ids[1]} 0.5 0.5 0.2 0.2", yaml))
    assert index.classes == classes and index.category_ids == ids
    assert index.labels.tolist() == [1]


def test_splits_that_are_not_declared(tmp_path: Path) -> None:
    make(tmp_path)
    assert read_yolo_txt(tmp_path, "test") is None
    picture(tmp_path / "images/val/c.jpg")
    label(tmp_path / "labels/val/c.txt", "")
    assert len(read(tmp_path, "val")) == 1


@pytest.mark.parametrize("entry", ["valid: valid/images", "val: valid/images", "val: valid"])
def test_valid_is_val(tmp_path: Path, entry: str) -> None:
    make(tmp_path, yaml=f"names: [cat]\ntrain: images/train\n{entry}\n")
    picture(tmp_path / "valid/images/x/c.jpg")
    label(tmp_path / "valid/labels/x/c.txt", "0 0.5 0.5 1 1")
    index = read(tmp_path, "val")
    assert index.boxes.tolist() == [[0, 0, 200, 100]]


def test_roboflows_folders_beside_the_yaml(tmp_path: Path) -> None:
    root = tmp_path / "set"
    make(root, yaml="names: [cat]\ntrain: ../train/images\n")
    picture(root / "train/images/r.jpg")
    label(root / "train/labels/r.txt", "0 0.5 0.5 1 1")
    index = read(root)
    assert index.path(0).name == "r.jpg" and len(index.boxes) == 1


@pytest.mark.parametrize("path", [".", "sub", "ABSOLUTE", "../not/on/this/computer"])
def test_path_says_where_the_folders_are(tmp_path: Path, path: str) -> None:
    home = {"sub": tmp_path / "sub", "ABSOLUTE": tmp_path / "far"}.get(path, tmp_path)
    make(home)
    where = home if path == "ABSOLUTE" else path
    (tmp_path / "data.yaml").write_text(f"path: {where}\n{YAML}")
    index = read(tmp_path)
    assert len(index) == 2 and len(index.boxes) == 1


def test_lists_of_folders_and_of_files(tmp_path: Path) -> None:
    make(tmp_path, yaml="names: [cat]\ntrain: [images/train, images/more]\nval: lists/val.txt\n")
    picture(tmp_path / "images/more/m.jpg")
    label(tmp_path / "labels/more/m.txt", "0 0.5 0.5 0.5 0.5")
    assert [read(tmp_path).path(i).name for i in range(3)] == ["a.jpg", "b.png", "m.jpg"]
    label(tmp_path / "lists/val.txt", f"./images/more/m.jpg\n\n{tmp_path}/images/train/a.jpg\n")
    index = read(tmp_path, "val")
    assert [index.path(i).name for i in range(2)] == ["m.jpg", "a.jpg"]
    assert index.first.tolist() == [0, 1, 2]
    label(tmp_path / "lists/val.txt", "./images/more/m.jpg\n./images/more/gone.jpg\n")
    with pytest.raises(DataError, match=r"1 of 2 pictures are missing, first 'images/more/gone"):
        read_yolo_txt(tmp_path, "val")


def test_only_the_last_images_folder_is_replaced(tmp_path: Path) -> None:
    root = tmp_path / "images" / "my images" / "set"
    root.parent.mkdir(parents=True)
    index = read(make(root))
    assert len(index.boxes) == 1


@pytest.mark.parametrize(
    ("yaml", "cause"),
    [
        ("names: [a\ntrain: x", r"broken YAML at line 2"),
        ("- a\n- b\n", "isn't a mapping"),
        ("", "isn't a mapping"),
        ("train: images/train\n", "no names"),
        ("names: []\ntrain: images/train\n", "no names"),
        ("names: [a, a]\ntrain: images/train\n", "two classes are called 'a'"),
        ("names: {x: a}\ntrain: images/train\n", "number: name"),
        ("names: [a, b]\nnc: 3\ntrain: images/train\n", "nc is 3, but names has 2"),
        ("names: [a, b]\n", "train, val and test"),
        ("names: [a, b]\ntrain: images/nowhere\n", "'images/nowhere'.*looked for"),
        ("names: [a, b]\ntrain: empty\n", "has no pictures"),
    ],
)
def test_broken_yaml_is_one_line(tmp_path: Path, yaml: str, cause: str) -> None:
    (tmp_path / "empty").mkdir()
    make(tmp_path, yaml=yaml)
    with pytest.raises(DataError, match=cause) as caught:
        read_yolo_txt(tmp_path, "train")
    assert str(caught.value).startswith(f"{tmp_path}/data.yaml") and "\n" not in str(caught.value)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.yaml"):
        read_yolo_txt(tmp_path, "train")
    with pytest.raises(DataError, match="doesn't exist"):
        read_yolo_txt(tmp_path / "nowhere", "train")
    make(tmp_path)
    (tmp_path / "labels/train/a.txt").unlink()
    with pytest.raises(DataError, match=r"none of the 2 pictures of train has a label file"):
        read_yolo_txt(tmp_path, "train")


def test_a_picture_that_is_none(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "images/train/c.jpg").write_text("no picture")
    with pytest.raises(DataError, match=r"c\.jpg: isn't a picture"):
        read_yolo_txt(tmp_path, "train")


def test_a_picture_that_is_listed_twice_counts_once(tmp_path: Path) -> None:
    make(
        tmp_path, yaml="names: [cat]\ntrain: [images/train, more.txt, images, ./images/../images]\n"
    )
    label(tmp_path / "more.txt", "images/train/b.png\nimages/train/b.png\nimages/more/c.jpg\n")
    picture(tmp_path / "images/more/c.jpg")
    with collecting("train") as found:
        index = read(tmp_path)
    assert [index.path(i).name for i in range(len(index))] == ["a.jpg", "b.png", "c.jpg"]
    assert len(index.boxes) == 1
    (line,) = index.warnings
    assert line.endswith("data.yaml: train: 8 picture(s) listed more than once: taken once")
    assert [(d.kind, d.effect) for d in found] == [("listed-twice", "mended")]
