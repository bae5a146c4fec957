from pathlib import Path

import numpy as np
import pytest

from visionkit.data.class_index import ClassIndex
from visionkit.data.layout import make_index
from visionkit.doctor.classes import check_classes, conflicts


def boxes_of(counts, classes=("a", "b", "c"), empty=0):
    """A split with a picture for each box, and empty ones."""
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    number = len(labels) + empty
    return make_index(
        files=[f"/set/{i}.jpg" for i in range(number)],
        sizes=[(50, 50)] * number,
        owner=range(len(labels)),
        boxes=[[1, 2, 3, 4]] * len(labels),
        labels=labels,
        classes=classes,
        category_ids=range(1, len(classes) + 1),
    )


def told(few=10, imbalance=50, **splits):
    found = check_classes(Path("/set"), splits, few, imbalance)
    assert all(defect.file == "/set" for defect in found)
    return [(d.kind, d.split, d.cause) for d in found]


def test_a_sound_set():
    assert told(train=boxes_of([10, 12, 20]), val=boxes_of([1, 1, 1])) == []


def test_scarce_and_unequal_classes():
    assert told(train=boxes_of([120, 9, 1]), val=boxes_of([1, 1, 1])) == [
        ("few-examples", "train", "c has 1 training example"),
        ("few-examples", "train", "b has 9 training examples"),
        ("imbalance", "train", "a has 120 training examples, c 1: 120 times as many"),
    ]
    assert told(1, 120, train=boxes_of([120, 9, 1]), val=boxes_of([1, 1, 1])) == []


def test_classes_without_examples():
    test = boxes_of([0, 0, 0], empty=3)
    found = told(train=boxes_of([10, 0, 0]), val=boxes_of([1, 5, 0]), test=test)
    assert found == [
        ("nothing-labelled", "test", "test: no picture has a box to learn from"),
        ("unused-class", "", "no split has an example of c"),
        ("untrained-class", "train", "train has no example of b, but other splits have"),
        ("class-absent", "test", "test has no example of a"),
        ("class-absent", "test", "test has no example of b"),
    ]


def test_lists_that_differ():
    train = boxes_of([10, 10, 10])
    found = told(train=train, val=boxes_of([1, 1], ("a", "b")))
    cause = "the class c is declared in train, but not in val"
    assert ("class-in-one-split", "val", cause) in found
    found = told(train=train, val=boxes_of([1, 1, 1, 1], ("a", "b", "c", "d")))
    cause = "the class d is declared in val, but not in train"
    assert ("class-in-one-split", "val", cause) in found
    found = told(train=train, val=boxes_of([1, 1, 1], ("b", "a", "c")))
    cause = "train and val have the same classes in another order"
    assert found == [("class-order", "val", cause)]


def test_splits_that_are_missing_or_empty():
    cause = "there is no train split, only val"
    assert ("no-training-split", "", cause) in told(val=boxes_of([1, 1, 1]))
    assert told(train=boxes_of([10, 10, 10])) == [
        ("no-validation-split", "", "there is no val split")
    ]
    found = told(train=boxes_of([0, 0, 0], empty=4), val=boxes_of([1, 1, 1]))
    assert found[0] == ("nothing-labelled", "train", "train: no picture has a box to learn from")
    found = told(train=boxes_of([10, 10, 10], empty=31), val=boxes_of([1, 1, 1], empty=3))
    assert found == [("mostly-empty", "train", "31 of 61 pictures of train have no box")]


@pytest.mark.parametrize("several", [False, True])
def test_the_same_picture_with_two_classes(several):
    labels = np.array([0, 1, 0, 1])
    if several:
        labels = np.eye(2, dtype=bool)[labels]
    index = ClassIndex(("a", "b"), np.arange(4), labels)
    paths = [f"/set/{i}.jpg" for i in range(4)]
    (defect,) = conflicts("train", index, [[0, 2, 3]], paths)
    assert (defect.kind, defect.file) == ("conflicting-label", "/set/3.jpg")
    assert defect.cause == "is the same picture as /set/0.jpg, but has another class"
