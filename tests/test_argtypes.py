"""Plain values and the annotations that they fit."""

import pytest

from visionkit.argtypes import Count, Part, fit

LONG = 10**400


def test_integers_of_any_length() -> None:
    assert fit(LONG, int) == LONG
    assert fit(LONG, Count) == LONG
    assert fit(3.0, int) == 3
    for value in (3.5, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="expected an integer"):
            fit(value, int)


@pytest.mark.parametrize("wanted", [float, Part])
def test_what_is_too_long_for_a_float_is_told(wanted: object) -> None:
    with pytest.raises(ValueError, match="fits in 64 bits, got 401 digits"):
        fit(LONG, wanted)


def test_what_lies_outside_is_shown_as_it_was_written() -> None:
    with pytest.raises(ValueError, match=r"must be at least 0, got -10{400}$"):
        fit(-LONG, Count)
    with pytest.raises(ValueError, match=r"must be between 0 and 1, got 2$"):
        fit(2.0, Part)
