"""Files that one process at a time may hold; the system frees those of one that was killed."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def take(path: Path, wait: bool = False) -> int | None:
    """Hold a file; return its descriptor, or None if another process has it.

    A process that inherits the descriptor holds the file, too. Where the system can't lock, on
    Windows, nobody is kept out.

    Args:
        path: is made if it isn't there.
        wait: until it is free.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        import fcntl
    except ImportError:
        return descriptor
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a file while the context lasts; waits for it."""
    descriptor = take(path, wait=True)
    assert descriptor is not None
    try:
        yield
    finally:
        os.close(descriptor)
