"""Sets that are made on the spot: whole or not at all, and once."""

import json
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from visionkit.errors import DataError


def is_made(root: Path, marker: str, version: int) -> bool:
    """Whether a set of that version lies in ``root``.

    Args:
        root: the set's folder.
        marker: the name of the file in it that tells.
        version: the one wanted.

    Raises:
        DataError: it is of another version.
    """
    try:
        there = json.loads((root / marker).read_text("utf-8"))["version"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    if there != version:
        raise DataError(
            f"{root}: holds version {there} of the generated set, this is version {version}; "
            "delete the folder or choose another data.root"
        )
    return True


def make_once(
    root: Path, marker: str, about: Mapping[str, object], write: Callable[[Path], None]
) -> None:
    """Make a set beside ``root`` and move it there; nothing happens if another process was faster.

    Args:
        root: a folder that is empty or doesn't exist.
        marker: the name of the file that tells what the set is.
        about: what it says, ``version`` among it.
        write: writes the set into the folder that it is given.

    Raises:
        DataError: ``root`` isn't empty, or can't be written.
    """
    target = root.resolve()
    work = target.parent / f".{target.name}.{uuid.uuid4().hex[:12]}"
    version = int(str(about["version"]))
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise DataError(
                f"{root}: isn't an empty folder and holds no generated set; "
                "choose another data.root, or another data= for what is there"
            )
        work.mkdir(parents=True)
        write(work)
        (work / marker).write_text(json.dumps(dict(about)), "utf-8")
        try:
            os.rename(work, target)
        except OSError:
            if not is_made(root, marker, version):
                raise
    except OSError as error:
        if not is_made(root, marker, version):
            raise DataError(
                f"{root}: the generated set can't be written ({error.strerror}); "
                "set data.root to a folder you can write to"
            ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
