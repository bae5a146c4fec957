"""Many texts in two arrays, which forked workers share where a list's objects would be copied."""

import os
from collections.abc import Sequence

import numpy as np


class StringTable:
    """An immutable list of paths in two arrays: their bytes, and where each string starts."""

    def __init__(self, strings: Sequence[str]) -> None:
        encoded = [os.fsencode(s) for s in strings]
        self._bytes = np.frombuffer(b"".join(encoded), np.uint8)
        self._offsets = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum([len(e) for e in encoded], out=self._offsets[1:])

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, i: int) -> str:
        if not 0 <= i < len(self):
            raise IndexError(i)
        return os.fsdecode(self._bytes[self._offsets[i] : self._offsets[i + 1]].tobytes())
