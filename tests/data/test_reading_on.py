"""Readers that go on past what is wrong with one annotation, picture or class."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from visionkit.data.coco import read_coco
from visionkit.data.defects import Defect, collecting
from visionkit.data.index import DetectionIndex
from visionkit.data.voc import read_voc
from visionkit.data.yolo_txt import read_yolo_txt
from visionkit.errors import DataError

Content = dict[str, Any]
PNG = cv2.imencode(".png", np.full((50, 100, 3), 90, np.uint8))[1].tobytes()


def picture(path: Path) -> None:
    """100 wide, 50 high."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(PNG)


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def read(
    reader: Callable[..., Any], root: Path, split: str = "train", **options: Any
) -> tuple[Any, list[Defect]]:
    """What a reader gives, and what it loses, which stops whoever doesn't collect."""
    with collecting(split) as found:
        index = reader(root, split, **options)
    lost = [defect for defect in found if defect.effect == "stops"]
    if lost:
        with pytest.raises(DataError, match=r"data\.defects=drop$"):
            reader(root, split, **options)
    return index, found


def kinds(found: list[Defect]) -> list[str]:
    return [defect.kind for defect in found]


def coco(root: Path, change: Callable[[Content], None], split: str = "train") -> Path:
    """Pictures 7 and 3 with annotations 1, 2 (of 7) and 3, changed; returns the JSON."""
    boxes = [(1, 7, 4), (2, 7, 5), (3, 3, 4)]
    content: Content = {
        "images": [
            {"id": 7, "file_name": "a.png", "width": 100, "height": 50},
            {"id": 3, "file_name": "b.png", "width": 100, "height": 50},
        ],
        "annotations": [
            {
                **{"id": i, "image_id": image, "category_id": category, "iscrowd": 0, "area": 100},
                "bbox": [10 * i, 10, 10, 10],
            }
            for i, image, category in boxes
        ],
        "categories": [{"id": 4, "name": "cat"}, {"id": 5, "name": "dog"}],
    }
    for name in ("a.png", "b.png"):
        picture(root / split / name)
    change(content)
    path = root / "annotations" / f"instances_{split}.json"
    put(path, json.dumps(content))
    return path


def with_(where: str, position: int, **values: object) -> Callable[[Content], None]:
    return lambda content: content[where][position].update(values)


def adding(where: str, **entry: object) -> Callable[[Content], None]:
    return lambda content: content[where].append(entry)


@pytest.mark.parametrize(
    ("change", "kind", "kept", "pictures"),
    [
        (with_("annotations", 1, category_id=99), "undeclared-category", [1, 3], [7, 3]),
        (with_("annotations", 1, category_id=None), "undeclared-category", [1, 3], [7, 3]),
        (with_("annotations", 0, image_id=99), "dangling-annotation", [2, 3], [7, 3]),
        (with_("annotations", 0, bbox=[1, 2, 3, float("nan")]), "bad-box", [2, 3], [7, 3]),
        (with_("annotations", 0, bbox=[1, 2, -3, 4]), "bad-box", [2, 3], [7, 3]),
        (with_("annotations", 0, bbox=[1, 2, 3, 0]), "zero-area", [1, 2, 3], [7, 3]),
        (with_("annotations", 0, bbox=[100, 2, 3, 4]), "outside", [1, 2, 3], [7, 3]),
        (
            with_("annotations", 1, category_id=4, bbox=[10, 10, 10, 10]),
            "duplicate-annotation",
            [1, 2, 3],
            [7, 3],
        ),
        (with_("annotations", 0, id=0), "zero-id", [1, 2, 3], [7, 3]),
        (with_("annotations", 0, id=2), "repeated-id", [1, 2, 3], [7, 3]),
        (with_("annotations", 0, id=None), "missing-id", [1, 2, 3], [7, 3]),
        (with_("annotations", 0, iscrowd=None), "missing-iscrowd", [1, 2, 3], [7, 3]),
        (with_("annotations", 0, area=None), "missing-area", [1, 2, 3], [7, 3]),
        (lambda c: c["annotations"].append(3), "bad-entry", [1, 2, 3], [7, 3]),
        (with_("images", 0, file_name="../a.png"), "bad-file-name", [3], [3]),
        (with_("images", 0, file_name=None), "bad-file-name", [3], [3]),
        (with_("images", 0, file_name="a\ud800.png"), "bad-file-name", [3], [3]),
        (with_("images", 0, file_name="a\0/b.png"), "bad-file-name", [3], [3]),
        (with_("images", 0, file_name="gone.png"), "missing-file", [3], [3]),
        (with_("images", 0, id="7"), "bad-id", [3], [3]),
        (adding("images", id=7, file_name="a.png"), "duplicate-image-id", [1, 2, 3], [7, 3]),
        (adding("images", id=7, file_name="c.png"), "duplicate-image-id", [3], [3]),
        (with_("images", 0, width=None), "missing-size", [1, 2, 3], [7, 3]),
        (adding("categories", id=5, name="cow"), "bad-category", [1, 2, 3], [7, 3]),
        (adding("categories", id=6), "bad-category", [1, 2, 3], [7, 3]),
        (adding("categories", id="6", name="cow"), "bad-id", [1, 2, 3], [7, 3]),
        (adding("categories", id=9, name="cow"), "id-gap", [1, 2, 3], [7, 3]),
        (adding("categories", id=0, name="cat"), "unused-category", [1, 2, 3], [7, 3]),
    ],
)
def test_coco(
    tmp_path: Path,
    change: Callable[[Content], None],
    kind: str,
    kept: list[int],
    pictures: list[int],
) -> None:
    path = coco(tmp_path, change)
    index, found = read(read_coco, tmp_path)
    more = ["dangling-annotation"] * 2 if (kind, kept) == ("bad-id", [3]) else []
    assert kinds(found) == [kind, *more]
    assert found[0].split == "train"
    where = str(tmp_path / "train" / "gone.png") if kind == "missing-file" else str(path)
    assert found[0].file == where
    assert found[0].cause and found[0].mend
    assert index.annotation_ids.tolist() == kept
    assert index.image_ids.tolist() == pictures
    assert "cat" in index.classes and "dog" in index.classes


