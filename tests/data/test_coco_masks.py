"""COCO's polygons and run lengths as the class of each pixel."""

import contextlib
import io
import json
import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from visionkit.compose import compose
from visionkit.data.coco_masks import read_coco_masks
from visionkit.data.datamodule import DataModule
from visionkit.data.defects import collecting
from visionkit.errors import DataError
from visionkit.results import VOID

Entry = dict[str, Any]
HEIGHT, WIDTH = 10, 14
SIZE = [HEIGHT, WIDTH]


def box(left: int, top: int, right: int, bottom: int) -> list[list[float]]:
    return [[left, top, right, top, right, bottom, left, bottom]]


def annotation(category: int, segmentation: object, image: int = 1, **more: object) -> Entry:
    given = {"image_id": image, "category_id": category, "iscrowd": 0, "bbox": [0, 0, 1, 1]}
    return given | {"segmentation": segmentation} | more


def rle(pixels: np.ndarray, text: bool = True) -> Entry:
    """The run lengths of a mask, as COCO's text or as a list."""
    if text:
        coded = coco_mask.encode(np.asfortranarray(pixels.astype(np.uint8)))
        return {"size": list(pixels.shape), "counts": coded["counts"].decode()}
    flat = np.concatenate([[0], pixels.T.ravel().astype(int), [-1]])
    edges = np.flatnonzero(np.diff(flat))
    return {"size": list(pixels.shape), "counts": np.diff(edges, prepend=0).tolist()}


def make(
    root: Path, annotations: list[Entry], names: tuple[str, ...] = ("cat", "dog"), **image: object
) -> Path:
    """Pictures 1 and 2 of 10 x 14; categories 3, 7, 11 ... of the names."""
    (root / "annotations").mkdir(parents=True)
    (root / "images").mkdir()
    picture = {"height": HEIGHT, "width": WIDTH} | image
    for i in (1, 2):
        cv2.imwrite(str(root / "images" / f"{i}.png"), np.full((HEIGHT, WIDTH, 3), 40, np.uint8))
    content = {
        "images": [{"id": i, "file_name": f"{i}.png"} | picture for i in (1, 2)],
        "annotations": [{"id": i + 1} | a for i, a in enumerate(annotations)],
        "categories": [{"id": 3 + 4 * k, "name": name} for k, name in enumerate(names)],
    }
    (root / "annotations" / "instances_train.json").write_text(json.dumps(content))
    return root


def mask_of(root: Path, i: int = 0, **options: Any) -> np.ndarray:
    index = read_coco_masks(root, "train", **options)
    assert index is not None
    return index.mask(i)


def drawn(*boxes: tuple[int, int, int, int, int], empty: int = 0) -> np.ndarray:
    """Labels of boxes: left, top, right, bottom, label."""
    labels = np.full((HEIGHT, WIDTH), empty, np.uint8)
    for left, top, right, bottom, label in boxes:
        labels[top:bottom, left:right] = label
    return labels


def test_ids_with_gaps_and_pictures_without_objects(tmp_path: Path) -> None:
    root = make(tmp_path, [annotation(7, box(2, 1, 9, 5)), annotation(3, box(0, 6, 4, 10))])
    index = read_coco_masks(root, "train")
    assert index is not None
    assert index.classes == ("background", "cat", "dog")
    assert index.kind == "masks" and index.exclusive and index.warnings == ()
    assert index.image_ids.tolist() == [1, 2]
    assert (index.mask(0) == drawn((2, 1, 9, 5, 2), (0, 6, 4, 10, 1))).all()
    assert index.mask(0).dtype == np.uint8 and index.mask(0).flags.c_contiguous
    assert (index.mask(1) == 0).all() and index.mask(1).shape == (HEIGHT, WIDTH)
    assert index.counts().tolist() == [2 * HEIGHT * WIDTH - 28 - 16, 16, 28]
    assert index.mask_name(1) == str(root / "annotations" / "instances_train.json")
    assert index.image(1).shape == (HEIGHT, WIDTH, 3)
    assert read_coco_masks(root, "val") is None


