"""What is measured."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


@dataclass(frozen=True)
class Case:
    """Batches of one size.

    Attributes:
        height: of the canvas, in pixels.
        width: likewise.
        batch: pictures.
    """

    height: int
    width: int
    batch: int

    @property
    def canvas(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width

    @property
    def size(self) -> str:
        """Height and width for people."""
        return f"{self.height}x{self.width}"

    def __str__(self) -> str:
        return f"{self.size}, batch {self.batch}"


@dataclass(frozen=True)
class Setup:
    """A model in a runtime.

    Attributes:
        runtime: ``eager``, ``compiled``, ``onnx``, ``openvino`` or ``program``.
        path: of the checkpoint, or of the exported file.
        threads: that it may use.
        device: see :func:`visionkit.predictor.load`.
    """

    runtime: str
    path: Path
    threads: int
    device: str | None = None


class Times(NamedTuple):
    """Seconds that the parts of one call took.

    Attributes:
        preprocess: reading the pictures, and putting them on canvases; or drawing the noise.
        network: from canvases to what the network or the file gives: normalisation, and in a file
            decoding and suppression, too.
        postprocess: from there to results in original pixels.
    """

    preprocess: float
    network: float
    postprocess: float


class Memory(NamedTuple):
    """Bytes that a process has had at most, None where they aren't known.

    Attributes:
        main: of main memory; libraries and the loaded model are among them.
        gpu: of a GPU's memory, as torch counts it.
    """

    main: int | None
    gpu: int | None
