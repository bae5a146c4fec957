import numpy as np
import pytest

from visionkit.data.layout import make_index
from visionkit.doctor.boxes import box_defects


def index_of(boxes, labels=None, crowd=None, areas=None, size=(100, 200)):
    """One picture of 200 x 100 with the boxes, and an empty one."""
    return make_index(
        files=["/set/a.jpg", "/set/b.jpg"],
        sizes=[size, (50, 50)],
        owner=[0] * len(boxes),
        boxes=boxes,
        labels=labels or [0] * len(boxes),
        crowd=crowd,
        areas=areas,
        classes=["cat", "dog"],
        category_ids=[1, 2],
    )


def told(index, canvas=(100, 200), **more):
    sizes = more.pop("sizes", index.sizes.astype(np.int64))
    found = box_defects("train", index, sizes, canvas, **more)
    assert all(d.file == "/set/a.jpg" and d.split == "train" for d in found)
    return [(d.kind, d.cause) for d in found]


@pytest.mark.parametrize(
    ("box", "kind", "cause"),
    [
        ([10, 10, 50, 40], None, ""),
        ([150, 60, 51, 41], None, ""),  # a pixel beyond is let pass
        ([10, 10, 0, 40], "zero-area", "cat [10, 10, 0, 40] has no area"),
        ([200, 10, 5, 5], "outside", "cat [200, 10, 5, 5] lies outside of the picture (200 x 100)"),
        ([-9, 10, 9, 5], "outside", "cat [-9, 10, 9, 5] lies outside of the picture (200 x 100)"),
        (
            [190, 10, 15.5, 5],
            "partly-outside",
            "cat [190, 10, 15.5, 5] leaves the picture (200 x 100) by 5.5 pixels",
        ),
        (
            [-3, 10, 15, 5],
            "partly-outside",
            "cat [-3, 10, 15, 5] leaves the picture (200 x 100) by 3 pixels",
        ),
        ([5, 5, 1.5, 30], "tiny-box", "cat [5, 5, 1.5, 30] is 1.5 pixels thin"),
        ([0, 0, 200, 100], "whole-picture", "cat [0, 0, 200, 100] covers the whole picture"),
        ([1, 0, 198.5, 100], "whole-picture", "cat [1, 0, 198.5, 100] covers"),
        ([3, 0, 197, 100], None, ""),
    ],
)
def test_each_box(box, kind, cause):
    found = told(index_of([box, [20, 20, 30, 30]]))
    assert [k for k, _ in found] == ([kind] if kind else [])
    assert all(words.startswith(cause) for _, words in found)


def test_tiny_is_meant_on_the_canvas():
    index = index_of([[5, 5, 3, 30]])
    assert told(index) == []
    assert told(index, canvas=(50, 200)) == [
        ("tiny-box", "cat [5, 5, 3, 30] is 1.5 pixels thin on the canvas of 200 x 50")
    ]
    assert told(index, canvas=(50, 200), tiny=1.5) == []


def test_crowds_are_left_alone():
    boxes = [[0, 0, 200, 100], [5, 5, 1, 1], [5, 5, 1, 1], [5, 5, 0, 1]]
    assert told(index_of(boxes, crowd=[1, 1, 1, 1])) == []


def test_the_size_that_training_sees_counts():
    index = index_of([[150, 10, 40, 30]])
    sizes = np.array([[100, 120], [50, 50]])
    assert [kind for kind, _ in told(index, sizes=sizes)] == ["outside"]
    # what the reader has told by the stated size is no news
    assert [kind for kind, _ in told(index, sizes=sizes, known={"outside"})] == ["outside"]
    beyond = index_of([[250, 10, 40, 30]])
    assert [kind for kind, _ in told(beyond)] == ["outside"]
    assert told(beyond, known={"outside"}) == []


def test_unknown_sizes_accuse_nobody():
    index = index_of([[-20, 10, 400, 30], [900, 900, 5, 5]], size=(0, 0))
    assert told(index) == []


def test_repeated_boxes():
    box, other = [10, 10, 50, 40], [20, 10, 50, 40]
    index = index_of([box, other, box, box, other], labels=[0, 0, 1, 0, 0])
    assert told(index) == [
        ("conflicting-label", "dog [10, 10, 50, 40] has the very box of a cat"),
        ("duplicate-annotation", "cat [10, 10, 50, 40] is there twice"),
        ("duplicate-annotation", "cat [20, 10, 50, 40] is there twice"),
    ]


def test_areas():
    boxes = [[0, 0, 10, 10]] * 3 + [[0, 0, 20, 10]]
    index = index_of(boxes, labels=[0, 1, 0, 0], areas=[60, 102, 103, 0])
    found = [cause for kind, cause in told(index) if kind == "wrong-area"]
    assert found == [
        "cat [0, 0, 10, 10] has area 103, its box 100",
        "cat [0, 0, 20, 10] has area 0, its box 200",
    ]


def test_many_boxes():
    boxes = [[k, 0, 20, 20] for k in range(5)]
    assert told(index_of(boxes), many=5) == []
    ((kind, cause),) = told(index_of(boxes), many=4)
    assert kind == "crowded"
    assert cause == "has 5 boxes, more than 4"


def test_no_boxes_at_all():
    assert told(index_of([])) == []
