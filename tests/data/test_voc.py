"""Pascal VOC's devkit."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from visionkit.data.index import DetectionIndex
from visionkit.data.voc import VOC_CLASSES, read_voc
from visionkit.errors import DataError


def thing(name: str, box: tuple[object, ...], extra: str = "") -> str:
    sides = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    inner = "".join(f"<{k}>{v}</{k}>" for k, v in sides)
    return f"<object><name>{name}</name>{extra}<bndbox>{inner}</bndbox></object>"


def add(
    root: Path, stem: str, *objects: str, suffix: str = ".jpg", size: tuple[int, int] = (100, 50)
) -> None:
    (root / "JPEGImages").mkdir(parents=True, exist_ok=True)
    (root / "Annotations").mkdir(exist_ok=True)
    Image.new("RGB", (100, 50)).save(root / "JPEGImages" / (stem + suffix))
    width, height = size
    (root / "Annotations" / f"{stem}.xml").write_text(
        f"<annotation><size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
        f"{''.join(objects)}</annotation>"
    )


def split(root: Path, name: str, text: str) -> None:
    folder = root / "ImageSets" / "Main"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.txt").write_text(text)


def make(root: Path) -> Path:
    add(
        root,
        "2008_1",
        thing("person", (1, 1, 100, 50)),
        thing("dog", (11, 21, 30, 40), "<difficult>1</difficult>"),
        thing("cat", ("45.5", 2, "60.25", 9), "<difficult>0</difficult>"),
    )
    add(root, "2008_2")
    add(root, "2008_3", thing("sofa", (5, 5, 5, 5)), suffix=".png")
    split(root, "train", "2008_3\n2008_1\n2008_2\n")
    split(root, "val", "2008_2\n")
    return root


def read(root: Path, name: str = "train") -> DetectionIndex:
    index = read_voc(root, name)
    assert index is not None
    return index


def test_boxes_count_from_one_and_include_the_last_pixel(tmp_path: Path) -> None:
    index = read(make(tmp_path))
    assert [index.path(i).name for i in range(3)] == ["2008_3.png", "2008_1.jpg", "2008_2.jpg"]
    assert index.first.tolist() == [0, 1, 4, 4]
    np.testing.assert_allclose(
        index.boxes, [[4, 4, 1, 1], [0, 0, 100, 50], [10, 20, 20, 20], [44.5, 1, 15.75, 8]]
    )
    assert [index.classes[k] for k in index.labels] == ["sofa", "person", "dog", "cat"]
    assert index.size(1) == (50, 100) and index.warnings == ()


def test_difficult_objects_neither_train_nor_count(tmp_path: Path) -> None:
    index = read(make(tmp_path))
    assert index.crowd.tolist() == [False, False, True, False]
    _, labels = index.targets(1, (50, 100))
    assert [index.classes[k] for k in labels] == ["person", "cat"]


def test_the_classes_are_vocs_where_all_names_are(tmp_path: Path) -> None:
    make(tmp_path)
    for name in ("train", "val"):
        index = read(tmp_path, name)
        assert index.classes == VOC_CLASSES and len(set(VOC_CLASSES)) == 20
        assert index.category_ids == tuple(range(1, 21))
    assert read_voc(tmp_path, "test") is None


def test_other_names_make_their_own_list_the_same_for_all_splits(tmp_path: Path) -> None:
    make(tmp_path)
    add(tmp_path, "own", thing("zebra", (1, 1, 2, 2)))
    split(tmp_path, "test", "own\n")
    for name in ("train", "val", "test"):
        assert read(tmp_path, name).classes == ("cat", "dog", "person", "sofa", "zebra")
    index = read(tmp_path, "test")
    assert index.labels.tolist() == [4] and index.category_ids == (1, 2, 3, 4, 5)


def test_parts_of_an_object_are_no_objects(tmp_path: Path) -> None:
    make(tmp_path)
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    add(tmp_path, "2008_2", thing("person", (3, 3, 9, 9), part))
    index = read(tmp_path, "val")
    assert index.classes == VOC_CLASSES and index.boxes.tolist() == [[2, 2, 7, 7]]


@pytest.mark.parametrize("above", ["", "VOC2012", "VOCdevkit/VOC2012"])
def test_the_root_may_be_a_parent(tmp_path: Path, above: str) -> None:
    make(tmp_path / above)
    assert read(tmp_path).path(1) == tmp_path / above / "JPEGImages" / "2008_1.jpg"


def test_two_sets_under_the_root_are_ambiguous(tmp_path: Path) -> None:
    make(tmp_path / "VOC2007")
    make(tmp_path / "VOC2012")
    with pytest.raises(DataError, match=r"several VOC sets \(VOC2007, VOC2012\)"):
        read_voc(tmp_path, "train")


def test_boxes_that_are_none_are_dropped_with_a_word(tmp_path: Path) -> None:
    make(tmp_path)
    backwards, text = thing("dog", (9, 9, 3, 12)), thing("dog", ("x", 1, 2, 3))
    bare = "<object><name>dog</name></object>"
    add(tmp_path, "2008_2", backwards, text, bare, thing("dog", (0, 0, 4, 4)))
    index = read(tmp_path, "val")
    assert index.boxes.tolist() == [[0, 0, 4, 4]], "a box that counts from 0 is clipped"
    assert len(index.warnings) == 1 and "3 object(s) without a usable bndbox" in index.warnings[0]


def test_a_size_that_is_not_stated_is_unknown(tmp_path: Path) -> None:
    make(tmp_path)
    add(tmp_path, "2008_2", size=(0, 0))
    assert read(tmp_path, "val").size(0) is None


def test_lists_with_suffixes_blanks_and_repeats(tmp_path: Path) -> None:
    make(tmp_path)
    split(tmp_path, "train", "2008_1.jpg\n\n 2008_2 \n2008_1\n")
    index = read(tmp_path)
    assert [index.path(i).stem for i in range(len(index))] == ["2008_1", "2008_2"]


def error(root: Path, name: str = "train") -> str:
    with pytest.raises(DataError) as caught:
        read_voc(root, name)
    message = str(caught.value)
    assert message.startswith(str(root)) and "\n" not in message and ";" in message
    return message


def test_missing_parts_are_named(tmp_path: Path) -> None:
    assert "ImageSets/Main" in error(tmp_path)
    make(tmp_path)
    split(tmp_path, "train", "2008_1\ngone\n")
    assert "1 of 2 annotation files are missing, first 'gone'" in error(tmp_path)
    (tmp_path / "JPEGImages" / "2008_2.jpg").unlink()
    assert "1 of 1 pictures are missing, first '2008_2'" in error(tmp_path, "val")
    split(tmp_path, "train", "\n")
    assert "lists no pictures" in error(tmp_path)
    for name in ("train", "val"):
        (tmp_path / "ImageSets/Main" / f"{name}.txt").unlink()
    assert "train.txt" in error(tmp_path)
    assert "doesn't exist" in error(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["<annotation><object>", "", "no xml at all", "<a>&what;</a>"])
def test_broken_xml_is_one_line(tmp_path: Path, text: str) -> None:
    make(tmp_path)
    (tmp_path / "Annotations" / "2008_1.xml").write_text(text)
    message = error(tmp_path)
    assert "2008_1.xml" in message and "broken XML" in message


def test_an_object_without_a_name(tmp_path: Path) -> None:
    make(tmp_path)
    add(tmp_path, "2008_1", thing(" ", (1, 1, 2, 2)))
    assert "object 1 has no name" in error(tmp_path)
