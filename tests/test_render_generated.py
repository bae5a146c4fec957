"""Pictures that networks made: beside their source, in grids, in rows with titles."""

import numpy as np
import pytest

from visionkit.render import compare, draw, grid
from visionkit.render.generated import titled_rows, turns
from visionkit.results import Generated


def flat(value: int, size: tuple[int, int] = (28, 28)) -> np.ndarray:
    return np.full((*size, 3), value, np.uint8)


def made(value: int, label: int | None = None, seed: int | None = None) -> Generated:
    return Generated(flat(value), ("ant", "bee"), label, seed)


def columns_of(sheet: np.ndarray, value: int) -> list[int]:
    """Where the pixels of a grey value stand, at the left end of each run of columns."""
    there = (sheet == value).all(-1).any(0)
    return np.flatnonzero(there & ~np.roll(there, 1)).tolist()


def test_what_was_made_of_a_picture_stands_beside_it() -> None:
    drawn = draw(flat(100), made(200))
    (left,), (right,) = columns_of(drawn, 100), columns_of(drawn, 200)
    assert left < right
    # enlarged six times, each pixel a square
    assert (drawn == 100).all(-1).sum() == (drawn == 200).all(-1).sum() == (6 * 28) ** 2
    both = compare(flat(100), made(150), made(200))
    (source,), (target,), (said,) = (columns_of(both, v) for v in (100, 150, 200))
    assert source < said < target


def test_what_was_made_from_noise_stands_alone() -> None:
    np.testing.assert_array_equal(draw(flat(0), made(200, seed=3)), flat(200))


@pytest.mark.parametrize("size", [(1, 1), (300, 2), (2, 300)])
def test_any_size_of_picture(size: tuple[int, int]) -> None:
    drawn = draw(flat(100, size), Generated(flat(200, size)))
    assert (drawn == 100).all(-1).any()
    assert (drawn == 200).all(-1).any()


def test_grids_have_a_column_for_each_class_that_comes_in_turn() -> None:
    assert turns([0, 1, 2, 0, 1, 2, 0]) == 3
    assert turns([2, 0, 1, 2, 0]) == 3
    assert turns([0, 1, 2, 0, 2, 1]) is None
    assert turns([1, 1, 1]) is None
    assert turns([0, 1, 2]) is None
    assert turns([None, None]) is None
    assert turns([*range(20), *range(20)]) is None
    pictures = [made(60 + 50 * (i % 3), label=i % 3) for i in range(12)]
    sheet = grid(pictures)
    assert [len(columns_of(sheet, v)) for v in (60, 110, 160)] == [1, 1, 1]
    assert (sheet == 60).all(-1).sum() == 4 * (3 * 28) ** 2  # enlarged three times
    assert sheet.shape[0] > sheet.shape[1]
    two = grid([made(60 + 50 * (i % 2), label=i % 2) for i in range(16)])
    assert (len(columns_of(two, 60)), len(columns_of(two, 110))) == (2, 2)  # of four columns
    square = grid([made(60, seed=i) for i in range(9)])
    assert len(columns_of(square, 60)) == 3
    assert len(columns_of(grid([made(60)] * 9, 9), 60)) == 9


def test_large_pictures_keep_their_pixels() -> None:
    sheet = grid([Generated(flat(60, (128, 128)))] * 2)
    assert (sheet == 60).all(-1).sum() == 2 * 128**2


def test_rows_have_titles_at_their_left() -> None:
    rows = [[made(100), made(120)], [made(140), made(160)]]
    sheet = titled_rows(rows, ["0.4", "1"])
    plain = grid([p for row in rows for p in row], 2)
    assert sheet.shape[0] == plain.shape[0]
    margin = sheet.shape[1] - plain.shape[1]
    assert margin > 10
    np.testing.assert_array_equal(sheet[:, margin:], plain)
    half = sheet.shape[0] // 2
    assert (sheet[:half, :margin] > 200).any()
    assert (sheet[half:, :margin] > 200).any()
