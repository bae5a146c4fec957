"""A video of drawn frames: H.264 by PyAV where it is installed, else MPEG-4 by OpenCV."""

import os
from abc import ABC, abstractmethod
from contextlib import suppress
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from visionkit.errors import DataError
from visionkit.geometry import Image, Letterbox
from visionkit.outputs.base import Entry, Output

RATE = 25.0
"""Frames a second where the source doesn't say."""
_CODECS = ("libx264", "libopenh264", "h264")
_CRF = "20"  # of x264: hardly to be told from the frames
_PAUSE = 10.0  # seconds without a frame that are shown; more are left out


class DrawnVideo(Output):
    """Writes drawn frames as a video of a constant rate, which shows each at its time.

    A frame is shown until the next, so that a camera's video is as long as what it saw, and frames
    that couldn't be read leave no gap. All have the size of the first one, whose sides become even;
    one of another size, as one with a longer legend, is letterboxed.

    Args:
        path: ends in ``.mp4``.
        rate: frames a second, None for 25.
        writer: PyAV's H.264 plays everywhere; OpenCV's MPEG-4 part 2 not in browsers.
    """

    def __init__(
        self,
        path: Path,
        rate: float | None = None,
        writer: Literal["auto", "pyav", "opencv"] = "auto",
    ) -> None:
        self.path, self.rate = path, rate or RATE
        self._writer = writer
        self._temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
        self._film: _Film | None = None
        self._last: Image | None = None
        self._written, self._begin = 0, 0.0

    def add(self, entry: Entry) -> None:
        """See :class:`Output`."""
        seconds = entry.seconds or 0.0
        drawn = entry.drawn
        if self._film is None:
            height, width = drawn.shape[:2]
            size = height + height % 2, width + width % 2
            self._begin = seconds
            self._film = self._opened(size)
        place = round((seconds - self._begin) * self.rate)
        if place - self._written > _PAUSE * self.rate:
            self._begin = seconds - self._written / self.rate
            place = self._written
        while self._last is not None and self._written < place:
            self._write(self._last)
        if self._written <= place:  # else its time is taken: two frames came at once
            self._last = _fitted(drawn, self._film.size)
            self._write(self._last)

    def _write(self, image: Image) -> None:
        assert self._film is not None
        try:
            self._film.write(image)
        except OSError as error:
            raise self._failed(error) from error
        self._written += 1

    def _opened(self, size: tuple[int, int]) -> "_Film":
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self._writer != "opencv":
                with suppress(ImportError):
                    return _PyavFilm(self._temporary, size, self.rate)
            return _OpencvFilm(self._temporary, size, self.rate)
        except OSError as error:
            self._remove()
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> DataError:
        cause = f"can't be written ({error.strerror or error})"
        return DataError(f"{self.path}: {cause}; make room or choose another folder")

    def finish(self) -> None:
        """See :class:`Output`."""
        if self._film is None:
            return
        try:
            self._film.close()
            os.replace(self._temporary, self.path)
        except OSError as error:
            self._remove()
            raise self._failed(error) from error

    def discard(self) -> None:
        """See :class:`Output`."""
        if self._film is not None:
            with suppress(OSError):
                self._film.close()
            self._remove()

    def _remove(self) -> None:
        with suppress(OSError):
            self._temporary.unlink()


def _fitted(image: Image, size: tuple[int, int]) -> Image:
    height, width = image.shape[:2]
    below, beside = size[0] - height, size[1] - width
    if below in (0, 1) and beside in (0, 1):
        return np.pad(image, ((0, below), (0, beside), (0, 0)), "edge")
    return Letterbox((height, width), size).apply(image)


class _Film(ABC):
    """A video file that is being written, of frames of ``size``."""

    size: tuple[int, int]

    @abstractmethod
    def write(self, image: Image) -> None: ...

    @abstractmethod
    def close(self) -> None: ...


class _PyavFilm(_Film):
    def __init__(self, path: Path, size: tuple[int, int], rate: float) -> None:
        av: Any = import_module("av")
        self.size = size
        codec = next((name for name in _CODECS if _encodes(av, name)), "mpeg4")
        self._container: Any = av.open(str(path), "w", format="mp4")
        exact = Fraction(rate).limit_denominator(1001)
        self._stream: Any = self._container.add_stream(codec, rate=exact)
        self._stream.height, self._stream.width = size
        self._stream.pix_fmt = "yuv420p"
        if codec == "libx264":
            self._stream.options = {"crf": _CRF}
        self._make: Any = av.VideoFrame.from_ndarray
        self._error: Any = av.FFmpegError

    def write(self, image: Image) -> None:
        self._encode(self._make(image, format="rgb24"))

    def close(self) -> None:
        try:
            self._encode(None)
        finally:
            self._container.close()

    def _encode(self, frame: Any) -> None:
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except self._error as error:
            raise OSError(error.errno, error.strerror) from error


def _encodes(av: Any, name: str) -> bool:
    try:
        av.codec.Codec(name, "w")
    except ValueError:
        return False
    return True


class _OpencvFilm(_Film):
    def __init__(self, path: Path, size: tuple[int, int], rate: float) -> None:
        self.size = size
        fourcc = cv2.VideoWriter.fourcc(*"mp4v")
        self._video = cv2.VideoWriter(str(path), fourcc, rate, size[::-1])
        if not self._video.isOpened():
            raise OSError(0, "OpenCV can't encode it")

    def write(self, image: Image) -> None:
        self._video.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        self._video.release()
