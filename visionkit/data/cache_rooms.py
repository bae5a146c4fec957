"""Where kept pictures lie: in a process's memory, in that of all ranks of a machine, or on disk."""

import errno
import hashlib
import mmap
import os
import shutil
import sys
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from visionkit.data.cores import memory_limits
from visionkit.errors import ConfigError, DataError


class Room(Protocol):
    """So many bytes, zeros at first. It may be pickled.

    Attributes:
        lasts: whether what is in it outlives the run.
    """

    @property
    def lasts(self) -> bool: ...  # noqa: D102

    def open(self) -> mmap.mmap:
        """Map it.

        Raises:
            DataError: it can't be.
        """
        ...


Place = Callable[[str, int], Room]
"""Makes a room of that name and of so many bytes."""


@dataclass(frozen=True)
class Private:
    """Memory of this process and those forked from it; one that is started afresh has its own.

    Pages that were never written cost nothing.
    """

    size: int
    lasts = False

    def open(self) -> mmap.mmap:
        """See :class:`Room`."""
        return mmap.mmap(-1, self.size)


class Shared:
    """Memory that any process of the same person on the same machine can map: it has no name.

    Nothing has to be removed, even if all are killed: it goes with the last process that has it.

    Args:
        size: in bytes.
    """

    lasts = False

    def __init__(self, size: int) -> None:
        self.size, self.owner, self.where = size, os.getpid(), _where()
        self.file = os.memfd_create("visionkit")
        weakref.finalize(self, os.close, self.file).atexit = False
        os.ftruncate(self.file, size)

    def open(self) -> mmap.mmap:
        """See :class:`Room`: memory of one's own where the owner is gone or hidden."""
        try:
            file = os.open(f"/proc/{self.owner}/fd/{self.file}", os.O_RDWR)
        except OSError:
            return mmap.mmap(-1, self.size)
        try:
            return mmap.mmap(file, self.size)
        finally:
            os.close(file)


def private(name: str, size: int) -> Private:
    """See :class:`Place`."""
    return Private(size)


def shared(name: str, size: int) -> Private | Shared:
    """See :class:`Place`: one room for all ranks of a machine, all of which must call this.

    Where the system can't do it each rank has its own.

    Raises:
        ConfigError: the machine has less memory.
    """
    from visionkit.ops.distributed import gather_objects  # torch, which evaluators do without

    there = _memory()
    if size > there:
        raise ConfigError(
            f"data.cache: ram needs {_gigabytes(size)}, this machine or container has "
            f"{_gigabytes(there)}; choose data.cache=disk, a smaller data.image_size or "
            "data.cache=none"
        )
    if not hasattr(os, "memfd_create"):
        return Private(size)
    mine = Shared(size)
    first = next(r for r in gather_objects(mine) if (r.where, r.size) == (mine.where, size))
    return mine if first.owner == mine.owner else first  # mine closes its file when it goes


def _where() -> tuple[str, str]:
    """What processes have in common that see one another: the machine, and the container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return boot, os.readlink("/proc/self/ns/pid")
    except OSError:
        return str(os.getpid()), ""


@dataclass(frozen=True)
class OnDisk:
    """A file. Any number of processes may have it; it is made whole when one first maps it.

    Attributes:
        path: of the file.
        size: in bytes.
    """

    path: Path
    size: int
    lasts = True

    def check(self) -> None:
        """See that it fits.

        Raises:
            ConfigError: it doesn't, or its folder can't be made.
        """
        folder = self.path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(folder).free
            if self.path.exists():
                free += self.path.stat().st_blocks * 512
        except OSError as error:
            raise ConfigError(
                f"data.cache_dir: {folder} can't be made ({error.strerror}); choose another folder"
            ) from error
        if free < self.size:
            raise ConfigError(
                f"data.cache: disk needs {_gigabytes(self.size)} in {folder}, where "
                f"{_gigabytes(free)} are free; choose another data.cache_dir, a smaller "
                "data.image_size or data.cache=none"
            )

    def open(self) -> mmap.mmap:
        """See :class:`Room`."""
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                if os.fstat(file).st_size < self.size:
                    _allocate(file, self.size)
                return mmap.mmap(file, self.size)
            finally:
                os.close(file)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                self.path.unlink(missing_ok=True)
            raise DataError(
                f"{self.path}: kept pictures can't be written ({error.strerror}); choose another "
                "data.cache_dir or data.cache=none"
            ) from error


class Folder:
    """A place on disk, for the pictures of one split as one way of reading gives them.

    Args:
        folder: of the set.
        split: its name.
        key: of all that the kept pixels depend on. Files of another key are removed: nobody knows
            when they would be of use again. Those of other canvases stay, as another run may use
            them.
    """

    def __init__(self, folder: Path, split: str, key: str) -> None:
        self.folder, self.split, self.key = folder, split, key

    def __call__(self, name: str, size: int) -> OnDisk:
        """See :class:`Place`.

        Raises:
            ConfigError: there isn't enough room.
        """
        room = OnDisk(self.folder / f"{self.split}-{name}-{self.key}.pixels", size)
        for file in self.folder.glob(f"{self.split}-{name}-*.pixels"):
            if file != room.path:
                with suppress(OSError):  # whoever has it open keeps it
                    file.unlink()
        room.check()
        return room


def default_folder() -> Path:
    """Where kept pictures lie if nobody says so: in the system's folder for such things."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "visionkit"


def folder_of(root: Path, folder: str | None) -> Path:
    """The folder for a set.

    Args:
        root: of the set.
        folder: for all sets; None for :func:`default_folder`.
    """
    place = root.absolute()
    name = hashlib.sha256(os.fsencode(place)).hexdigest()[:8]
    above = Path(folder).expanduser() if folder else default_folder()
    return above / f"{place.name}-{name}"


def _allocate(file: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):  # a full disk would kill who writes to mapped memory
        os.posix_fallocate(file, 0, size)
    else:
        os.ftruncate(file, size)


def _memory() -> int:
    """Bytes of main memory, or of a container's; without end where the system doesn't say."""
    try:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        there = sys.maxsize
    return min([there, *(limit for limit, _ in memory_limits())])


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
