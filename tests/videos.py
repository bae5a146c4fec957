"""Short videos of a bright square that moves, and damaged ones."""

import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np

FRAMES, RATE, SIZE = 12, 10, (48, 64)


def frame(number: int) -> Any:
    """[48, 64, 3] uint8: a square of 20 pixels, 3 further to the right in each frame."""
    image = np.full((*SIZE, 3), 30, np.uint8)
    image[14:34, 3 * number : 3 * number + 20] = 255
    return image


def film(path: Path, count: int = FRAMES) -> Path:
    """Write a video: MJPEG, whose frames don't depend on one another, in ``.avi``, else MPEG-4."""
    codec = "MJPG" if path.suffix == ".avi" else "mp4v"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), RATE, SIZE[::-1])
    assert writer.isOpened()
    for number in range(count):
        writer.write(frame(number))
    writer.release()
    return path


def _frames(data: bytes) -> list[int]:
    """Where the frames of an AVI begin: its index at the end names them once more."""
    places, place = [], data.find(b"00dc")
    while place >= 0:
        places.append(place)
        place = data.find(b"00dc", place + 4)
    return [p for p in places if data[p + 8 : p + 10] == b"\xff\xd8"]


def damaged(path: Path, *numbers: int) -> Path:
    """Write an AVI with frames of which nothing is left."""
    whole = film(path).read_bytes()
    data, places = bytearray(whole), _frames(whole)
    for place in (places[n] for n in numbers):
        (size,) = struct.unpack("<I", data[place + 4 : place + 8])
        data[place + 8 : place + 8 + size] = bytes(size)
    path.write_bytes(data)
    return path


def cut_short(path: Path, whole: int) -> Path:
    """Write an AVI that ends in the middle of a frame."""
    data = film(path).read_bytes()
    path.write_bytes(data[: _frames(data)[whole] + 40])
    return path


def turned(path: Path) -> Path:
    """Write an MP4 that says it was filmed sideways: a quarter to the right makes it upright."""
    data = bytearray(film(path).read_bytes())
    place = data.find(b"tkhd") + 4 + 40
    data[place : place + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path
