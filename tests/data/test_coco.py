import contextlib
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from visionkit.data.coco import read_coco
from visionkit.errors import DataError

Content = dict[str, Any]


def content() -> Content:
    return {
        "images": [
            {"id": 7, "file_name": "b.jpg", "width": 100, "height": 50},
            {"id": 3, "file_name": "a.jpg", "width": 30, "height": 40},
            {"id": 5, "file_name": "empty.jpg"},
        ],
        "annotations": [
            annotation(11, 3, 90, [1.5, 2, 3, 4], area=9.5),
            annotation(12, 7, 18, [10, 20, 30, 10]),
            annotation(13, 3, 18, [0, 0, 0, 8], area=0),
            annotation(14, 7, 90, [0, 0, 100, 50], iscrowd=1),
        ],
        "categories": [{"id": 90, "name": "brush"}, {"id": 18, "name": "dog"}],
    }


def annotation(id_: int, image: int, category: int, bbox: object, **more: object) -> Content:
    given = {"id": id_, "image_id": image, "category_id": category, "bbox": bbox, "iscrowd": 0}
    size = bbox[2] * bbox[3] if isinstance(bbox, list) and len(bbox) == 4 else 1
    return given | {"area": size} | more


def write(
    root: Path,
    data: object,
    file: str = "annotations/instances_train.json",
    folder: str = "images",
) -> Path:
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    (root / folder).mkdir(parents=True, exist_ok=True)
    for name in ("a.jpg", "b.jpg", "empty.jpg"):
        (root / folder / name).touch()
    return root


def test_reads_ids_with_gaps_crowds_and_empty_pictures(tmp_path: Path) -> None:
    index = read_coco(write(tmp_path, content()), "train")
    assert index is not None
    assert index.classes == ("dog", "brush") and index.category_ids == (18, 90)
    assert index.image_ids.tolist() == [7, 3, 5]
    assert [index.path(i).name for i in range(3)] == ["b.jpg", "a.jpg", "empty.jpg"]
    assert [index.size(i) for i in range(3)] == [(50, 100), (40, 30), None]
    assert index.first.tolist() == [0, 2, 4, 4]
    assert index.annotation_ids.tolist() == [12, 14, 11, 13]
    assert index.labels.tolist() == [0, 1, 1, 0]
    assert index.boxes[2].tolist() == [1.5, 2, 3, 4]
    assert index.areas.tolist() == [300, 5000, 9.5, 0]
    assert index.crowd.tolist() == [False, True, False, False]
    (flat,) = index.warnings
    assert flat.endswith(": 1 annotation with a box without area: not trained on")
    assert index.targets(1, (40, 30))[0].tolist() == [[1.5, 2, 4.5, 6]]  # the flat box is dropped


@pytest.mark.parametrize(
    ("file", "folder"),
    [
        ("annotations/instances_train.json", "images"),
        ("annotations/instances_train.json", "images/train"),
        ("annotations/instances_train.json", "train"),
        ("annotations/instances_train2017.json", "images/train2017"),
        ("annotations/instances_train2017.json", "train2017"),
        ("annotations/instances_train.json", "train2017"),
        ("train/_annotations.coco.json", "train"),
    ],
)
def test_layouts(tmp_path: Path, file: str, folder: str) -> None:
    index = read_coco(write(tmp_path, content(), file, folder), "train")
    assert index is not None
    assert index.path(0) == tmp_path / folder / "b.jpg"
    assert read_coco(tmp_path, "test") is None


@pytest.mark.parametrize("name", ["val", "valid"])
def test_roboflow_calls_val_valid(tmp_path: Path, name: str) -> None:
    index = read_coco(write(tmp_path, content(), f"{name}/_annotations.coco.json", name), "val")
    assert index is not None and index.path(0) == tmp_path / name / "b.jpg"


def test_file_names_with_folders(tmp_path: Path) -> None:
    data = content()
    for image in data["images"]:
        image["file_name"] = "train2017/" + image["file_name"]
    index = read_coco(write(tmp_path, data, folder="train2017"), "train")
    assert index is not None and index.path(0) == tmp_path / "train2017" / "b.jpg"