def test_coco_all_at_once(tmp_path: Path) -> None:
    def change(content: Content) -> None:
        content["annotations"] += [
            {"id": 4, "image_id": 7, "category_id": 8, "bbox": [1, 1, 5, 5]},
            {"id": 5, "image_id": 7, "category_id": 9, "bbox": [1, 1, 5, 5]},
            {"id": 6, "image_id": 8, "category_id": 5, "bbox": [1, 1, 5, 5]},
            {"id": 7, "image_id": 3, "category_id": 6, "bbox": [1, 1, 5, 5]},
        ]
        content["images"].append({"id": 8, "file_name": "gone.png", "width": 9, "height": 9})
        content["categories"].append({"id": 6, "name": "cat"})

    coco(tmp_path, change)
    index, found = read(read_coco, tmp_path)
    lost = [defect for defect in found if defect.effect == "stops"]
    assert kinds(lost) == ["bad-category", *["undeclared-category"] * 2, "missing-file"]
    assert [d.cause for d in lost if d.kind == "undeclared-category"] == [
        f"annotation {i} has category id {c}, which isn't declared (declared: 4, 5)"
        for i, c in ((4, 8), (5, 9))
    ]
    assert index.annotation_ids.tolist() == [1, 2, 3, 7]
    assert index.classes == ("cat", "dog")
    assert index.labels.tolist() == [0, 1, 0, 0], "of two classes of a name, one is left"


def test_coco_splits_without_pictures(tmp_path: Path) -> None:
    coco(tmp_path, lambda c: c.update(images=[], annotations=[]), "val")
    index, found = read(read_coco, tmp_path, "val")
    assert index is None and kinds(found) == ["empty-split"]
    coco(tmp_path, lambda c: c.update(images=[], annotations=[]))
    with collecting(), pytest.raises(DataError, match="lists no images"):
        read_coco(tmp_path, "train")
    coco(tmp_path, lambda c: c.update(categories=[]))
    with collecting(), pytest.raises(DataError, match="declares no categories"):
        read_coco(tmp_path, "train")


def test_nothing_at_all_is_still_an_error(tmp_path: Path) -> None:
    coco(tmp_path, lambda c: None)
    for name in ("a.png", "b.png"):
        (tmp_path / "train" / name).unlink()
    with collecting(), pytest.raises(DataError, match=r"2 of 2 pictures are missing.*annotations$"):
        read_coco(tmp_path, "train")
    coco(tmp_path, lambda c: [image.update(id="x") for image in c["images"]])
    with collecting(), pytest.raises(DataError, match="none of its 2 images can be used"):
        read_coco(tmp_path, "train")


ROW = "0 0.5 0.5 0.2 0.4"


def yolo(root: Path, rows: str = ROW) -> None:
    """Pictures a, with ``rows``, and b, with one, to train."""
    put(root / "data.yaml", "names: [cat, dog]\ntrain: images/train\nval: images/val\n")
    for name in ("a", "b"):
        picture(root / f"images/train/{name}.png")
        put(root / f"labels/train/{name}.txt", ROW)
    put(root / "labels/train/a.txt", f"{ROW}\n{rows}\n1 0.1 0.2 0.1 0.2\n")


@pytest.mark.parametrize(
    ("row", "kind", "kept"),
    [
        ("2 0.5 0.5 0.2 0.2", "undeclared-category", 2),
        ("cat 0.5 0.5 0.2 0.2", "bad-row", 2),
        ("0 0.5 0.5 0.2", "bad-row", 2),
        ("0.5 0.5 0.5 0.2 0.2", "bad-row", 2),
        ("0 nan 0.5 0.2 0.2", "bad-box", 2),
        ("0 50 50 20 20", "bad-box", 2),
        ("0 0.9 0.5 0.4 1.2", "partly-outside", 3),
        ("0 0.5 0.5 0 0.2", "zero-area", 3),
        (ROW, "duplicate-annotation", 3),
    ],
)
def test_yolo(tmp_path: Path, row: str, kind: str, kept: int) -> None:
    yolo(tmp_path, row)
    index, found = read(read_yolo_txt, tmp_path)
    assert kinds(found) == [kind]
    assert found[0].file == f"{tmp_path}/labels/train/a.txt:2"
    assert index.first.tolist() == [0, kept, kept + 1]
    assert index.labels.tolist()[-2:] == [1, 0]


