"""What a benchmark is given, a checkpoint or an exported file, and what can run it."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionkit.benchmarking.cases import Setup
from visionkit.errors import ConfigError, VisionkitError
from visionkit.predictor import FILES, load_runtime

if TYPE_CHECKING:
    from visionkit.checkpoint import Loaded

RUNTIMES = ("eager", "compiled", "onnx", "openvino", "program")
"""Those of a checkpoint, in the order of tables."""
_NEEDS = {
    "onnx": (("onnx", "onnxscript", "onnxruntime"), "export"),
    "openvino": (("onnx", "onnxscript", "openvino"), "export,openvino"),
}
"""Packages that a checkpoint's exports need, and the extras of visionkit's that bring them."""
_ONE_LOOK = {"flip": False, "scales": [1.0], "window": "none"}
"""Options of what is exported, see :class:`visionkit.benchmarking.stages.Stages`."""


@dataclass(frozen=True)
class Given:
    """What is to be measured.

    Attributes:
        path: of the file.
        name: what tables and plots call it.
        task: such as ``detection``.
        says: see :class:`visionkit.runtimes.base.Runtime`.
        canvas: height and width of the training run.
        loaded: what is in a checkpoint; None for an exported file.
    """

    path: Path
    name: str
    task: str
    says: str
    canvas: tuple[int, int]
    loaded: "Loaded | None" = None


def open_given(path: Path, name: str | None = None) -> Given:
    """Load a checkpoint or an exported file.

    Args:
        path: of the file.
        name: what tables and plots call it; else the run folder of a training run's checkpoint, or
            the file's name.

    Raises:
        CheckpointError: it is missing, damaged, or of another kind.
    """
    name = name or _name_of(path)
    if path.suffix.lower() in FILES:
        runtime = load_runtime(path, "cpu")
        return Given(path, name, runtime.task, runtime.says, runtime.canvas)
    from visionkit.checkpoint import load_model

    loaded = load_model(path)
    return Given(path, name, loaded.task, loaded.model.says, loaded.canvas, loaded)


def _name_of(path: Path) -> str:
    parent = path.absolute().parent
    return parent.parent.name if parent.name == "checkpoints" else path.stem


def setups(
    given: Given,
    wanted: Sequence[str] | None,
    folder: Path,
    threads: int,
    device: str | None = None,
    tell: Callable[[str], object] = lambda line: None,
) -> tuple[list[Setup], list[str]]:
    """Prepare what is given for each runtime; checkpoints are exported.

    Args:
        given: see :class:`Given`.
        wanted: some of :data:`RUNTIMES`; None for all that there are.
        folder: where exported files go.
        threads: of each.
        device: see :func:`visionkit.predictor.load`.
        tell: is given a line about what takes its time.

    Returns:
        What can be measured, and a line for each runtime that can't.

    Raises:
        ConfigError: a runtime is asked for that can't run a file.
    """
    if given.loaded is None:
        runs = FILES[given.path.suffix.lower()]
        others = [name for name in wanted or () if name != runs]
        if others:
            raise ConfigError(
                f"runtimes: {given.path} is run by {runs} alone, not by {', '.join(others)}; leave "
                "it out, or give the checkpoint"
            )
        return [Setup(runs, given.path, threads, device)], []
    found: list[Setup] = []
    left_out: list[str] = []
    exports = _Exports(given.loaded, folder, tell)
    for name in [name for name in RUNTIMES if name in (wanted or RUNTIMES)]:
        try:
            _check_installed(name)
            path = exports.file(name) if name in FILES.values() else given.path
        except Exception as error:  # what exporters raise has no common class
            left_out.append(f"{name}: {in_a_line(error)}")
        else:
            found.append(Setup(name, path, threads, device))
    return found, left_out


def in_a_line(error: Exception) -> str:
    """What went wrong, in a line for people."""
    first = next(iter(str(error).strip().splitlines()), "")
    return first if isinstance(error, VisionkitError) else f"{type(error).__name__}: {first}"


def _check_installed(runtime: str) -> None:
    packages, extras = _NEEDS.get(runtime, ((), ""))
    lacking = [name for name in packages if find_spec(name) is None]
    if lacking:
        raise ConfigError(
            f"it needs the package {' and '.join(lacking)}; pip install 'visionkit[{extras}]'"
        )


class _Exports:
    """Files made of a checkpoint, each once."""

    def __init__(self, loaded: "Loaded", folder: Path, tell: Callable[[str], object]) -> None:
        self.loaded, self.folder, self.tell = loaded, folder, tell
        self.file = functools.cache(self._file)

    def _file(self, runtime: str) -> Path:
        from visionkit.export.build import build_file

        suffix = next(suffix for suffix, name in FILES.items() if name == runtime)
        path = self.folder / f"model{suffix}"
        if runtime == "openvino":
            from visionkit.export.openvino import to_openvino

            source = self.file("onnx")
            self.tell(f"converting {source} for OpenVINO")
            to_openvino(source, path)
        else:
            self.tell(f"exporting {path}")
            kind: Any = runtime
            build_file(self.loaded, path, kind, predict=_ONE_LOOK)
        return path
