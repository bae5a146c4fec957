import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest

from visionkit.data.index import DetectionIndex
from visionkit.data.layout import make_index, upright_size
from visionkit.data.strings import StringTable
from visionkit.errors import DataError


def small(classes: tuple[str, ...] = ("a", "b"), **columns: object) -> DetectionIndex:
    given = {
        "files": ["x/1.png", "x/2.png", "x/3.png"],
        "sizes": [(50, 100), (0, 0), (20, 20)],
        "owner": [2, 0, 2, 0],
        "boxes": [(1, 2, 3, 4), (10, 10, 20, 5), (0, 0, 20, 20), (-5, 40, 200, 30)],
        "labels": [1, 0, 0, 1],
        "classes": classes,
        "category_ids": [5, 9],
    }
    return make_index(**(given | columns))  # type: ignore[arg-type]


def test_annotations_are_grouped_by_picture_in_their_order() -> None:
    index = small()
    assert index.first.tolist() == [0, 2, 2, 4]
    assert index.boxes.tolist() == [
        [10, 10, 20, 5],
        [-5, 40, 200, 30],
        [1, 2, 3, 4],
        [0, 0, 20, 20],
    ]
    assert index.labels.tolist() == [0, 1, 1, 0]
    assert index.areas.tolist() == [100, 6000, 12, 400]
    assert index.image_ids.tolist() == [1, 2, 3]
    assert index.annotation_ids.tolist() == [1, 2, 3, 4]
    assert index.path(1) == Path("x/2.png")
    assert index.size(0) == (50, 100)
    assert index.size(1) is None


def test_columns_follow_their_annotations() -> None:
    index = small(areas=[1, 2, 3, 4], crowd=[1, 0, 0, 0], annotation_ids=[7, 8, 9, 10])
    assert index.areas.tolist() == [2, 4, 1, 3]
    assert index.crowd.tolist() == [False, False, True, False]
    assert index.annotation_ids.tolist() == [8, 10, 7, 9]


def test_many_annotations_keep_their_order_too() -> None:
    owner = np.random.default_rng(0).integers(0, 5, 3000)
    index = make_index(
        files=list("abcde"),
        sizes=np.ones((5, 2)),
        owner=owner,
        boxes=np.ones((3000, 4)),
        labels=np.zeros(3000),
        annotation_ids=np.arange(1, 3001),
        classes=["x"],
        category_ids=[1],
    )
    for i in range(5):
        here = index.annotation_ids[index.first[i] : index.first[i + 1]]
        np.testing.assert_array_equal(here, np.flatnonzero(owner == i) + 1)


def test_targets_are_clipped_corners() -> None:
    boxes, labels = small().targets(0, (50, 100))
    assert boxes.dtype == np.float32 and labels.dtype == np.int64
    assert boxes.tolist() == [[10, 10, 30, 15], [0, 40, 100, 50]]
    assert labels.tolist() == [0, 1]


def test_targets_leave_out_crowds_and_what_has_no_area() -> None:
    index = small(
        boxes=[(1, 2, 0, 4), (10, 10, 20, 5), (0, 0, 20, 20), (200, 0, 10, 10)],
        crowd=[False, True, False, False],
    )
    assert index.targets(0, (50, 100))[0].shape == (0, 4)  # a crowd, and one outside the picture
    assert index.targets(1, (50, 100))[0].shape == (0, 4)  # no annotations
    assert index.targets(2, (20, 20))[0].tolist() == [[0, 0, 20, 20]]
    assert len(index.boxes) == 4


def test_targets_do_not_change_the_index() -> None:
    index = small()
    before = index.boxes.copy()
    index.targets(0, (5, 5))
    assert np.array_equal(index.boxes, before)


def test_no_annotations_at_all() -> None:
    index = small(owner=[], boxes=[], labels=[])
    assert index.boxes.shape == (0, 4) and index.first.tolist() == [0, 0, 0, 0]
    assert index.targets(0, (50, 100))[1].tolist() == []


def test_holds_few_objects_however_long() -> None:
    """Python objects in it would be copied page by page into every worker."""
    count = 3000
    index = small(
        files=[f"folder/{i:012d}.jpg" for i in range(count)],
        sizes=np.full((count, 2), 640),
        owner=np.repeat(np.arange(count), 7),
        boxes=np.ones((7 * count, 4)),
        labels=np.zeros(7 * count),
    )
    objects = [v for v in vars(index).values() if not isinstance(v, np.ndarray | StringTable)]
    assert all(len(v) <= 2 for v in objects)
    assert all(isinstance(v, np.ndarray) for v in vars(index.files).values())
    assert len(pickle.dumps(index)) < count * (7 * 65 + 60)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
@pytest.mark.parametrize("orientation", [1, 3, 5, 6, 7, 8])
def test_upright_size(tmp_path: Path, suffix: str, orientation: int) -> None:
    from PIL import Image

    from visionkit.geometry import read_image

    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", (30, 20)).save(path, exif=exif)
    assert upright_size(path) == ((20, 30) if orientation < 5 else (30, 20))
    assert upright_size(path) == read_image(path).shape[:2]


def test_upright_size_of_no_picture(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    for name in ("text.jpg", "missing.jpg", "."):
        with pytest.raises(DataError, match="take it out of the set"):
            upright_size(tmp_path / name)


def test_balanced_draws_look_past_crowds():
    index = make_index(
        files=["a.png", "b.png", "c.png"],
        sizes=np.zeros((3, 2)),
        owner=[0, 0, 1, 1],
        boxes=np.ones((4, 4)),
        labels=[0, 0, 0, 1],
        crowd=[False, False, False, True],
        classes=("common", "crowds"),
        category_ids=(1, 2),
    )
    assert index.counts().tolist() == [3, 0]
    assert index.weights().tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3])


@pytest.mark.parametrize(
    ("box", "more", "learned"),
    [
        ((10, 10, 20, 5), {}, True),
        ((10, 10, 0, 5), {}, False),
        ((100, 10, 5, 5), {}, False),
        ((-5, 10, 5, 5), {}, False),
        ((10, 10, 20, 5), {"crowd": [1]}, False),
        ((5000, 10, 5, 5), {"owner": [1]}, True),  # of unknown size
        ((-5, 10, 5, 5), {"owner": [1]}, False),
    ],
)
def test_whether_there_is_a_box_to_learn_from(
    box: tuple[float, ...], more: dict[str, list[int]], learned: bool
) -> None:
    index = small(**({"owner": [0], "boxes": [box], "labels": [0]} | more))
    assert index.untrainable() == (None if learned else "no picture has a box to learn from")
    if learned:
        repeats = np.ones(1, np.bool_)
        assert dataclasses.replace(index, repeats=repeats).untrainable() is not None


def test_no_boxes_at_all() -> None:
    assert small(owner=[], boxes=[], labels=[]).untrainable() is not None
