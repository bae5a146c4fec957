"""Values that no tool should write, but that files have."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data.test_coco import annotation, content, write
from data.test_voc import add, split, thing

from visionkit.data.box_checks import is_box
from visionkit.data.coco import read_coco
from visionkit.data.defects import Defect, collecting
from visionkit.data.index import DetectionIndex
from visionkit.data.voc import read_voc


def read(root: Path, *annotations: dict[str, Any]) -> tuple[DetectionIndex, list[Defect]]:
    with collecting("train") as found:
        index = read_coco(write(root, content() | {"annotations": list(annotations)}), "train")
    assert index is not None
    noted = {"missing-size", "id-gap"}
    return index, [defect for defect in found if defect.kind not in noted]


@pytest.mark.parametrize("area", [-5, -0.1, 1.1e10, 1e299, 10**200])
def test_an_area_that_would_take_the_object_out_of_the_score(tmp_path: Path, area: float) -> None:
    good = annotation(1, 7, 18, [1, 2, 3, 4], area=1e10)
    index, (defect,) = read(tmp_path, good, annotation(2, 7, 18, [1, 2, 30, 4], area=area))
    assert index.areas.tolist() == [1e10, 120]
    assert (defect.kind, defect.effect) == ("bad-area", "mended")
    (line,) = index.warnings
    words = "1 annotation with an area below 0 or above 1e10: width * height taken"
    assert line.endswith(f"instances_train.json: {words}") and defect.cause == words


@pytest.mark.parametrize(
    ("flag", "crowd", "kind"),
    [
        (0, False, None),
        (1, True, None),
        (True, True, None),
        (1.0, True, None),
        ("0", False, "text-iscrowd"),
        ("1", True, "text-iscrowd"),
        (None, False, "missing-iscrowd"),
        ("no", False, "bad-iscrowd"),
        (2, False, "bad-iscrowd"),
        (float("nan"), False, "bad-iscrowd"),
        ([1], False, "bad-iscrowd"),
    ],
)
def test_iscrowd(tmp_path: Path, flag: object, crowd: bool, kind: str | None) -> None:
    given = [annotation(i, 7, 18, [i, 2, 30, 4], iscrowd=flag) for i in (1, 2)]
    index, found = read(tmp_path, *given)
    assert index.crowd.tolist() == [crowd, crowd]
    assert [(d.kind, d.effect) for d in found] == ([(kind, "mended")] if kind else [])
    assert [line.split(": ")[1][:14] for line in index.warnings] == ["2 annotations "] * len(found)


def test_boxes_of_numbers_that_overflow(tmp_path: Path) -> None:
    wild = [[1e299, 0, 1, 1], [0, 0, 1e299, 1e299], [0, 0, 1e8, 2e7], [0, 0, 1e299, 0], [0] * 3]
    given = [annotation(i, 7, 18, box, area=1) for i, box in enumerate(wild, 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        index, found = read(tmp_path, *given, annotation(9, 7, 18, [0, 0, 1e7, 1e7], area=1))
        assert index.targets(0, (50, 100))[0].tolist() == [[0, 0, 100, 50]]
    assert index.annotation_ids.tolist() == [9]
    assert [d.kind for d in found] == ["bad-box"] * 5
    nan, inf = np.nan, np.inf
    for box in ((0, 0, nan, 1), (nan, 0, 1, 1), (0, 0, 1, inf), (0, 0, -1, 1), (0, -inf, 1, 1)):
        assert not is_box(*box)
    assert is_box(-5, -5, 0, 0)


@pytest.mark.parametrize(
    "mask",
    [
        {"size": [50, 100], "counts": [-1, 10]},
        {"size": [-50, 100], "counts": [10, 10]},
        {"size": [2**70, 100], "counts": [10, 10]},
        {"size": [50, 100], "counts": [2**70]},
    ],
)
def test_masks_of_impossible_numbers_are_no_boxes(tmp_path: Path, mask: dict[str, Any]) -> None:
    odd = annotation(1, 7, 18, None, segmentation=mask, area=5)
    index, (defect,) = read(tmp_path, odd, annotation(2, 7, 18, [1, 2, 3, 4]))
    assert defect.kind == "bad-box" and index.annotation_ids.tolist() == [2]


@pytest.mark.parametrize("width", [2**31, 10**30, -4, "inf", "nan"])
def test_a_size_in_voc_that_no_picture_has(tmp_path: Path, width: Any) -> None:
    add(tmp_path, "a", thing("cat", (1, 1, 1e200, 1e200)), thing("dog", (2, 2, 9, 9)))
    add(tmp_path, "b", size=(width, 50))
    split(tmp_path, "train", "a\nb\n")
    index = read_voc(tmp_path, "train")
    assert index is not None
    assert index.sizes.tolist() == [[50, 100], [0, 0]]
    assert len(index.boxes) == 1 and "1 object(s) without a usable bndbox" in index.warnings[0]


def test_two_entries_of_one_picture(tmp_path: Path) -> None:
    data = content()
    data["images"].append({"id": 8, "file_name": "./b.jpg", "width": 100, "height": 50})
    with collecting() as found:
        index = read_coco(write(tmp_path, data), "train")
    assert index is not None and len(index) == 4, "results name pictures by their ids"
    (defect,) = [d for d in found if d.kind == "listed-twice"]
    assert defect.effect == "noted"
    assert defect.cause == "image ids 7, 8 have the same file_name 'b.jpg'"
