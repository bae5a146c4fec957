"""From what a person points at to pictures on the canvas."""

import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from visionkit.errors import DataError
from visionkit.geometry import PAD_COLOUR
from visionkit.sources import find, in_order, read_samples


def write(path: Path, level: int = 100, size: tuple[int, int] = (20, 40)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((*size, 3), level, np.uint8))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.png", "a.JPG", "c [1].png", "img[0-9].jpg", "img5.jpg", "deep/a.png"):
        write(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.png").write_bytes(b"")
    return tmp_path


def names(source: object, folder: Path) -> list[str]:
    return [str(p.relative_to(folder)) for p in find(source) if isinstance(p, Path)]


def test_files_folders_patterns_and_lists(folder: Path) -> None:
    direct = ["a.JPG", "b.png", "c [1].png", "img5.jpg", "img[0-9].jpg"]
    assert names(folder, folder) == direct
    assert names(str(folder / "**"), folder) == sorted([*direct, "deep/a.png"])
    assert names(str(folder / "*.png"), folder) == ["b.png", "c [1].png"]
    assert names(str(folder / "c [1].png"), folder) == ["c [1].png"]
    # a file of that very name wins over the pattern
    assert names(str(folder / "img[0-9].jpg"), folder) == ["img[0-9].jpg"]
    assert names([folder / "b.png", str(folder / "deep")], folder) == ["b.png", "deep/a.png"]


def test_arrays() -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    colour = np.zeros((5, 6, 3), np.uint8)
    first, second = find([grey, colour])
    assert isinstance(first, np.ndarray)
    assert first.shape == (3, 4, 3)
    assert (first[..., 2] == grey).all()
    assert second is colour or (second == colour).all()  # type: ignore[comparison-overlap]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), "float32 4x4x3"),
        (np.zeros((4, 4, 4), np.uint8), "uint8 4x4x4"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
        ([np.zeros((4, 4), np.uint8), np.zeros(4, np.uint8)], "source 1: array of uint8 4"),
        ([], "list is empty"),
        ("missing.png", "missing.png: no such file"),
        ("missing_*.png", "matches no picture"),
    ],
)
def test_what_is_no_source_is_refused_in_one_line(source: object, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        find(source)
    assert "\n" not in str(caught.value)


def test_a_folder_without_pictures_says_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no picture in this folder; pictures end in"):
        find(tmp_path / "empty")
    write(tmp_path / "outer" / "inner" / "a.png")
    with pytest.raises(DataError, match=r"nested folders are .*outer/\*\*"):
        find(tmp_path / "outer")


def test_other_types_are_a_type_error() -> None:
    for source in (3, None, b"a.png", {"a": 1}):
        with pytest.raises(TypeError, match="source must be"):
            find(source)


def test_samples_are_letterboxed_and_bad_pictures_noted(tmp_path: Path) -> None:
    good = write(tmp_path / "good.png", 200)
    bad = tmp_path / "bad.png"
    bad.write_bytes(good.read_bytes()[:40])
    errors: list[DataError] = []
    got = list(read_samples([bad, good, np.zeros((8, 8, 3), np.uint8)], (32, 32), errors))
    assert [s.meta.image_id for s, _ in got] == [1, 2]
    assert [s.meta.path for s, _ in got] == [str(good), ""]
    assert len(errors) == 1
    assert "bad.png: truncated PNG" in str(errors[0])
    sample, image = got[0]
    assert image.shape == (20, 40, 3)
    assert sample.image.shape == (32, 32, 3)
    assert (sample.image[8:24] == 200).all()  # 40x20 becomes 32x16, in the middle
    assert (sample.image[:8] == PAD_COLOUR).all()
    assert sample.meta.letterbox.size == (20, 40)
    with pytest.raises(DataError, match="truncated"):
        next(read_samples([bad], (32, 32)))


def test_before_a_window_pictures_keep_their_size(tmp_path: Path) -> None:
    file = write(tmp_path / "a.png", 200)
    items = [file, np.full((100, 70, 3), 9, np.uint8)]
    small, large = (sample for sample, _ in read_samples(items, (32, 32), window=(48, 36)))
    assert small.image.shape == (48, 40, 3)  # of 20 x 40
    assert (small.image[14:34] == 200).all()
    assert (small.image[:14] == PAD_COLOUR).all()
    assert small.meta.letterbox.resized == (20, 40)
    assert (large.image == 9).all()
    assert large.image.shape == (100, 70, 3)


def test_threads_read_ahead_in_order(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{n}.png", 10 * n) for n in range(9)]
    (tmp_path / "4.png").write_bytes(b"")
    for workers, ahead in ((1, 0), (3, 0), (2, 6)):
        errors: list[DataError] = []
        got = list(read_samples(files, (32, 32), errors, workers=workers, ahead=ahead))
        assert [s.meta.image_id for s, _ in got] == [0, 1, 2, 3, 5, 6, 7, 8]
        assert [int(image[0, 0, 0]) for _, image in got] == [0, 10, 20, 30, 50, 60, 70, 80]
        assert [Path(str(e).split(":")[0]).name for e in errors] == ["4.png"]
    with pytest.raises(DataError, match=r"4\.png"):
        list(read_samples(files, (32, 32), workers=2))


def test_items_are_taken_only_as_far_ahead_as_is_worked() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for n in range(100):
            taken.append(n)
            yield n

    for workers, ahead, most in ((0, 8, 1), (2, 0, 3), (1, 4, 5)):
        taken.clear()
        answers = in_order(lambda n: n * n, items(), workers, ahead)
        assert next(answers) == 0
        assert len(taken) == most
        assert next(answers) == 1
        assert len(taken) == most + 1
        answers.close()  # type: ignore[attr-defined]


def test_work_goes_on_while_the_caller_waits() -> None:
    begun = [threading.Event() for _ in range(3)]

    def work(n: int) -> int:
        begun[n].set()
        return n

    answers = in_order(work, range(3), 1, 2)
    assert next(answers) == 0
    assert begun[2].wait(10)
    assert list(answers) == [1, 2]