def test_yolo_pictures(tmp_path: Path) -> None:
    yolo(tmp_path, "")
    for name in ("c", "d"):
        picture(tmp_path / f"images/train/{name}.png")
    (tmp_path / "images/train/c.png").write_text("no picture")
    (tmp_path / "labels/train/d.txt").write_bytes(b"\xff\xfe")
    (tmp_path / "images/val").mkdir()
    index, found = read(read_yolo_txt, tmp_path)
    assert [(d.kind, d.file) for d in found] == [
        ("unreadable", f"{tmp_path}/images/train/c.png"),
        ("unreadable", f"{tmp_path}/labels/train/d.txt"),
    ]
    assert [index.path(i).name for i in range(len(index))] == ["a.png", "b.png"]
    assert index.first.tolist() == [0, 2, 3]
    index, found = read(read_yolo_txt, tmp_path, "val")
    assert index is None and kinds(found) == ["empty-split"]
    put(tmp_path / "data.yaml", "names: [cat, dog]\ntrain: list.txt\n")
    put(tmp_path / "list.txt", "images/train/a.png\nimages/train/gone.png\n")
    index, found = read(read_yolo_txt, tmp_path)
    assert [(d.kind, d.file) for d in found] == [
        ("missing-file", f"{tmp_path}/images/train/gone.png")
    ]
    assert len(index) == 1


def thing(name: str, *box: float) -> str:
    sides = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=False)
    inner = "".join(f"<{key}>{value}</{key}>" for key, value in sides)
    return f"<object><name>{name}</name><bndbox>{inner}</bndbox></object>"


def voc(root: Path, *stems: str, objects: str = "") -> None:
    """Pictures ``stems`` to train, each with a dog (and the first with ``objects``), v to val."""
    for stem in (*stems, "v"):
        picture(root / f"JPEGImages/{stem}.png")
        size = "<size><width>100</width><height>50</height></size>"
        more = objects if stem == stems[0] else ""
        put(
            root / f"Annotations/{stem}.xml",
            f"<annotation>{size}{thing('dog', 1, 1, 9, 9)}{more}</annotation>",
        )
    put(root / "ImageSets/Main/train.txt", "\n".join(stems))
    put(root / "ImageSets/Main/val.txt", "v\n")


@pytest.mark.parametrize(
    ("entry", "kind", "kept"),
    [
        (thing("", 1, 1, 5, 5), "unnamed-object", 1),
        (thing("dog", 9, 9, 5, 5), "bad-box", 1),
        (thing("dog", 1, 1, 5), "bad-box", 1),
        (thing("dog", 1, 1, 0, 5), "bad-box", 1),
        (thing("dog", 150, 1, 160, 5), "outside", 2),
        (thing("dog", 1, 1, 9, 9), "duplicate-annotation", 2),
    ],
)
def test_voc(tmp_path: Path, entry: str, kind: str, kept: int) -> None:
    voc(tmp_path, "a", "b", objects=entry)
    index, found = read(read_voc, tmp_path)
    assert kinds(found) == [kind]
    assert found[0].file == f"{tmp_path}/Annotations/a.xml" and "object 2" in found[0].cause
    assert index.first.tolist() == [0, kept, kept + 1]


def test_voc_pictures(tmp_path: Path) -> None:
    voc(tmp_path, "a", "b", "c", "d", "e")
    put(tmp_path / "Annotations/b.xml", "<annotation>")
    (tmp_path / "Annotations/c.xml").unlink()
    (tmp_path / "JPEGImages/d.png").unlink()
    put(tmp_path / "ImageSets/Main/train.txt", "a\nb\nc\nd\ne\ne\n../f\n")
    index, found = read(read_voc, tmp_path)
    assert sorted((d.kind, Path(d.file).name) for d in found) == [
        ("bad-file-name", "train.txt"),
        ("broken-xml", "b.xml"),
        ("listed-twice", "train.txt"),
        ("missing-file", "c.xml"),
        ("missing-file", "d.jpg"),
    ]
    assert [index.path(i).stem for i in range(len(index))] == ["a", "e"]
    with collecting() as found:
        val = read_voc(tmp_path, "val")
    assert found == [], "what is wrong with another split is told there"
    assert isinstance(val, DetectionIndex) and len(val) == 1
    put(tmp_path / "ImageSets/Main/val.txt", "\n")
    index, found = read(read_voc, tmp_path, "val")
    assert index is None and "empty-split" in kinds(found)
    put(tmp_path / "ImageSets/Main/train.txt", "b\n")
    with collecting(), pytest.raises(DataError, match="none of its pictures can be used"):
        read_voc(tmp_path, "train")
