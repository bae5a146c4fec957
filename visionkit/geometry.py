"""From any picture file to the run's canvas, and back: the one preprocessing of visionkit.

Training, evaluation, prediction and exported files all read and letterbox pictures here, so they
all see the same pixels. NumPy and OpenCV only.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import cv2.utils.logging as cv2_logging
import numpy as np
from numpy.typing import NDArray

from visionkit.errors import DataError
from visionkit.results import VOID

Image = NDArray[np.uint8]

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm", ".jp2", ".avif"}
)
PAD_COLOUR = (124, 116, 104)
"""ImageNet's mean colour (RGB), which is close to zero after normalisation."""


def read_image(path: str | Path, stated_size: tuple[int, int] | None = None) -> Image:
    """Read a picture as [H, W, 3] uint8 RGB, upright.

    Grey, palette, 16-bit, CMYK and alpha pictures are converted; the EXIF orientation is applied.

    Args:
        path: the file.
        stated_size: height and width that the annotations give. If they are those of the pixels as
            stored, and turning by EXIF would change them, then the annotations were made on the
            stored pixels, and the picture is left as stored.

    Raises:
        DataError: the file is missing, empty, truncated, or no picture.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror}); check the path") from error
    return decode_image(data, str(path), stated_size)


def decode_image(data: bytes, name: str, stated_size: tuple[int, int] | None = None) -> Image:
    """Decode the bytes of a picture file; see :func:`read_image`. ``name`` is for messages."""
    problem = _damage(data)
    if problem:
        raise DataError(f"{name}: {problem}; replace the file or take it out of the data set")
    image = _decode(data, cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise DataError(f"{name}: not a picture that can be decoded; replace or remove the file")
    if stated_size and image.shape[:2] != stated_size == image.shape[1::-1]:
        stored = _decode(data, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
        if stored is not None:
            image = stored
    return image


def _decode(data: bytes, flags: int) -> Image | None:
    level = cv2_logging.getLogLevel()
    cv2_logging.setLogLevel(cv2_logging.LOG_LEVEL_SILENT)  # damage is the caller's to report
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None
    finally:
        # Another thread may have silenced it before this one did; it also turns it on again.
        if level != cv2_logging.LOG_LEVEL_SILENT:
            cv2_logging.setLogLevel(level)
    return None if image is None else np.asarray(image, np.uint8)


def _damage(data: bytes) -> str | None:
    """Say what is wrong with a file that OpenCV would decode in part without a word."""
    if not data:
        return "the file is empty"
    if data[:2] == b"\xff\xd8" and not _jpeg_complete(data):
        return "truncated JPEG"
    if data[:8] == b"\x89PNG\r\n\x1a\n" and not _png_complete(data):
        return "truncated PNG"
    return None


def _jpeg_complete(data: bytes) -> bool:
    """Whether an end-of-image marker follows the scan (thumbnails in the header have their own)."""
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            return False
        marker = data[position + 1]
        if marker == 0xDA:
            return data.find(b"\xff\xd9", position) > 0
        if marker in (0xFF, 0x01) or 0xD0 <= marker <= 0xD7:  # fill bytes and bare markers
            position += 1 if marker == 0xFF else 2
            continue
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return False


def _png_complete(data: bytes) -> bool:
    """Whether the chunks follow one another up to the end marker (anything may come after it)."""
    position = 8
    while position + 12 <= len(data):
        if data[position + 4 : position + 8] == b"IEND":
            return True
        position += 12 + int.from_bytes(data[position : position + 4], "big")
    return False


def blank(canvas: tuple[int, int]) -> Image:
    """Return an empty canvas [H, W, 3] of the pad colour."""
    height, width = canvas
    row = np.tile(np.array(PAD_COLOUR, np.uint8), width)  # whole rows are copied much faster
    return np.tile(row, (height, 1)).reshape(height, width, 3)


def resize_image(image: Image, size: tuple[int, int]) -> Image:
    """Scale a picture [H, W, 3] to (height, width): averaged where it shrinks, else bilinear.

    Each side by itself: a picture may shrink in one direction and grow in the other.
    """
    less = min(size[0], image.shape[0]), min(size[1], image.shape[1])
    return _resized(_resized(image, less, cv2.INTER_AREA), size, cv2.INTER_LINEAR)


def _resized(image: Image, size: tuple[int, int], how: int) -> Image:
    if image.shape[:2] == size:
        return image
    return np.asarray(cv2.resize(image, size[::-1], interpolation=how), np.uint8)


def _scaled_evenly(image: Image, size: tuple[int, int]) -> Image:
    """Scale a picture by one factor, so that sides differ in what happens by rounding at most."""
    how = cv2.INTER_AREA if size[0] < image.shape[0] else cv2.INTER_LINEAR
    return _resized(image, size, how)


def centred_square(image: Image) -> Image:
    """Return the largest square [S, S, 3] in the middle of a picture [H, W, 3]."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]


