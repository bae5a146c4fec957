"""``.onnx`` files, run by ONNX Runtime. No torch."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from visionkit.about import from_strings
from visionkit.errors import CheckpointError, ConfigError
from visionkit.runtimes.answers import Arrays
from visionkit.runtimes.exported import ExportedRuntime, existing, package, reason

_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_SILENT = 4
"""ONNX Runtime raises what it logs, too."""


class OnnxRuntime(ExportedRuntime):
    """An ``.onnx`` file of ``visionkit export``.

    Args:
        path: of the file; large weights lie beside it, in a file that is named in it.
        device: ``cpu``, ``cuda`` or ``cuda:N``; a GPU if this ONNX Runtime can use one, unless
            given.
        threads: of an operator on the processor; as many as there are cores, unless given.

    Raises:
        CheckpointError: the file is missing, damaged, or visionkit didn't write it.
        ConfigError: ONNX Runtime isn't installed, or doesn't compute on that device.
    """

    def __init__(
        self, path: str | Path, device: str | None = None, threads: int | None = None
    ) -> None:
        file = existing(path)
        onnxruntime = package("onnxruntime", "export", path)
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = _SILENT
        if threads is not None:
            settings.intra_op_num_threads = threads
        providers = _providers(onnxruntime.get_available_providers(), device)
        try:
            self.session = onnxruntime.InferenceSession(str(file), settings, providers)
        except Exception as error:  # its kinds of errors have no common class
            raise CheckpointError(
                f"{path}: not an ONNX file that can be run, or a damaged one ({reason(error)}); "
                "give the file as visionkit export wrote it, with a .data file that lay beside it"
            ) from error
        if device is not None and self.session.get_providers()[0] != _name_of(providers[0]):
            raise ConfigError(
                f"device: ONNX Runtime can't use {device} here; check the drivers, or leave it out"
            )
        said = self.session.get_modelmeta().custom_metadata_map
        super().__init__(from_strings(said, str(path)), str(path))

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """See :class:`ExportedRuntime`."""
        names = [output.name for output in self.session.get_outputs()]
        return dict(zip(names, self.session.run(names, dict(inputs)), strict=True))


def _providers(available: list[str], device: str | None) -> list[Any]:
    """Say what computes, first choice first, as ONNX Runtime wants it said."""
    kind, _, number = str(device or "").partition(":")
    if kind not in ("", "cpu", "cuda") or not (number or "0").isdecimal():
        raise ConfigError(f"device: ONNX Runtime computes on cpu, cuda or cuda:N, got {device}")
    if kind == "cuda" and _CUDA not in available:
        raise ConfigError(
            "device: this ONNX Runtime computes on the processor alone; install onnxruntime-gpu, "
            "or leave it out"
        )
    if kind == "cpu" or _CUDA not in available:
        return [_CPU]
    # as exact as the checkpoint's network: TF32 keeps 10 bits of a product's factors
    return [(_CUDA, {"device_id": int(number or 0), "use_tf32": 0}), _CPU]


def _name_of(provider: Any) -> str:
    return str(provider[0] if isinstance(provider, tuple) else provider)
