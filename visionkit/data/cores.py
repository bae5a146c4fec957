"""How much of the machine may be used, and using it."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_PART = 64
"""Items for each thread that are asked for at a time, so that answers don't pile up."""


def cores() -> int:
    """How many cores this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def in_threads(work: Callable[[Item], Answer], items: Sequence[Item]) -> Iterator[Answer]:
    """Do ``work`` for each item, as many at a time as there are cores; answers come in order."""
    step = _PART * cores()
    with ThreadPoolExecutor(cores()) as pool:
        for start in range(0, len(items), step):
            yield from pool.map(work, items[start : start + step])