def resize_labels(labels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Scale a mask [H, W] to (height, width): each pixel takes the label nearest to its centre."""
    if labels.shape == size:
        return labels
    how = cv2.INTER_NEAREST_EXACT
    return np.asarray(cv2.resize(labels, size[::-1], interpolation=how), np.uint8)


@dataclass(frozen=True)
class Letterbox:
    """The map from a picture's own pixels onto the canvas: one scale, then a centred pad.

    Attributes:
        size: height and width of the original picture.
        canvas: height and width of the canvas.
    """

    size: tuple[int, int]
    canvas: tuple[int, int]

    @property
    def resized(self) -> tuple[int, int]:
        """Height and width of the picture on the canvas."""
        (height, width), (canvas_h, canvas_w) = self.size, self.canvas
        scale = min(canvas_h / height, canvas_w / width)
        return (
            min(canvas_h, max(1, round(height * scale))),
            min(canvas_w, max(1, round(width * scale))),
        )

    @property
    def pad(self) -> tuple[int, int]:
        """Rows above and columns left of the picture."""
        height, width = self.resized
        return (self.canvas[0] - height) // 2, (self.canvas[1] - width) // 2

    def _scale_and_shift(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        (height, width), (top, left) = self.resized, self.pad
        scale = np.array([width / self.size[1], height / self.size[0]])
        return np.tile(scale, 2), np.array([left, top, left, top], np.float64)

    def resize(self, image: Image) -> Image:
        """Scale the picture to :attr:`resized`, without the pad."""
        return _scaled_evenly(image, self.resized)

    def apply(self, image: Image) -> Image:
        """Return the canvas [H, W, 3] with the picture on it."""
        if image.shape[:2] != self.size:
            raise ValueError(f"letterbox made for {self.size}, got a picture of {image.shape[:2]}")
        return self.frame(self.resize(image))

    def frame(self, resized: Image) -> Image:
        """Return the canvas [H, W, 3] with the picture, already resized, in its place."""
        canvas = blank(self.canvas)
        canvas[self.window] = resized
        return canvas

    def unframe(self, canvas: Image) -> Image:
        """Return the part of a canvas [H, W, 3] that shows the picture."""
        return canvas[self.window]

    def picture_to_image(self, canvas: Image) -> Image:
        """Map a canvas [H, W, 3] that a network drew back to the picture's own pixels."""
        return _scaled_evenly(self.unframe(canvas), self.size)

    def frame_labels(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the canvas [H, W] of a mask, scaled without mixing labels; the pad is void."""
        canvas = np.full(self.canvas, VOID, np.uint8)
        canvas[self.window] = resize_labels(labels, self.resized)
        return canvas

    def labels_to_image(self, canvas: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Map a canvas [H, W] of labels back to the picture's own pixels."""
        return resize_labels(canvas[self.window], self.size)

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the canvas that show the picture."""
        (height, width), (top, left) = self.resized, self.pad
        return slice(top, top + height), slice(left, left + width)

    def to_canvas(self, boxes: NDArray[np.floating]) -> NDArray[np.float32]:
        """Map boxes [N, 4] from original pixels to canvas pixels."""
        scale, shift = self._scale_and_shift()
        return (boxes * scale + shift).astype(np.float32)

    def to_image(self, boxes: NDArray[np.floating]) -> NDArray[np.float32]:
        """Map boxes [N, 4] from canvas pixels back to original pixels, clipped to the picture."""
        scale, shift = self._scale_and_shift()
        height, width = self.size
        return np.clip((boxes - shift) / scale, 0, [width, height, width, height]).astype(
            np.float32
        )


class Padded(Letterbox):
    """The map onto a canvas that holds the picture at its own scale: a centred pad alone."""

    @property
    def resized(self) -> tuple[int, int]:
        """Height and width of the picture on the canvas: its own."""
        return self.size

    @staticmethod
    def around(size: tuple[int, int], least: tuple[int, int]) -> "Padded":
        """Return the map onto a canvas of the picture's size, and at least ``least``."""
        return Padded(size, (max(size[0], least[0]), max(size[1], least[1])))


def window_places(
    canvas: tuple[int, int], window: tuple[int, int], overlap: float
) -> list[tuple[int, int]]:
    """Spread windows evenly over a canvas: the first and the last touch its borders.

    Args:
        canvas: height and width, pixels.
        window: likewise, at most the canvas's.
        overlap: the least part of a window that the next one sees again, below 1.

    Returns:
        top and left of each window, row by row.
    """
    rows, columns = (
        _starts(side, part, overlap) for side, part in zip(canvas, window, strict=True)
    )
    return [(top, left) for top in rows for left in columns]


def _starts(side: int, part: int, overlap: float) -> list[int]:
    room = side - part
    # rounded down, but not for a step that is whole but for the rounding of 1 - overlap
    step = max(1, math.floor(part * (1 - overlap) + 1e-6))
    gaps = math.ceil(room / step)
    return [room * i // gaps for i in range(gaps + 1)] if gaps else [0]