def test_what_no_object_covers_may_be_void(tmp_path: Path) -> None:
    root = make(tmp_path, [annotation(3, box(2, 1, 9, 5))])
    index = read_coco_masks(root, "train", background="void")
    assert index is not None and index.classes == ("cat", "dog")
    assert (index.mask(0) == drawn((2, 1, 9, 5, 0), empty=VOID)).all()
    assert (index.mask(1) == VOID).all()


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_small_over_large_and_crowds_void_where_nothing_is(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    crowd = np.zeros((HEIGHT, WIDTH), bool)
    crowd[0:4, 0:3] = True  # smaller than both, and yet behind them
    all_ = [
        annotation(3, box(1, 1, 12, 9), area=1),  # the file's areas don't count
        annotation(7, box(2, 2, 8, 8), area=10**6),
        annotation(7, rle(crowd, text=False), iscrowd=1),
    ]
    root = make(tmp_path, [all_[k] for k in order])
    expected = drawn((0, 0, 3, 4, VOID), (1, 1, 12, 9, 1), (2, 2, 8, 8, 2))
    assert (mask_of(root) == expected).all()


def test_several_polygons_and_both_kinds_of_run_lengths(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    blots = [rng.random((HEIGHT, WIDTH)) < p for p in (0.5, 0.2)]
    blots[0][0, 0], blots[1][0, 0] = True, False  # runs begin with none, and with some
    root = make(
        tmp_path,
        [
            annotation(3, [*box(0, 0, 3, 3), *box(10, 6, 14, 10)]),
            annotation(7, rle(blots[0]), image=2),
            annotation(3, rle(blots[1], text=False), image=2),
        ],
    )
    assert (mask_of(root) == drawn((0, 0, 3, 3, 1), (10, 6, 14, 10, 1))).all()
    assert (mask_of(root, 1) == np.where(blots[1], 1, np.where(blots[0], 2, 0))).all()


@pytest.mark.parametrize(
    ("segmentation", "kind", "says"),
    [
        (None, "no-mask", "annotation 2 has no segmentation"),
        ([], "no-mask", "annotation 2 has no segmentation"),
        ([[]], "bad-mask", "annotation 2 has no polygon of at least 3 corners"),
        ([[1, 1, 5, 5]], "bad-mask", "no polygon"),
        ([[1, 1, 5, 5, 3]], "bad-mask", "no polygon"),
        ([[1, 1, 5, 5, 3, 3, 1]], "bad-mask", "no polygon"),
        ([[1, 1, 5, "5", 3, 9]], "bad-mask", "no polygon"),
        ([[1, 1, 5, [5], 3, 9]], "bad-mask", "no polygon"),
        ([[1, 1, 5, float("nan"), 3, 9]], "bad-mask", "no polygon"),
        ([[1, 1, 5, float("inf"), 3, 9]], "bad-mask", "no polygon"),
        ([[1, 1, 5, 10**9, 3, 9]], "bad-mask", "no polygon"),
        ([1, 1, 5, 5, 3, 9], "bad-mask", "no polygon"),
        ("0 0 5 5", "bad-mask", "neither a list of polygons nor run lengths"),
        ({"size": SIZE}, "bad-mask", "no run lengths"),
        ({"size": [WIDTH, HEIGHT], "counts": [140]}, "bad-mask", "of size [14, 10], where"),
        ({"counts": [140]}, "bad-mask", "of size None"),
        ({"size": SIZE, "counts": [100, 20]}, "bad-mask", "add up to 14 x 10"),
        ({"size": SIZE, "counts": [150, -10]}, "bad-mask", "add up"),
        ({"size": SIZE, "counts": []}, "bad-mask", "whole numbers"),
        ({"size": SIZE, "counts": [100, 40.5]}, "bad-mask", "whole numbers"),
        ({"size": SIZE, "counts": [100, 2**70]}, "bad-mask", "whole numbers"),
        ({"size": SIZE, "counts": "é"}, "bad-mask", "broken run lengths"),
        ({"size": SIZE, "counts": "5P"}, "bad-mask", "broken run lengths"),
        ({"size": SIZE, "counts": "5"}, "bad-mask", "add up"),
    ],
)
def test_what_is_no_mask_is_dropped_and_told(
    tmp_path: Path, segmentation: object, kind: str, says: str
) -> None:
    good = annotation(3, box(2, 1, 9, 5))
    root = make(tmp_path, [good, annotation(7, segmentation)])
    with collecting("train") as found:
        assert (mask_of(root) == drawn((2, 1, 9, 5, 1))).all()
    (defect,) = [d for d in found if d.kind != "id-gap"]
    assert (defect.kind, defect.effect) == (kind, "dropped") and says in defect.cause
    index = read_coco_masks(root, "train")
    assert index is not None
    (line,) = index.warnings
    what = "without a" if kind == "no-mask" else "with an unusable"
    assert line.endswith(f"instances_train.json: 1 annotation {what} segmentation: dropped")


def test_some_polygons_of_an_object_are_no_polygons(tmp_path: Path) -> None:
    root = make(tmp_path, [annotation(3, [[1, 2, 3, 4], *box(2, 1, 9, 5), [5]])])
    with collecting() as found:
        assert (mask_of(root) == drawn((2, 1, 9, 5, 1))).all()
    (defect,) = [d for d in found if d.kind != "id-gap"]
    assert defect.kind == "bad-polygon"
    assert defect.cause == "annotation 1 has 2 unusable of its polygons"


def test_a_set_of_boxes_alone_says_so(tmp_path: Path) -> None:
    says = r"none of its 2 annotations has a usable mask; .*data=coco"
    for k, segmentation in enumerate(([], [[1, 2]])):
        root = make(tmp_path / str(k), [annotation(3, None), annotation(7, segmentation)])
        with pytest.raises(DataError, match=says):
            read_coco_masks(root, "train")


def test_a_category_called_background_is_that_class(tmp_path: Path) -> None:
    given = [annotation(3, box(0, 0, 5, 5)), annotation(7, box(1, 1, 3, 3)), annotation(11, [])]
    root = make(tmp_path, given, ("cat", "Background", "dog"))
    index = read_coco_masks(root, "train")
    assert index is not None and index.classes == ("Background", "cat", "dog")
    assert (index.mask(0) == drawn((0, 0, 5, 5, 1), (1, 1, 3, 3, 0))).all()
    assert (
        mask_of(root, background="void") == drawn((0, 0, 5, 5, 0), (1, 1, 3, 3, 1), empty=VOID)
    ).all()


def test_there_is_room_for_255_classes(tmp_path: Path) -> None:
    names = tuple(f"c{k}" for k in range(255))
    root = make(tmp_path, [annotation(3 + 4 * 254, box(2, 1, 9, 5))], names)
    with pytest.raises(DataError, match=r"declares 255 categories, .* 255 classes, background"):
        read_coco_masks(root, "train")
    assert (mask_of(root, background="void") == drawn((2, 1, 9, 5, 254), empty=VOID)).all()


def test_the_size_is_read_where_it_isnt_stated(tmp_path: Path) -> None:
    root = make(tmp_path, [annotation(3, box(2, 1, 9, 5))], height=None)
    assert (mask_of(root) == drawn((2, 1, 9, 5, 1))).all()
    (root / "images" / "1.png").write_text("no picture")
    with pytest.raises(DataError, match=r"1\.png: isn't a picture; .*data\.defects=drop$"):
        read_coco_masks(root, "train")
    with collecting() as found:
        index = read_coco_masks(root, "train")
    assert index is not None and index.image_ids.tolist() == [2]
    assert (index.mask(0) == 0).all()
    assert [d.kind for d in found if d.effect == "stops"] == ["unreadable"]


def test_a_size_that_no_picture_has(tmp_path: Path) -> None:
    root = make(tmp_path, [annotation(3, box(2, 1, 9, 5))], height=2**20, width=2**20)
    with pytest.raises(DataError, match="image id 1 is said to have 1048576 x 1048576 pixels"):
        read_coco_masks(root, "train")


def test_going_on_without_pictures_and_annotations(tmp_path: Path) -> None:
    given = [
        annotation(99, box(0, 0, 5, 5)),
        annotation(3, box(0, 0, 5, 5), image=99),
        annotation(3, box(0, 0, 5, 5)),
        annotation(7, box(2, 1, 9, 5), image=2, iscrowd="1"),
    ]
    root = make(tmp_path, given)
    (root / "images" / "1.png").unlink()
    with pytest.raises(DataError, match="1 of 2 pictures are missing"):
        read_coco_masks(root, "train")
    with collecting() as found:
        index = read_coco_masks(root, "train")
    assert index is not None and index.image_ids.tolist() == [2]
    assert (index.mask(0) == drawn((2, 1, 9, 5, VOID))).all()
    lost = {d.kind for d in found if d.effect == "stops"}
    assert lost == {"missing-file", "undeclared-category", "dangling-annotation"}
    assert [d.kind for d in found if d.effect == "mended"] == ["text-iscrowd"]


def test_a_part_of_the_pictures(tmp_path: Path) -> None:
    root = make(tmp_path, [annotation(3, box(2, 1, 9, 5), image=2), annotation(7, box(0, 0, 2, 2))])
    index = read_coco_masks(root, "train")
    assert index is not None
    part = pickle.loads(pickle.dumps(index.only(np.array([False, True]))))
    again = part.only(np.array([True]))
    assert len(again) == 1 and (again.mask(0) == index.mask(1)).all()
    renamed = index.with_classes(("dog", "background"))
    assert (renamed.mask(0) == drawn((0, 0, 2, 2, 0), empty=1)).all()
    assert (renamed.mask(1) == drawn((2, 1, 9, 5, VOID), empty=1)).all()


def test_the_configuration(tmp_path: Path) -> None:
    root = make(tmp_path, [annotation(3, box(2, 1, 9, 5))])
    cfg = compose(["data=coco_masks", f"data.root={root}"], "check_data")
    assert cfg.data.layout._target_ == "visionkit.data.coco_masks.read_coco_masks"
    assert cfg.data.layout.background == "class"
    data = DataModule(read_coco_masks, str(root), image_size=32, batch_size=2, num_workers=0)
    assert data.read("train").classes == ("background", "cat", "dog")
    batch = next(iter(data.eval_dataloader("train")))
    assert batch.masks.labels.shape == (2, 32, 32)
    assert set(batch.masks.labels.unique().tolist()) == {0, 1, VOID}


@pytest.mark.real
def test_real_masks_are_those_of_the_coco_api(shared_data: Path) -> None:
    root = shared_data / "coco192"
    index = read_coco_masks(root, "train")
    assert index is not None and len(index.classes) == 81
    with contextlib.redirect_stdout(io.StringIO()):
        api = COCO(str(root / "annotations" / "instances_train.json"))
    label_of = {category: k + 1 for k, category in enumerate(sorted(api.cats))}
    assert index.classes[1:] == tuple(api.cats[c]["name"] for c in sorted(api.cats))
    for i, image_id in enumerate(index.image_ids.tolist()):
        annotations = api.loadAnns(api.getAnnIds(image_id))
        annotations.sort(key=lambda a: (-a["iscrowd"], -a["area"]))
        expected = np.zeros((api.imgs[image_id]["height"], api.imgs[image_id]["width"]), np.uint8)
        for each in annotations:
            label = VOID if each["iscrowd"] else label_of[each["category_id"]]
            expected[api.annToMask(each) > 0] = label
        assert (index.mask(i) == expected).all(), index.path(i)
        if i % 16 == 0:
            image, labels = index.pair(i)
            assert image.shape[:2] == labels.shape
    with pytest.raises(DataError, match="none of its 440 annotations has a usable mask"):
        read_coco_masks(root, "val")  # its annotations are boxes only
