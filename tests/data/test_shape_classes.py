"""The generated class folders."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from visionkit.data import drawing, shape_classes
from visionkit.data.folder import read_folder
from visionkit.data.shape_classes import CLASSES, draw_one, generate, read_shape_classes
from visionkit.errors import DataError

FEW = {"train": 13, "val": 6}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made") / "shapes"
    generate(root, FEW)
    return root


def test_the_set_is_read_as_any_other(made: Path) -> None:
    train, val = read_shape_classes(made, "train"), read_shape_classes(made, "val")
    assert train is not None and val is not None
    assert train.classes == val.classes == tuple(sorted(CLASSES))
    assert train.counts().tolist() == [3, 2, 2, 2, 2, 2]  # circle comes first twice
    assert val.counts().tolist() == [1] * 6
    assert train.warnings == () and read_shape_classes(made, "test") is None
    sizes = [train.image(i).shape for i in range(len(train))]
    assert all(48 <= side <= 80 for size in sizes for side in size[:2])
    assert len(set(sizes)) > 5


def test_the_folder_need_not_be_there() -> None:
    assert read_shape_classes.generates is True  # type: ignore[attr-defined]
    assert shape_classes.COUNTS == {"train": 6000, "val": 480, "test": 480}


def test_generating_again_gives_the_same_bytes(made: Path, tmp_path: Path) -> None:
    generate(tmp_path / "again", FEW)
    generate(tmp_path / "other", FEW, seed=1)
    files = sorted(p.relative_to(made) for p in made.rglob("*.png"))
    assert len(files) == 19
    for file in files:
        assert (made / file).read_bytes() == (tmp_path / "again" / file).read_bytes()
        assert (made / file).read_bytes() != (tmp_path / "other" / file).read_bytes()


def test_a_picture_shows_one_whole_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    """With neither noise nor lines, what isn't background is the shape."""
    monkeypatch.setattr(drawing, "NOISE", 0.0)
    monkeypatch.setattr(drawing, "_LINES", 0)
    monkeypatch.setattr(drawing, "_GRADIENT", 0.0)
    for seed in range(4):
        for label in range(6):
            image = draw_one(np.random.default_rng((seed, label)), label).astype(int)
            corners = image[[0, 0, -1, -1], [0, -1, 0, -1]]
            background = np.median(corners, 0)
            rows, columns = np.nonzero((np.abs(image - background) > 20).any(-1))
            sides = np.ptp(rows) + 1, np.ptp(columns) + 1
            assert 17 <= max(sides) <= 0.75 * min(image.shape[:2]) + 2, (seed, label, sides)
            assert rows.size > 40


def test_an_interrupted_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def interrupted(*args: Any) -> Any:
        drawn.append(args)
        if len(drawn) == 3:
            raise KeyboardInterrupt
        return draw_one(*args)

    monkeypatch.setattr(shape_classes, "draw_one", interrupted)
    with pytest.raises(KeyboardInterrupt):
        read_shape_classes(tmp_path / "new" / "shapes", "train")
    assert list((tmp_path / "new").iterdir()) == []


def test_a_run_that_comes_second_uses_the_firsts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "shapes"

    def overtaken(*args: Any) -> Any:
        monkeypatch.setattr(shape_classes, "draw_one", draw_one)
        generate(root, {"train": 7})
        return draw_one(*args)

    monkeypatch.setattr(shape_classes, "draw_one", overtaken)
    generate(root, {"train": 8})
    index = read_folder(root, "train", validation=0)
    assert index is not None and len(index) == 7
    assert [p.name for p in tmp_path.iterdir()] == ["shapes"]


def test_folders_with_something_else_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(DataError, match="isn't an empty folder"):
        read_shape_classes(tmp_path, "train")
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_another_version_is_not_mixed_in(tmp_path: Path) -> None:
    (tmp_path / "shape_classes.json").write_text('{"version": 0}')
    with pytest.raises(DataError, match="holds version 0 of the generated set"):
        read_shape_classes(tmp_path, "train")