def test_pictures_of_another_split_are_not_taken(tmp_path: Path) -> None:
    write(tmp_path, content(), folder="images/train")
    write(tmp_path, content(), "annotations/instances_val.json", "images/val")
    for split in ("train", "val"):
        index = read_coco(tmp_path, split)
        assert index is not None and index.path(0).parent == tmp_path / "images" / split


def change(where: str, position: int, **values: object) -> Callable[[Content], None]:
    def apply(data: Content) -> None:
        for key, value in values.items():
            if value is None:
                data[where][position].pop(key, None)
            else:
                data[where][position][key] = value

    return apply


@pytest.mark.parametrize(
    ("edit", "warning"),
    [
        (change("annotations", 0, iscrowd=None), "1 annotation without iscrowd: taken as 0"),
        (change("annotations", 1, area=None), "1 annotation without an area"),
        (change("annotations", 1, area=float("nan")), "1 annotation without an area"),
        (change("annotations", 0, id=0), "4 annotations had .* numbered from 1"),
        (change("annotations", 0, id=12), "4 annotations had .* numbered from 1"),
        (change("annotations", 0, id=None), "4 annotations had .* numbered from 1"),
    ],
)
def test_mends_with_a_warning(
    tmp_path: Path, edit: Callable[[Content], None], warning: str
) -> None:
    data = content()
    edit(data)
    index = read_coco(write(tmp_path, data), "train")
    assert index is not None and len(index.labels) == 4
    line, flat = index.warnings
    assert "without area" in flat
    assert re.search(warning, line)
    assert "instances_train.json" in line
    numbers = [1, 2, 3, 4] if "ids" in line else [11, 12, 13, 14]
    assert sorted(index.annotation_ids.tolist()) == numbers
    assert index.areas[0] == 300
    assert index.crowd.tolist() == [False, True, False, False]


@pytest.mark.parametrize(
    "bbox", [[1, 2, 3], [1, 2, 3, float("nan")], [1, 2, float("inf"), 3], "box", [1, 2, -3, 4], []]
)
def test_drops_what_is_no_box(tmp_path: Path, bbox: object) -> None:
    data = content()
    data["annotations"][1]["bbox"] = bbox
    index = read_coco(write(tmp_path, data), "train")
    assert index is not None and index.annotation_ids.tolist() == [14, 11, 13]
    assert "1 annotation without a usable bbox" in index.warnings[0]


@pytest.mark.parametrize(
    "segmentation",
    [
        [[10, 20, 40, 20, 40, 30], [12, 25, 13, 26, 14, 25]],
        # 50 rows: 10 columns of nothing, then 30 columns with rows 20..29 set
        {"size": [50, 100], "counts": [520, *[10, 40] * 29, 10, 3020]},
    ],
)
def test_box_from_mask(tmp_path: Path, segmentation: object) -> None:
    data = content()
    del data["annotations"][1]["bbox"]
    data["annotations"][1]["segmentation"] = segmentation
    index = read_coco(write(tmp_path, data), "train")
    assert index is not None and index.boxes[0].tolist() == [10, 20, 30, 10]


def test_unused_parent_of_the_same_name(tmp_path: Path) -> None:
    data = content()
    data["categories"].append({"id": 0, "name": "dog", "supercategory": "none"})
    index = read_coco(write(tmp_path, data), "train")
    assert index is not None and index.category_ids == (18, 90)
    assert "id 0" in index.warnings[0]


