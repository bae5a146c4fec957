"""A service over models that need no training, and somebody who asks it."""

import contextlib
import http.client
import json
import struct
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from visionkit.geometry import Image
from visionkit.options import PredictOptions
from visionkit.predictor import Predictor
from visionkit.results import (
    VOID,
    Classification,
    Detections,
    Generated,
    Joint,
    SemanticMask,
)
from visionkit.runtimes.base import Float, Part, Runtime
from visionkit.sample import ImageMeta
from visionkit.serve.app import make_app
from visionkit.serve.command import bound, server
from visionkit.serve.limits import Limits
from visionkit.serve.service import Service

BOX = (40, 20, 80, 60)


class Bright(Runtime):
    """One box around all pixels above 250; the score is the share of the canvas it takes."""

    task, says = "detection", "boxes"
    classes = ("lamp", "<i>moon</i>")
    canvas = (64, 64)
    options = PredictOptions(confidence=0.05)

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.seen: list[PredictOptions] = []
        self.gate = threading.Event()
        self.gate.set()

    def check_options(self, options: PredictOptions) -> None:
        pass

    def predict(
        self, images: NDArray[np.uint8], meta: Sequence[ImageMeta], options: PredictOptions
    ) -> list[Any]:
        assert self.gate.wait(20)
        self.sizes.append(len(images))
        self.seen.append(options)
        return [
            self.answer(image, m, options).above(options.confidence)
            for image, m in zip(images, meta, strict=True)
        ]

    def answer(self, image: NDArray[np.uint8], meta: ImageMeta, options: PredictOptions) -> Any:
        rows, columns = np.nonzero((image > 250).all(0))
        boxes, scores = np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
        if len(rows):
            box = [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]
            boxes = meta.letterbox.to_image(np.array(box, np.float64))
            scores = np.array([len(rows) / image[0].size], np.float32)
        return Detections(boxes, scores, np.zeros(len(scores), np.int64))

    def make(self, z: Float, labels: Float | None, truncation: float) -> list[Image]:
        raise AssertionError


class Shades(Bright):
    """Dark pixels are of class 0, others of class 1, those between have none."""

    task, says = "segmentation", "masks"

    def answer(self, image: NDArray[np.uint8], meta: ImageMeta, options: PredictOptions) -> Any:
        labels = np.array([0, VOID, 1], np.uint8)[np.digitize(image[0], [100, 150])]
        return SemanticMask(meta.letterbox.labels_to_image(labels))


class Says(Bright):
    """Classes that are called by numbers; the last one is the most probable."""

    task, says, classes = "classification", "classes", ("7", "3", "0")

    def answer(self, image: NDArray[np.uint8], meta: ImageMeta, options: PredictOptions) -> Any:
        return Classification(np.array([0.2, 0.3, 0.5], np.float32))


class Inverts(Bright):
    """Makes of each picture its negative."""

    task, says, classes = "generation", "pictures", ()

    def answer(self, image: NDArray[np.uint8], meta: ImageMeta, options: PredictOptions) -> Any:
        negative = np.ascontiguousarray(255 - image.transpose(1, 2, 0))
        return Generated(meta.letterbox.picture_to_image(negative))


class Everything(Bright):
    """What the models above say of a picture, all at once."""

    task, says, classes = "multitask", "joint", ("background", "lamp", "7", "3", "0")
    parts = MappingProxyType(
        {
            "things": Part("boxes", ("lamp",)),
            "stuff": Part("masks", ("background", "lamp")),
            "scene": Part("classes", ("7", "3", "0")),
        }
    )

    def answer(self, image: NDArray[np.uint8], meta: ImageMeta, options: PredictOptions) -> Any:
        said = {"things": Bright.answer, "stuff": Shades.answer, "scene": Says.answer}
        return Joint({k: each(self, image, meta, options) for k, each in said.items()})  # type: ignore[arg-type]


class Flat(Bright):
    """Makes a picture of one level: ten times the class, more where truncation is less."""

    task, says, conditional, latent = "generation", "noise", True, 4

    def make(self, z: Float, labels: Float | None, truncation: float) -> list[Image]:
        assert labels is not None
        self.sizes.append(len(z))
        levels = 10 * labels.argmax(1) + round(100 * (1 - truncation))
        return [np.full((8, 8, 3), level, np.uint8) for level in levels]


def picture(box: tuple[int, int, int, int] | None = BOX, size: tuple[int, int] = (64, 128)) -> Any:
    image = np.full((*size, 3), 30, np.uint8)
    if box:
        image[box[1] : box[3], box[0] : box[2]] = 255
    return image


def encoded(image: Any, suffix: str = ".png") -> bytes:
    data: bytes = cv2.imencode(suffix, image)[1].tobytes()
    return data


def png_header(height: int, width: int) -> bytes:
    """A PNG file that states a size and has next to no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"\0" * 9)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The one line of an error."""
        told = self.json
        assert list(told) == ["error"]
        assert "\n" not in told["error"]
        return str(told["error"])


class Asker:
    """Asks the service on a port of this machine, each time anew."""

    def __init__(self, port: int, service: Service | None = None) -> None:
        self.port, self.service = port, service

    def __call__(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            got = connection.getresponse()
            names = {key.lower(): value for key, value in got.getheaders()}
            return Reply(got.status, names, got.read())

    def predict(self, body: Any, query: str = "") -> Reply:
        return self("POST", f"/predict{query}", body)


@contextlib.contextmanager
def serving(runtime: Runtime, local: bool = False, **limits: Any) -> Iterator[Asker]:
    """Serve a model on a free port, in a thread."""
    service = Service(Predictor(runtime), Limits(**limits))
    with bound("127.0.0.1", 0) as listening:
        one = server(make_app(service, "bright.onnx", local), 5)
        thread = threading.Thread(target=one.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            until(lambda: one.started)
            yield Asker(listening.getsockname()[1], service)
        finally:
            one.should_exit = True
            thread.join()


def until(true: Any, seconds: float = 20) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.005)
