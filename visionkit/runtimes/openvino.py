"""OpenVINO's ``.xml`` files, run by OpenVINO. No torch."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visionkit.errors import CheckpointError, ConfigError
from visionkit.runtimes.answers import Arrays
from visionkit.runtimes.exported import ExportedRuntime, about_from, existing, package, reason
from visionkit.runtimes.signal_stack import signal_stack_kept

ENTRY = "visionkit"
"""The entry in a model's runtime information that says what :class:`visionkit.about.About` does."""


class OpenvinoRuntime(ExportedRuntime):
    """An ``.xml`` file of ``visionkit export``, with its ``.bin`` beside it.

    It computes in float32 also where the processor has a faster kind of number, which OpenVINO
    would take by itself: results are those of the checkpoint. One call at a time: a second thread
    has to wait, or to load a runtime of its own.

    Args:
        path: of the ``.xml``.
        device: OpenVINO's name of one, such as ``cpu``, which it is unless given.
        threads: as many as there are cores, unless given.

    Raises:
        CheckpointError: the file is missing, damaged, or visionkit didn't write it.
        ConfigError: OpenVINO isn't installed, or there is no such device.
    """

    def __init__(
        self, path: str | Path, device: str | None = None, threads: int | None = None
    ) -> None:
        file = existing(path)
        openvino = package("openvino", "openvino", path)
        with signal_stack_kept():
            said = self._load(openvino.Core(), file, device, threads)
        super().__init__(about_from(said, str(path)), str(path))

    def _load(self, core: Any, file: Path, device: str | None, threads: int | None) -> str:
        """Compile the file's model and return what the file says of itself."""
        where = str(device or "cpu").upper()
        if where not in core.available_devices:
            raise ConfigError(
                f"device: OpenVINO has no {device} here, it has "
                f"{', '.join(core.available_devices).lower()}; choose one, or leave it out"
            )
        settings = {"INFERENCE_PRECISION_HINT": "f32"}
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = str(threads)
        try:
            if file.read_bytes()[:1] != b"<":  # else each of its readers would try, aloud
                raise ValueError("it is no XML")
            model = core.read_model(str(file))
            said = model.get_rt_info(ENTRY).astype(str) if model.has_rt_info(ENTRY) else ""
            self.network = core.compile_model(model, where, settings)
        except Exception as error:
            raise CheckpointError(
                f"{file}: not an OpenVINO file, or a damaged one ({reason(error)}); give the .xml "
                "as visionkit export wrote it, with its .bin beside it"
            ) from error
        return str(said)

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """See :class:`ExportedRuntime`."""
        found = self.network(dict(inputs))
        return {port.get_any_name(): np.asarray(found[port]) for port in self.network.outputs}
