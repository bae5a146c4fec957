"""Defects, raised or collected."""

import pytest

from visionkit.data.defects import (
    Defect,
    aside,
    collecting,
    is_collecting,
    lose,
    lose_by,
    naming_way_out,
    note,
)
from visionkit.errors import DataError

WAY_OUT = ", or go on without it by data.defects=drop"


def test_what_is_lost_stops_unless_somebody_collects() -> None:
    with pytest.raises(DataError) as told:
        lose("bad-box", "a.json", "box 3 is none", "mend it")
    assert str(told.value) == f"a.json: box 3 is none; mend it{WAY_OUT}"
    with collecting() as found:
        lose("bad-box", "a.json", "box 3 is none", "mend it")
        note("zero-id", "a.json", "an id is 0", "number them", "mended")
    assert found == [
        Defect("bad-box", "a.json", "box 3 is none", "mend it", "stops"),
        Defect("zero-id", "a.json", "an id is 0", "number them", "mended"),
    ]
    assert found[0].line == "a.json: box 3 is none; mend it"
    with pytest.raises(DataError):
        lose("bad-box", "a.json", "box 3 is none", "mend it")
    note("zero-id", "a.json", "nobody hears", "of this", "noted")
    assert len(found) == 2


def test_collecting_within_collecting() -> None:
    with collecting("train") as outer:
        with collecting("val") as inner:
            lose("x", "a", "b", "c")
        lose("y", "a", "b", "c")
    assert [(d.kind, d.split) for d in inner] == [("x", "val")]
    assert [(d.kind, d.split) for d in outer] == [("y", "train")]


def test_an_error_ends_collecting() -> None:
    with pytest.raises(ValueError, match="no"), collecting():
        raise ValueError("no")
    assert not is_collecting()


def test_aside_keeps_it_from_who_collects_but_not_from_who_does_not() -> None:
    with collecting() as found:
        with aside():
            lose("x", "a", "b", "c")
        with aside(unless=True):
            lose("y", "a", "b", "c")
    assert [d.kind for d in found] == ["y"]
    with pytest.raises(DataError), aside():
        lose("x", "a", "b", "c")


def test_an_error_is_taken_apart() -> None:
    error = DataError("a/b.jpg: isn't a picture (x: y; z); replace it")
    with collecting() as found:
        lose_by(error, "unreadable")
    assert found == [
        Defect("unreadable", "a/b.jpg", "isn't a picture (x: y; z)", "replace it", "stops")
    ]
    with pytest.raises(DataError) as told:
        lose_by(error, "unreadable")
    assert str(told.value) == f"{error}{WAY_OUT}"
    with pytest.raises(DataError) as told, naming_way_out():
        raise error
    assert str(told.value) == f"{error}{WAY_OUT}"
