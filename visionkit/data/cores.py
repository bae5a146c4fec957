"""How much of the machine may be used, and using it."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_CONTROL = Path("/sys/fs/cgroup")
"""Where control groups, which containers are made of, say what they allow."""
_GROUPS = Path("/proc/self/cgroup")
"""Where a process finds its own."""
_PART = 64
"""Items for each thread that are asked for at a time, so that answers don't pile up."""


def cores() -> int:
    """How many cores this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def memory_limits() -> list[tuple[int, int]]:
    """Bytes of main memory that each group around this process allows, and that it uses by now."""
    found = []
    for line in _GROUPS.read_text().splitlines() if _GROUPS.is_file() else ():
        _, controllers, group = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        root = _CONTROL / controllers  # the second version of groups has one tree for all
        names = ("limit_in_bytes", "usage_in_bytes") if controllers else ("max", "current")
        place = root / group.lstrip("/")
        for folder in (place, *place.parents):
            if folder.is_relative_to(root):
                with suppress(OSError, ValueError):  # no such file, or no limit
                    limit, used = (int((folder / f"memory.{n}").read_text()) for n in names)
                    found.append((limit, used))
    return found


def in_threads(work: Callable[[Item], Answer], items: Sequence[Item]) -> Iterator[Answer]:
    """Do ``work`` for each item, as many at a time as there are cores; answers come in order."""
    step = _PART * cores()
    with ThreadPoolExecutor(cores()) as pool:
        for start in range(0, len(items), step):
            yield from pool.map(work, items[start : start + step])
