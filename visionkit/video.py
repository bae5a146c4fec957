"""Frames of video files and cameras: by PyAV where it is installed, else by OpenCV. No torch."""

import glob
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import cv2
import cv2.utils.logging as cv2_logging
import numpy as np

from visionkit.errors import DataError
from visionkit.geometry import Image

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".ts", ".gif"}
)
CAMERA = "camera:"
_LOST = 100  # frames in a row that OpenCV may fail to decode before the video is given up
_SHORT = 0.9  # of the frames that a file announces: with fewer it breaks off


@dataclass(frozen=True)
class Frame:
    """A frame of a video.

    Attributes:
        image: [H, W, 3] uint8 RGB, upright.
        number: of the frame, from 0; those that can't be decoded count.
        seconds: since the video began; of a camera, since it was opened.
    """

    image: Image
    number: int
    seconds: float


class Video(ABC):
    """A video that can be read once; close it, or use it in a ``with`` statement.

    Attributes:
        name: what a person called it.
        rate: frames a second, None where that isn't known.
        count: about how many frames there are, None where that isn't known.
        live: whether frames come as time goes by, and are lost if nobody looks.
    """

    name: str
    rate: float | None
    count: int | None
    live: bool = False

    @abstractmethod
    def frames(self, every: int = 1, errors: list[DataError] | None = None) -> Iterator[Frame]:
        """Give frames in the order in which they are shown.

        Args:
            every: the first of every so many.
            errors: frames that can't be decoded are noted here and left out; without it, the first
                raises.

        Raises:
            DataError: a frame can't be decoded, and ``errors`` isn't given.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of the file or the camera."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _check_length(self, number: int, errors: list[DataError] | None) -> None:
        if self.count and number < _SHORT * self.count:
            self._note(f"breaks off after {number} of about {self.count} frames", errors)

    def _note(self, line: str, errors: list[DataError] | None) -> None:
        error = DataError(f"{self.name}: {line}")
        if errors is None:
            raise error
        errors.append(error)

    def _lose(self, seconds: float, cause: str, errors: list[DataError] | None) -> None:
        self._note(f"the frame at {seconds:.2f} s {cause}; re-encode the video", errors)


def is_video(source: str | Path | int) -> bool:
    """Whether a source means a video file or a camera, rather than pictures."""
    if camera_number(source) is not None:
        return True
    path = Path(str(source)).expanduser()
    pattern = glob.has_magic(str(source)) and not path.is_file()
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.is_dir() and not pattern


def camera_number(source: str | Path | int) -> int | None:
    """The number in ``0``, ``"0"`` or ``"camera:0"``, else None; a file goes before a number."""
    text = str(source)
    if text.startswith(CAMERA) and text.removeprefix(CAMERA).isdecimal():
        return int(text.removeprefix(CAMERA))
    return int(text) if text.isdecimal() and not Path(text).exists() else None


def open_video(
    source: str | Path | int, reader: Literal["auto", "pyav", "opencv"] = "auto"
) -> Video:
    """Open a video file or a camera.

    Args:
        source: a path, or the number of a camera: ``0`` or ``camera:0``.
        reader: PyAV tells of each frame that is damaged; cameras are OpenCV's.

    Raises:
        DataError: there is no such file or camera, or it is no video.
        ImportError: ``reader`` is ``pyav`` and that isn't installed.
    """
    number = camera_number(source)
    if number is not None:
        return OpencvVideo(number)
    path = Path(str(source)).expanduser()
    if not path.is_file():
        raise DataError(f"{path}: no such video; give one file, or a camera such as camera:0")
    if reader == "auto":
        reader = "pyav" if _has_pyav() else "opencv"
    return PyavVideo(path) if reader == "pyav" else OpencvVideo(path)


def _has_pyav() -> bool:
    with suppress(ImportError):
        return bool(import_module("av"))
    return False


class PyavVideo(Video):
    """A video file, read by PyAV.

    Args:
        path: of the file.

    Raises:
        DataError: it is no video.
    """

    def __init__(self, path: Path) -> None:
        av: Any = import_module("av")
        self._error: Any = av.FFmpegError
        self.name = str(path)
        try:
            self._container: Any = av.open(self.name)
        except (av.FFmpegError, OSError) as error:
            raise _no_video(path, error.strerror or "damaged") from error
        if not self._container.streams.video:
            self._container.close()
            raise _no_video(path, "it has no pictures")
        self._stream: Any = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        self.rate = float(self._stream.average_rate or 0) or None
        length = self._container.duration  # microseconds
        guess = round(length / 1e6 * self.rate) if length and self.rate else None
        self.count = self._stream.frames or guess

    def frames(self, every: int = 1, errors: list[DataError] | None = None) -> Iterator[Frame]:
        """See :class:`Video`."""
        number = 0
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except self._error as error:
                self._note(f"breaks off after {number} frames ({_reason(error)})", errors)
                return
            if packet is None:
                self._check_length(number, errors)
                return
            try:
                decoded = packet.decode()
            except self._error as error:
                when = self._seconds(packet.pts, packet.time_base, number)
                self._lose(when, f"can't be decoded ({_reason(error)})", errors)
                number += 1
                continue
            for frame in decoded:
                seconds = self._seconds(frame.pts, frame.time_base, number)
                if frame.is_corrupt:
                    self._lose(seconds, "is damaged", errors)
                elif number % every == 0:
                    yield Frame(_upright(frame), number, seconds)
                number += 1

    def _seconds(self, pts: int | None, base: Any, number: int) -> float:
        if pts is None or base is None:
            return number / self.rate if self.rate else 0.0
        start = self._stream.start_time
        begin = start * self._stream.time_base if start is not None else 0
        return float(pts * base - begin)

    def close(self) -> None:
        """See :class:`Video`."""
        self._container.close()


def _upright(frame: Any) -> Image:
    """Turn a frame as its file says; telephones store what they hold sideways."""
    image = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    quarters = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(image, quarters)) if quarters else image


def _reason(error: Any) -> str:
    return str(error.strerror or type(error).__name__).lower()


def _no_video(path: Path, cause: str) -> DataError:
    return DataError(f"{path}: can't be read as a video ({cause.lower()}); check or re-encode it")


class OpencvVideo(Video):
    """A video file or a camera, read by OpenCV.

    Args:
        source: a file, or the number of a camera.

    Raises:
        DataError: it is no video, or there is no such camera.
    """

    def __init__(self, source: Path | int) -> None:
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # damage is ours to report
        self.live = isinstance(source, int)
        self.name = f"{CAMERA}{source}" if self.live else str(source)
        level = cv2_logging.getLogLevel()
        cv2_logging.setLogLevel(cv2_logging.LOG_LEVEL_SILENT)
        try:
            self._video = cv2.VideoCapture(source if isinstance(source, int) else str(source))
        finally:
            cv2_logging.setLogLevel(level)
        if not self._video.isOpened():
            if isinstance(source, int):
                raise DataError(f"{self.name}: no such camera; check its number and permissions")
            raise _no_video(source, "damaged, or of a kind that OpenCV doesn't read")
        self._begin = time.monotonic()
        if self.live:
            self._video.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # what is seen is new
        rate, count = (self._video.get(p) for p in (cv2.CAP_PROP_FPS, cv2.CAP_PROP_FRAME_COUNT))
        self.rate = rate if 0 < rate < 1000 else None
        self.count = round(count) if count > 0 and not self.live else None

    def frames(self, every: int = 1, errors: list[DataError] | None = None) -> Iterator[Frame]:
        """See :class:`Video`."""
        number = lost = 0
        while True:
            good, image = self._video.grab(), None
            seconds = self._seconds(number)
            if good and number % every == 0:
                good, image = self._video.retrieve()
            if not good:
                number, lost = number + 1, lost + 1
                # only a good frame after it tells damage from the end
                if lost > _LOST or (self.count or 0) <= number:
                    break
                continue
            for missed in range(number - lost, number):
                self._lose(missed / (self.rate or 1), "can't be decoded", errors)
            lost = 0
            if image is not None:
                yield Frame(_to_rgb(image), number, seconds)
            number += 1
        if self.live:
            self._note("the camera gives no more frames; check its cable", errors)
        self._check_length(number - lost, errors)

    def _seconds(self, number: int) -> float:
        if self.live:
            return time.monotonic() - self._begin
        told = self._video.get(cv2.CAP_PROP_POS_MSEC) / 1000
        return told if told > 0 or not self.rate else number / self.rate

    def close(self) -> None:
        """See :class:`Video`."""
        self._video.release()


def _to_rgb(image: Any) -> Image:
    how = cv2.COLOR_GRAY2RGB if image.ndim == 2 else cv2.COLOR_BGR2RGB
    return np.asarray(cv2.cvtColor(image, how), np.uint8)
