"""Splits whose classes differ."""

import numpy as np
import pytest

from visionkit.data.class_index import ClassIndex
from visionkit.data.class_lists import same_classes
from visionkit.data.defects import collecting
from visionkit.data.index import DetectionIndex
from visionkit.data.layout import make_index
from visionkit.data.strings import StringTable
from visionkit.errors import DataError


def boxes(classes: tuple[str, ...], ids: tuple[int, ...] | None = None) -> DetectionIndex:
    """Three pictures: two boxes of class 0, none, and one each of classes 1 and 0."""
    return make_index(
        files=["a.png", "b.png", "c.png"],
        sizes=[[50, 100]] * 3,
        owner=[0, 0, 2, 2],
        boxes=[[0, 0, 5, 5], [1, 1, 5, 5], [2, 2, 5, 5], [3, 3, 5, 5]],
        labels=[0, 0, 1, 0],
        areas=[1, 2, 3, 4],
        annotation_ids=[11, 12, 13, 14],
        classes=classes,
        category_ids=ids or range(1, len(classes) + 1),
    )


def labels(values: object, classes: tuple[str, ...]) -> ClassIndex:
    rows = np.array(values)
    files = StringTable([f"{i}.png" for i in range(len(rows))])
    return ClassIndex(classes, np.arange(len(rows)), rows, files=files)


def test_all_splits_have_the_same_classes() -> None:
    both = {"train": boxes(("a", "b")), "val": boxes(("a", "b"))}
    assert same_classes("set", both) == both
    assert same_classes("set", {}) == {}
    both["val"] = boxes(("a", "c"))
    with pytest.raises(DataError, match=r"^set: train and val .*val lacks b; only val has c"):
        same_classes("set", both)
    both["val"] = boxes(("b", "a"))
    with pytest.raises(DataError, match=r"order differs: a, b against b, a.*data\.defects=drop$"):
        same_classes("set", both)


def test_trainings_classes_rule_wherever_they_stand() -> None:
    splits = {"val": boxes(("a", "c"), (4, 9)), "train": boxes(("x", "c", "b"), (1, 2, 3))}
    with collecting("val") as found:
        alike = same_classes("set", splits)
    assert [(d.kind, d.file, d.effect) for d in found] == [("class-in-one-split", "set", "stops")]
    assert "val lacks x, b; only val has a" in found[0].cause
    assert alike["train"] is splits["train"]
    val = alike["val"]
    assert isinstance(val, DetectionIndex)
    assert val.classes == ("x", "c", "b")
    assert val.category_ids == (10, 9, 11), "its own id where it has one"
    assert val.labels.tolist() == [1] and val.annotation_ids.tolist() == [13]
    assert val.first.tolist() == [0, 0, 0, 1] and val.areas.tolist() == [3]
    assert val.boxes.tolist() == [[2, 2, 5, 5]]
    assert len(val) == 3, "pictures stay, without what can't be told"


def test_another_order_loses_nothing() -> None:
    with collecting() as found:
        val = same_classes("set", {"val": boxes(("a", "b"), (4, 9))}, ("b", "a"))["val"]
    assert [d.kind for d in found] == ["class-order"]
    assert isinstance(val, DetectionIndex)
    assert val.labels.tolist() == [1, 1, 0, 1] and val.category_ids == (9, 4)


def test_pictures_of_a_class_that_training_lacks_are_left_out() -> None:
    with collecting():
        val = same_classes("set", {"val": labels([0, 1, 2, 1], ("a", "b", "c"))}, ("c", "a"))["val"]
    assert isinstance(val, ClassIndex)
    assert val.labels.tolist() == [1, 0] and val.classes == ("c", "a")
    assert [val.path(i) for i in range(2)] == ["0.png", "2.png"]
    assert val.image_ids.tolist() == [0, 2]


def test_of_several_classes_the_others_stay() -> None:
    rows = [[True, True], [False, True], [False, False]]
    with collecting():
        val = same_classes("set", {"val": labels(rows, ("a", "b"))}, ("c", "a"))["val"]
    assert isinstance(val, ClassIndex)
    assert val.labels.tolist() == [[False, True], [False, False], [False, False]]


def test_some_of_the_pictures() -> None:
    index = boxes(("a", "b")).only(np.array([False, True, True]))
    assert [index.path(i).name for i in range(2)] == ["b.png", "c.png"]
    assert index.first.tolist() == [0, 0, 2] and index.annotation_ids.tolist() == [13, 14]
    assert index.image_ids.tolist() == [2, 3] and index.size(1) == (50, 100)
    assert index.targets(1, (50, 100))[1].tolist() == [1, 0]
    none = boxes(("a", "b")).only(np.zeros(3, np.bool_))
    assert len(none) == 0 and none.first.tolist() == [0] and none.boxes.shape == (0, 4)
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    grey = ClassIndex(("a",), np.arange(3), np.zeros(3, np.int64), pixels=pixels)
    assert grey.only(np.array([True, False, True])).pixels[1].tolist() == [[8, 9], [10, 11]]
