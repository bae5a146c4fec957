"""Boxes that nothing can be learned from."""

import numpy as np
import pytest

from visionkit.data.defects import collecting
from visionkit.data.index import DetectionIndex
from visionkit.data.layout import make_index


def index(boxes: list[list[float]], **more: object) -> DetectionIndex:
    """Boxes of one class in a picture of 100 x 50; ``owner`` 1 is of unknown size."""
    given = {
        "files": ["a.png", "b.png"],
        "sizes": [[50, 100], [0, 0]],
        "owner": [0] * len(boxes),
        "boxes": boxes,
        "labels": [0] * len(boxes),
        "classes": ("a", "b"),
        "category_ids": (1, 2),
        "source": "set.json",
        "where": lambda m: ("set.json", f"annotation {m}"),
    }
    return make_index(**(given | more))  # type: ignore[arg-type]


GOOD = [10.0, 10, 20, 20]


@pytest.mark.parametrize(
    ("box", "kind"),
    [
        ([10, 10, 0, 5], "zero-area"),
        ([10, 10, 5, 0], "zero-area"),
        ([100, 10, 5, 5], "outside"),
        ([-5, 10, 5, 5], "outside"),
        ([10, 50, 5, 5], "outside"),
        ([10, -9, 5, 5], "outside"),
        ([99, 10, 5, 5], None),
        ([-4, 10, 5, 5], None),
        (GOOD, "duplicate-annotation"),
    ],
)
def test_kinds(box: list[float], kind: str | None) -> None:
    with collecting("val") as found:
        made = index([GOOD, box])
    assert len(made.boxes) == 2, "the truth that is scored stays"
    assert len(made.targets(0, (50, 100))[0]) == (2 if kind is None else 1)
    if kind is None:
        assert found == [] and made.warnings == ()
        return
    (defect,) = found
    assert (defect.kind, defect.file, defect.effect) == (kind, "set.json", "dropped")
    assert defect.cause.startswith("annotation 1 ") and defect.split == "val"
    (line,) = made.warnings
    assert line.startswith("set.json: 1 annotation ") and "train" in line
    assert index([GOOD, box], source="").warnings == ()


def test_only_the_same_box_of_the_same_class_and_picture_repeats() -> None:
    made = index(
        [GOOD, GOOD, [10, 10, 20, 20.5], GOOD, GOOD, [0, 0, 1, 1], [-0.0, 0, 1, 1]],
        owner=[1, 0, 0, 0, 0, 0, 0],
        labels=[0, 0, 0, 1, 0, 1, 1],
    )
    assert made.repeats is not None
    # those of picture 0 come first: 1, 2, 3, 4, 5, 6, then 0
    assert made.repeats.tolist() == [False, False, False, True, False, True, False]
    assert made.warnings == (
        "set.json: 2 annotations repeating another's picture, class and box: trained on once",
    )
    assert made.targets(0, (50, 100))[1].tolist() == [0, 0, 1, 1]


def test_crowds_are_left_alone() -> None:
    with collecting() as found:
        made = index([GOOD, GOOD, [0, 0, 0, 9]], crowd=[True, False, True])
    assert found == [] and made.warnings == ()
    assert len(made.targets(0, (50, 100))[0]) == 1


def test_a_picture_of_unknown_size_has_no_outside() -> None:
    assert index([[5000, 10, 5, 5]], owner=[1]).warnings == ()


def test_what_stands_where_is_told_by_its_own_place() -> None:
    with collecting() as found:
        index([[1, 1, 0, 0], GOOD, [2, 2, 0, 0]], owner=[1, 1, 0])
    assert [d.cause for d in found] == [
        "annotation 2 has a box without area: 2, 2, 0, 0",
        "annotation 0 has a box without area: 1, 1, 0, 0",
    ]


def test_repeats_among_many() -> None:
    rng = np.random.default_rng(0)
    count = 20_000
    boxes = rng.integers(1, 6, (count, 4)).astype(float)
    labels, owner = rng.integers(0, 2, count), rng.integers(0, 2, count)
    made = index(boxes.tolist(), owner=owner, labels=labels, sizes=[[99, 99], [99, 99]], source="")
    keys = [
        tuple(r) for r in np.column_stack([owner, labels, boxes])[np.argsort(owner, kind="stable")]
    ]
    seen: set[tuple[float, ...]] = set()
    expected = [key in seen or bool(seen.add(key)) for key in keys]
    assert made.repeats is not None and made.repeats.tolist() == expected
