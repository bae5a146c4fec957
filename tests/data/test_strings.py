"""Texts in arrays."""

import os

import pytest

from visionkit.data.strings import StringTable


def test_strings_come_back() -> None:
    strings = ["", "a", "Straße/猫.jpg", "", os.fsdecode(b"not utf-8 \xff.jpg")]
    table = StringTable(strings)
    assert [table[i] for i in range(len(table))] == strings
    assert len(StringTable([])) == 0
    for i in (-1, 5):
        with pytest.raises(IndexError):
            table[i]