def test_unused_parent_is_a_class_like_any_other(tmp_path: Path) -> None:
    data = content()
    data["categories"].append({"id": 0, "name": "things"})
    index = read_coco(write(tmp_path, data), "train")
    assert index is not None and index.classes == ("things", "dog", "brush")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (change("annotations", 2, category_id=4), r"annotation 13 has category id 4.*18, 90"),
        (change("annotations", 2, image_id=4), r"annotation 13 has image id 4"),
        (change("annotations", 2, image_id=[4]), r"annotation 13 has image id \[4\]"),
        (change("images", 0, id=3), "image id 3 is given to more than one"),
        (change("images", 0, id="7"), r"images\[0\] has id '7'"),
        (change("images", 0, file_name=None), "image id 7 has no file_name"),
        (change("images", 0, file_name="../b.jpg"), "leads out"),
        (change("images", 0, file_name="x/../../b.jpg"), "leads out"),
        (change("images", 0, file_name="/etc/b.jpg"), "leads out"),
        (change("images", 0, file_name="c.jpg"), r"1 of 3 pictures are missing, first 'c.jpg'"),
        (change("categories", 0, id=18), "category id 18 is declared twice"),
        (change("categories", 0, name="dog"), "category ids 18, 90 have the same name 'dog'"),
        (change("categories", 0, name=None), "category id 90 has no name"),
        (lambda d: d.update(categories=[]), "declares no categories"),
        (lambda d: d.update(images=[], annotations=[]), "lists no images"),
        (lambda d: d.pop("annotations"), "no 'annotations'"),
        (lambda d: d.update(images={}), "'images' isn't a list"),
        (lambda d: d.update(images=[3]), r"images\[0\] isn't an object"),
    ],
)
def test_says_what_is_wrong(tmp_path: Path, edit: Callable[[Content], None], message: str) -> None:
    data = content()
    edit(data)
    with pytest.raises(DataError, match=message) as caught:
        read_coco(write(tmp_path, data), "train")
    line = str(caught.value)
    assert "\n" not in line and line.startswith(str(tmp_path / "annotations"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"images": [\n 1,, 2]}', "broken JSON at line 2, column 4"),
        (b"", "broken JSON at line 1, column 1"),
        (b"\x80\x81\x82\x83\x84", "isn't JSON text"),
        (b"[]", "isn't COCO's format: a JSON list"),
        (b"[" * 200_000, "isn't JSON text"),
    ],
)
def test_file_that_is_no_coco(tmp_path: Path, text: bytes, message: str) -> None:
    path = tmp_path / "annotations" / "instances_train.json"
    path.parent.mkdir()
    path.write_bytes(text)
    with pytest.raises(DataError, match=message):
        read_coco(tmp_path, "train")


def test_byte_order_mark(tmp_path: Path) -> None:
    path = write(tmp_path, content()) / "annotations" / "instances_train.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_coco(tmp_path, "train") is not None


def test_no_pictures_at_all_says_where_it_looked(tmp_path: Path) -> None:
    write(tmp_path, content())
    for picture in (tmp_path / "images").iterdir():
        picture.unlink()
    with pytest.raises(DataError, match=r"3 of 3 pictures are missing.*images/train,"):
        read_coco(tmp_path, "train")


def test_root_that_is_no_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="doesn't exist"):
        read_coco(tmp_path / "nowhere", "train")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="is a file"):
        read_coco(tmp_path / "file", "train")
    with pytest.raises(DataError, match=r"neither annotations/instances_train.json.*data.root"):
        read_coco(tmp_path, "train")


@pytest.mark.real
@pytest.mark.parametrize("name", ["bccd", "coco192"])
def test_agrees_with_pycocotools(shared_data: Path, name: str) -> None:
    from pycocotools.coco import COCO

    index = read_coco(shared_data / name, "train")
    assert index is not None and index.warnings == ()
    (file,) = (shared_data / name / "annotations").glob("instances_train*.json")
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(file))
    assert index.image_ids.tolist() == list(coco.imgs)
    assert list(index.category_ids) == sorted(coco.cats)
    for i, image_id in enumerate(index.image_ids.tolist()):
        here = slice(int(index.first[i]), int(index.first[i + 1]))
        truth = coco.imgToAnns[image_id]
        assert index.annotation_ids[here].tolist() == [a["id"] for a in truth]
        assert index.boxes[here].tolist() == [a["bbox"] for a in truth]
        assert index.areas[here].tolist() == [a["area"] for a in truth]
        assert index.crowd[here].tolist() == [bool(a["iscrowd"]) for a in truth]
        assert [index.category_ids[k] for k in index.labels[here]] == [
            a["category_id"] for a in truth
        ]
