"""Checkpoint files: written whole or not at all, and told from damaged ones when read."""

import contextlib
import errno
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from visionkit.errors import CheckpointError

_PASSING = (
    *(errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EACCES, errno.EPERM),
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM),
)


class DamagedError(CheckpointError):
    """A file that should be a checkpoint can't be read, or its bytes have changed."""


def load(path: str | Path) -> Any:
    """Read a file of tensors and plain data that torch wrote.

    Its checksums are compared: torch itself would take changed bytes for other weights.

    Args:
        path: of the file, which must be there.

    Raises:
        DamagedError: it isn't such a file, or no longer.
        CheckpointError: the system can't read it now, whatever is in it.
    """
    path = Path(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        _refuse_if_passing(path, error)
        raise _damaged(path, unreadable(path)) from error
    changed = _changed(path)
    if changed:
        raise _damaged(path, changed)
    return content


def _refuse_if_passing(path: Path, error: Exception) -> None:
    """Tell what may pass from damage: a file server that is away, too little memory.

    Raises:
        CheckpointError: it may.
    """
    number = error.errno if isinstance(error, OSError) else None
    if number in _PASSING or isinstance(error, MemoryError) or "allocate memory" in str(error):
        said = (number and os.strerror(number)) or "too little memory"
        raise CheckpointError(
            f"{path}: can't be read ({said}); try again, or give another file"
        ) from error


def _damaged(path: Path, reason: str) -> DamagedError:
    return DamagedError(f"{path}: not a checkpoint, or a damaged one ({reason}); give another file")


def _changed(path: Path) -> str:
    """Which part of a zip file has another checksum than was written with it, "" for none."""
    if not zipfile.is_zipfile(path):
        return ""
    try:
        with zipfile.ZipFile(path) as archive:
            part = archive.testzip()
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        _refuse_if_passing(path, error)
        return "its parts aren't where they should be"
    return f"{part} has changed since it was written" if part else ""


def unreadable(path: Path) -> str:
    """Say why torch can't read a file: its own words fill a page."""
    with contextlib.suppress(OSError), path.open("rb") as stream:
        start = stream.read(4)
        if not start:
            return "the file is empty"
        if start == b"PK\x03\x04":
            if not zipfile.is_zipfile(path):
                return "the file is truncated"
            return _changed(path) or "it holds more than tensors and plain data"
    return "torch didn't write it"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target and renames, so that a failed save leaves the old file whole."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Save ``checkpoint`` to ``path``.

        Raises:
            CheckpointError: the disk is full or the folder can't be written.
        """
        target = Path(path)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as stream:
                torch.save(checkpoint, stream)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, target)
        except (OSError, RuntimeError) as error:
            kept = "; the one before it is whole" if target.exists() else ""
            raise CheckpointError(
                f"{target}: the checkpoint can't be written ({_reason(error)}){kept}; "
                "free some space or choose another run_dir, then resume"
            ) from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()


def _reason(error: BaseException) -> str:
    """The system's words for what went wrong, also where torch hides them behind its own."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror
        seen = seen.__cause__ or seen.__context__
    return next(iter(str(error).strip().splitlines()), "")
