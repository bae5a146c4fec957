"""One run at a time in a folder; the system frees those whose process was killed."""

import contextlib
import errno
import logging
import os
import platform
import time
from pathlib import Path

from visionkit.errors import ConfigError

log = logging.getLogger(__name__)

_NAME = ".lock"
_WAIT = 120.0  # a server of files may hold the locks of a lost machine for 90 s
_held: dict[Path, int] = {}


def hold(folder: Path) -> None:
    """Let no other process run in a folder, until this one ends or calls :func:`release`.

    The lock is the process's own: not that of those it starts, and no obstacle to itself. Where the
    system or the disk has no locks nobody is kept out.

    Args:
        folder: of the run, which must be there.

    Raises:
        ConfigError: another run goes on there.
    """
    place = folder.resolve()
    if place in _held:
        return
    try:
        file = os.open(place / _NAME, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError:
        return
    if not _locked(file):
        owner, host = _owner(file)
        end = time.monotonic() + (_WAIT if host != platform.node() else 0)
        if time.monotonic() < end:
            log.warning("run_dir: %s is held by %s; waiting whether it is alive", folder, owner)
        while not _locked(file):
            if time.monotonic() >= end:
                os.close(file)
                raise ConfigError(
                    f"run_dir: another run goes on in {folder} ({owner}); choose another run_dir, "
                    f"or if it is dead remove {folder / _NAME}"
                )
            time.sleep(1)
    with contextlib.suppress(OSError):
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()} {platform.node()}".encode(), 0)
    _held[place] = file


def release(folder: Path) -> None:
    """Let others run in a folder."""
    file = _held.pop(folder.resolve(), None)
    if file is not None:
        os.close(file)


def busy(folder: Path) -> bool:
    """Whether another process runs in a folder."""
    place = folder.resolve()
    if place in _held:  # to close a second descriptor would free it
        return False
    try:
        file = os.open(place / _NAME, os.O_RDWR)
    except OSError:
        return False
    try:
        return not _locked(file)
    finally:
        os.close(file)


def _locked(file: int) -> bool:
    """Lock a file; False if another process has."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EAGAIN, errno.EACCES)
    return True


def _owner(file: int) -> tuple[str, str]:
    """Who has a file, in words, and the name of the machine."""
    process, _, host = os.pread(file, 300, 0).decode("utf-8", "replace").partition(" ")
    return (f"process {process} on {host}" if host else "another process"), host
