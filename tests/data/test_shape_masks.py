"""The generated shapes with masks."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from visionkit.colours import class_colour
from visionkit.data import shape_masks, shapes
from visionkit.data.coco import read_coco
from visionkit.data.drawing import CLASSES as SHAPES
from visionkit.data.shape_masks import CLASSES, draw_mask, generate, read_shape_masks
from visionkit.data.shapes import draw_scene
from visionkit.errors import DataError

FEW = {"train": 20, "val": 3, "test": 2}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made") / "shapes"
    generate(root, FEW)
    return root


def test_the_set_is_read_as_any_other(made: Path) -> None:
    for split, count in FEW.items():
        index = read_shape_masks(made, split)
        assert index is not None and len(index) == count and index.warnings == ()
        assert index.classes == CLASSES == ("background", *SHAPES)
        for i in range(count):
            image, labels = index.pair(i)
            assert image.shape[:2] == labels.shape and labels.max() <= 6
    assert read_shape_masks(made, "other") is None
    train = read_shape_masks(made, "train")
    assert train is not None and (train.counts() > 0).all()


def test_the_pictures_are_those_of_the_set_of_boxes(made: Path, tmp_path: Path) -> None:
    shapes.generate(tmp_path / "boxes", FEW)
    for split in FEW:
        boxes, masks = read_coco(tmp_path / "boxes", split), read_shape_masks(made, split)
        assert boxes is not None and masks is not None and len(boxes) == len(masks)
        for i in range(len(masks)):
            assert Path(masks.path(i)).read_bytes() == boxes.path(i).read_bytes()
            image, labels = masks.pair(i)
            # each object's pixels lie in its box, and each class of the boxes is seen
            found, of = boxes.targets(i, (image.shape[0], image.shape[1]))
            inside = np.zeros(labels.shape, bool)
            for x1, y1, x2, y2 in found:
                inside[int(y1) : int(np.ceil(y2)), int(x1) : int(np.ceil(x2))] = True
            assert not (labels[~inside] > 0).any()
            assert set(np.unique(labels)) - {0} == {1 + k for k in of.tolist()}


def test_the_topmost_object_wins() -> None:
    hidden = 0
    for seed in range(20):
        image, objects = draw_scene(np.random.default_rng((7, seed)))
        labels = draw_mask((image.shape[0], image.shape[1]), objects)
        expected = np.zeros(labels.shape, int)
        for thing in objects:  # from the lowest up
            hidden += int(((expected > 0) & thing.mask).sum())
            expected[thing.mask] = 1 + thing.label
        np.testing.assert_array_equal(labels, expected)
    assert hidden > 0, "nothing overlaps: the test shows nothing"


def test_masks_are_indices_with_the_colours_of_the_classes(made: Path) -> None:
    with Image.open(made / "masks" / "train" / "0000.png") as mask:
        assert mask.mode == "P"
        palette = mask.getpalette()
    assert palette is not None
    assert [tuple(palette[3 * k : 3 * k + 3]) for k in range(7)] == [
        class_colour(k) for k in range(7)
    ]


def test_generating_again_gives_the_same(made: Path, tmp_path: Path) -> None:
    generate(tmp_path / "again", FEW)
    generate(tmp_path / "other", FEW, seed=1)
    files = sorted(p.relative_to(made) for p in made.rglob("*.png"))
    assert len(files) == 2 * sum(FEW.values())
    assert all((made / f).read_bytes() == (tmp_path / "again" / f).read_bytes() for f in files)
    pictures = [f for f in files if f.parts[0] == "images"]
    assert all((made / f).read_bytes() != (tmp_path / "other" / f).read_bytes() for f in pictures)


def test_the_folder_need_not_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_shape_masks.generates is True  # type: ignore[attr-defined]
    assert shape_masks.COUNTS == {"train": 800, "val": 100, "test": 100}
    monkeypatch.setattr(shape_masks, "generate", lambda root: generate(root, {"train": 2}))
    index = read_shape_masks(tmp_path / "new" / "set", "train")
    assert index is not None and len(index) == 2


def test_folders_with_something_else_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(DataError, match="isn't an empty folder"):
        read_shape_masks(tmp_path, "train")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "shape_masks.json").write_text('{"version": 0}')
    with pytest.raises(DataError, match="holds version 0 of the generated set"):
        read_shape_masks(tmp_path / "other", "train")
