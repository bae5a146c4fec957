"""``.pt2`` files, run by torch: exported programs, and packages that AOTInductor compiled."""

import contextlib
import logging
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from visionkit.about import About
from visionkit.errors import CheckpointError, ConfigError
from visionkit.runtimes.answers import Arrays, input_names, output_names
from visionkit.runtimes.exported import ExportedRuntime, about_from, existing, reason
from visionkit.runtimes.torch_math import device_of, full_precision

ENTRY = "visionkit.json"
"""The file inside a ``.pt2`` that says what :class:`visionkit.about.About` does."""
_COMPILED = "aotinductor"
"""The folder inside a ``.pt2`` that holds what AOTInductor compiled."""
_Network = Callable[..., tuple[Tensor, ...]]


class ProgramRuntime(ExportedRuntime):
    """A ``.pt2`` file of ``visionkit export``.

    Like a program, it may do anything when it is run: load only files of people you trust.

    Args:
        path: of the file.
        device: where it computes; a GPU if there is one, unless given. What AOTInductor compiled
            computes on the device that it was compiled for.

    Raises:
        CheckpointError: the file is missing, damaged, of another torch, or visionkit didn't write
            it.
        ConfigError: there is no such device, or it was compiled for another one.
    """

    def __init__(self, path: str | Path, device: str | None = None) -> None:
        import torchvision  # noqa: F401  it brings operators that graphs name

        about, compiled = _read(existing(path), str(path))
        super().__init__(about, str(path))
        load = _compiled if compiled else _program
        try:
            with _quietly():
                self.network, self.device = load(Path(path), device)
        except ConfigError:
            raise
        except Exception as error:  # of many kinds, as the files have many parts
            wrote = about.versions.get("torch", "another torch")
            raise CheckpointError(
                f"{path}: torch {torch.__version__} can't load it ({reason(error)}), torch {wrote} "
                "wrote it; export it again"
            ) from error

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """See :class:`ExportedRuntime`."""
        given = [torch.from_numpy(inputs[name]) for name in input_names(self.about)]
        with torch.inference_mode(), full_precision():
            found = self.network(*(tensor.to(self.device) for tensor in given))
            arrays: list[NDArray[Any]] = [np.asarray(tensor.cpu()) for tensor in found]
        return dict(zip(output_names(self.about), arrays, strict=True))


def _read(path: Path, name: str) -> tuple[About, bool]:
    """Return what a file says of itself, and whether it was compiled; nothing of it is run."""
    try:
        with zipfile.ZipFile(path) as archive:
            places = {Path(place): place for place in archive.namelist()}
            entry = next((place for part, place in places.items() if part.name == ENTRY), None)
            compiled = any(_COMPILED in part.parts for part in places)
            text = archive.read(entry).decode() if entry else ""
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise CheckpointError(
            f"{name}: not a .pt2 file, or a damaged one ({reason(error)}); give another file"
        ) from error
    return about_from(text, name), compiled


def _program(path: Path, device: str | None) -> tuple[_Network, torch.device]:
    where = device_of(device)
    program = torch.export.load(path)
    if where.type != "cpu":
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, str(where))
    return program.module(), where


def _compiled(path: Path, device: str | None) -> tuple[_Network, torch.device]:
    from torch._inductor import aoti_load_package

    kind, _, index = str(device or "").partition(":")
    number = int(index) if index.isdecimal() else -1
    package: Any = aoti_load_package(str(path), device_index=number)
    own = str(package.get_metadata().get("AOTI_DEVICE_KEY", "cpu"))
    if kind not in ("", own):
        raise ConfigError(
            f"device: {path} was compiled for {own}; leave it out, or export again without aot=true"
        )
    return package, device_of(device or own)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep back what torch logs about a file that it then raises about."""
    loggers = [logging.getLogger(name) for name in ("torch.export", "torch._inductor")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
