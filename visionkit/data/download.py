"""torchvision's downloads of well-known sets, made whole or not at all."""

import contextlib
import io
import os
import shutil
import uuid
from pathlib import Path

from visionkit.errors import DataError


def download(name: str, folder: str, root: Path) -> None:
    """Let torchvision download a set into ``root/folder``.

    It is fetched beside its place and moved there whole, so that an interrupted download, or two
    at once, leave nothing half-made.

    Args:
        name: of torchvision's class, such as ``CIFAR10``.
        folder: the folder that the class makes.
        root: where it belongs.

    Raises:
        DataError: it can't be downloaded or written.
    """
    from torchvision import datasets

    work = root / f".{folder}.{uuid.uuid4().hex[:12]}"
    try:
        work.mkdir(parents=True)
        with contextlib.redirect_stdout(io.StringIO()):  # it prints
            getattr(datasets, name)(str(work), download=True)
        try:
            os.rename(work / folder, root / folder)
        except OSError:
            if not (root / folder).is_dir():
                raise
    except (OSError, RuntimeError) as error:
        cause = " ".join(str(error).split())
        raise DataError(
            f"{root}: {name} can't be downloaded ({cause[:200]}); "
            "go online, or put the files there yourself"
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
