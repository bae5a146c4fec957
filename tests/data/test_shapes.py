"""The generated set."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from visionkit.data import shapes
from visionkit.data.coco import read_coco
from visionkit.data.drawing import NOISE
from visionkit.data.shapes import CLASSES, draw_scene, generate, read_shapes
from visionkit.errors import DataError
from visionkit.geometry import read_image

SCENES = [draw_scene(np.random.default_rng((5, i))) for i in range(25)]
FEW = {"train": 40, "val": 3}


def test_scenes_are_as_promised() -> None:
    met = set()
    for image, objects in SCENES:
        height, width = image.shape[:2]
        assert image.dtype == np.uint8 and 160 <= min(height, width) <= max(height, width) <= 240
        assert 1 <= len(objects) <= 6
        for thing in objects:
            met.add(CLASSES[thing.label])
            x1, y1, x2, y2 = thing.box
            assert 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height
            assert 20 <= max(x2 - x1, y2 - y1) <= min(height, width) / 2 + 1e-6
            assert 2 * thing.visible.sum() >= thing.mask.sum(), "more than half hidden"
            assert not (thing.visible & ~thing.mask).any()
    assert met == set(CLASSES)


def test_boxes_are_tight_around_the_masks() -> None:
    for image, objects in SCENES:
        assert all(thing.mask.shape == image.shape[:2] for thing in objects)
        for thing in objects:
            rows, columns = (np.flatnonzero(thing.mask.any(axis)) for axis in (1, 0))
            around = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
            # A pixel is inside if its centre is, so sharp corners may miss a pixel or two.
            slack = np.array([1, 1, -1, -1]) * (np.array(around) - thing.box)
            assert slack.min() > -0.5 - 1e-6 and slack.max() < 3.0


def test_what_is_seen_of_no_two_objects_overlaps() -> None:
    for _, objects in SCENES:
        assert sum(thing.visible.astype(int) for thing in objects).max() == 1


def test_objects_stand_out_from_the_background() -> None:
    for image, objects in SCENES:
        behind = ~np.any([thing.mask for thing in objects], 0)
        base = np.median(image[behind], 0)
        for thing in objects:
            colour = np.median(image[thing.visible], 0)
            # 40 levels and more from the base in each channel, less the gradient's 25.
            assert np.abs(colour - base).max() > 15


def test_the_noise_has_its_sigma() -> None:
    image, objects = draw_scene(np.random.default_rng(1), empty=True)
    assert objects == []
    # Neighbours differ by the noise of both, and by edges of lines: hence the median.
    steps = np.abs(np.diff(image.astype(float), axis=1))
    assert np.median(steps) == pytest.approx(0.6745 * NOISE * np.sqrt(2), rel=0.05)


def test_the_same_seed_draws_the_same() -> None:
    image, objects = draw_scene(np.random.default_rng((5, 0)))
    np.testing.assert_array_equal(image, SCENES[0][0])
    assert [(o.label, o.box) for o in objects] == [(o.label, o.box) for o in SCENES[0][1]]
    assert draw_scene(np.random.default_rng(9))[0].shape != image.shape


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made") / "shapes"
    generate(root, FEW)
    return root


def test_the_set_is_read_as_any_other(made: Path) -> None:
    index = read_shapes(made, "train")
    assert index is not None and len(index) == 40
    assert index.classes == CLASSES and index.warnings == ()
    counts = np.diff(index.first)
    assert (counts == 0).sum() == 2, "one in twenty is empty"
    for i in range(3):
        assert read_image(index.path(i)).shape[:2] == index.size(i)
    assert read_shapes(made, "test") is None
    val = read_shapes(made, "val")
    assert val is not None and val.size(0) != index.size(0), "val repeats train"


def test_generating_again_gives_the_same_bytes(made: Path, tmp_path: Path) -> None:
    generate(tmp_path / "again", {"train": 40})
    generate(tmp_path / "other", {"train": 2}, seed=1)
    names = ["annotations/instances_train.json", "images/train/0000.png", "images/train/0039.png"]
    for name in names:
        assert (made / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    other = tmp_path / "other" / names[1]
    assert other.read_bytes() != (made / names[1]).read_bytes()


def test_boxes_in_the_file_are_those_drawn(made: Path) -> None:
    content = json.loads((made / "annotations/instances_val.json").read_text())
    drawn = [
        draw_scene(np.random.default_rng((0, 1, i)))[1] for i in range(3)
    ]  # of three, none is empty: round(3 * 0.05) is 0
    rows = content["annotations"]
    assert [r["image_id"] - 1 for r in rows] == [i for i in range(3) for _ in drawn[i]]
    for row, thing in zip(rows, [o for objects in drawn for o in objects], strict=True):
        x, y, width, height = row["bbox"]
        assert row["category_id"] == thing.label + 1 and row["area"] == thing.mask.sum()
        np.testing.assert_allclose([x, y, x + width, y + height], thing.box, atol=0.011)


def test_an_interrupted_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def interrupted(*args: Any, **options: Any) -> Any:
        drawn.append(args)
        if len(drawn) == 3:
            raise KeyboardInterrupt
        return draw_scene(*args, **options)

    monkeypatch.setattr(shapes, "draw_scene", interrupted)
    with pytest.raises(KeyboardInterrupt):
        read_shapes(tmp_path / "new" / "shapes", "train")
    assert list(tmp_path.rglob("*.png")) == []
    assert not (tmp_path / "new" / "shapes").exists()
    assert list((tmp_path / "new").iterdir()) == []


def test_a_run_that_comes_second_uses_the_firsts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "shapes"

    def overtaken(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(shapes, "draw_scene", draw_scene)
        generate(root, {"train": 2})
        return draw_scene(*args, **options)

    monkeypatch.setattr(shapes, "draw_scene", overtaken)
    generate(root, {"train": 3})
    index = read_coco(root, "train")
    assert index is not None and len(index) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["shapes"]


def test_folders_with_something_else_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(DataError, match="isn't an empty folder"):
        read_shapes(tmp_path, "train")
    with pytest.raises(DataError, match=r"isn't an empty folder|can't be written"):
        read_shapes(tmp_path / "mine.txt", "train")
    assert (tmp_path / "mine.txt").read_text() == "keep"
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_another_version_is_not_mixed_in(made: Path, tmp_path: Path) -> None:
    (tmp_path / "shapes.json").write_text('{"version": 0}')
    with pytest.raises(DataError, match="holds version 0 of the generated set"):
        read_shapes(tmp_path, "train")
