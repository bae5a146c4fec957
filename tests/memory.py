"""How much main memory there is for tests."""

from collections.abc import Iterator
from pathlib import Path

CONTROL = Path("/sys/fs/cgroup")
"""Where control groups, which containers are made of, say what they allow."""


def room() -> int:
    """Bytes that are free, or that a control group of this process allows if they are fewer."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.is_file():
        return 1 << 62
    lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
    return min([int(lines["MemAvailable"].split()[0]) << 10, *_limits()])


def _limits() -> Iterator[int]:
    """What the groups above this process allow, in the first version of groups or the second."""
    own = Path("/proc/self/cgroup")
    for line in own.read_text().splitlines() if own.is_file() else ():
        _, controllers, group = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        root = CONTROL / controllers
        name = "memory.limit_in_bytes" if controllers else "memory.max"
        place = root / group.lstrip("/")
        for folder in (place, *place.parents):
            if folder.is_relative_to(root) and (folder / name).is_file():
                limit = (folder / name).read_text().strip()
                if limit.isdigit():
                    yield int(limit)
