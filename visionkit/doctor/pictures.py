"""What one picture is, and what is wrong with its file."""

import hashlib
import struct
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from visionkit.data.defects import Defect, Effect
from visionkit.data.layout import exif_orientation
from visionkit.doctor.masks import MaskLook
from visionkit.errors import DataError
from visionkit.geometry import Image, decode_image

THUMB = 16
"""Side of the thumbnails."""
TINY = 8
"""Pixels: a shorter side tells a network nothing."""
SLIM = 8.0
"""Long to short side, from which a picture is hardly seen on the canvas."""

_FORMATS = {
    ".jpg": ("JPEG", "MPO"),
    ".jpeg": ("JPEG", "MPO"),
    ".png": ("PNG",),
    ".bmp": ("BMP", "DIB"),
    ".webp": ("WEBP",),
    ".tif": ("TIFF",),
    ".tiff": ("TIFF",),
    ".pgm": ("PPM",),
    ".ppm": ("PPM",),
    ".jp2": ("JPEG2000",),
    ".avif": ("AVIF",),
}
_TURNS = {
    2: "mirrors it",
    3: "turns it by 180 degrees",
    4: "turns and mirrors it",
    5: "turns and mirrors it",
    6: "turns it by 90 degrees",
    7: "turns and mirrors it",
    8: "turns it by 270 degrees",
}
_MARGIN = 2.0
_DARK = 16
REPLACE = "replace the file or take it out of the set"


@dataclass(frozen=True)
class Look:
    """What a picture is.

    Attributes:
        size: height and width as training sees it; None where it can't be read.
        form: the file's format and colours, such as ``JPEG RGB``; empty where it can't be told.
        digest: of the pixels; None where they can't be read.
        code: 64 bits, whether brightness rises from left to right between 9 x 8 areas (a difference
            hash). Pictures that look alike differ in a few.
        thumb: [16, 16, 3] uint8, None where there is no picture or it is too small.
        defects: what is wrong with the file, or with its mask.
        mask: what its mask is, if it has one.
    """

    size: tuple[int, int] | None = None
    form: str = ""
    digest: bytes | None = None
    code: int = 0
    thumb: NDArray[np.uint8] | None = None
    defects: tuple[Defect, ...] = ()
    mask: MaskLook | None = None


@dataclass(frozen=True)
class _Header:
    """What the file says of itself: Pillow's names, stored height and width, bits of a value."""

    format: str
    mode: str
    size: tuple[int, int]
    depth: int
    orientation: int
    frames: int
    alpha: bool
    damage: str


def look_at(path: str, stated: tuple[int, int] | None, split: str = "", mask: str = "") -> Look:
    """Read a picture as training does, and see what is wrong with it.

    Args:
        path: the file.
        stated: height and width by the annotations, if they tell.
        split: for the defects.
        mask: what the picture's mask is called, if that is what states the size.
    """
    found: list[Defect] = []

    def add(kind: str, cause: str, mend: str, effect: Effect) -> None:
        found.append(Defect(kind, path, cause, mend, effect, split))

    try:
        data = Path(path).read_bytes()
        image = decode_image(data, path, stated)
    except FileNotFoundError:
        add("missing-file", "isn't there", "put it there or take it out of the set", "stops")
        return Look(defects=tuple(found))
    except OSError as error:
        add("unreadable", f"can't be read ({error.strerror})", "check its permissions", "stops")
        return Look(defects=tuple(found))
    except DataError as error:
        cause = str(error).removeprefix(f"{path}: ").split("; ")[0]
        kind = "unreadable"
        if not data:
            kind = "empty-file"
        elif cause.startswith("truncated"):
            kind = "truncated"
        add(kind, cause, REPLACE, "stops")
        return Look(defects=tuple(found))
    size = (image.shape[0], image.shape[1])
    header = _header(data)
    form = f"{header.format} {header.mode}" if header else ""
    if header is not None:
        for kind, cause, mend, effect in _of_header(Path(path).suffix, header, image, stated):
            add(kind, cause, mend, effect)
    if stated is not None and stated != size:
        cause = f"is {size[1]} x {size[0]} pixels, the annotations say {stated[1]} x {stated[0]}"
        mend = "mend width and height, and see whether the boxes are where they should be"
        if mask:
            cause = f"is {size[1]} x {size[0]} pixels, its mask {mask} {stated[1]} x {stated[0]}"
            mend = "make the mask anew or take both out of the set"
        add("wrong-size", cause, mend, "stops" if mask else "noted")
    if min(size) < TINY:
        mend = "take it out of the set"
        add("tiny-picture", f"is only {size[1]} x {size[0]} pixels", mend, "noted")
    elif max(size) > SLIM * min(size):
        add(
            "extreme-aspect",
            f"is {size[1]} x {size[0]} pixels, {max(size) / min(size):.0f} times as long as wide",
            "cut it into parts: scaled to the canvas there is little to see",
            "noted",
        )
    small = _shrunk(image)
    thumb = cv2.resize(small, (THUMB, THUMB), interpolation=cv2.INTER_AREA)
    if int(np.ptp(thumb)) <= 1 or int(np.ptp(thumb.reshape(-1, 3), 0).max()) <= 1:
        pixels = image.reshape(-1, 3)
        if (pixels == pixels[0]).all():
            colour = ", ".join(map(str, pixels[0].tolist()))
            add("blank", f"has one colour only (RGB {colour})", "see whether it is whole", "noted")
    large = min(size) >= 2 * THUMB
    return Look(
        size,
        form,
        digest_of(image),
        _code(small) if large else 0,
        np.asarray(thumb, np.uint8) if large else None,
        tuple(found),
    )


def digest_of(image: NDArray[np.uint8]) -> bytes:
    """20 bytes that are the same for the same pixels."""
    digest = hashlib.sha1(str(image.shape).encode(), usedforsecurity=False)
    digest.update(np.ascontiguousarray(image).data)
    return digest.digest()


def _shrunk(image: Image) -> Image:
    """What takes its time of making a thumbnail and a code, done once for both."""
    side = 9 * THUMB
    if min(image.shape[:2]) < side:
        return image
    return np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def _code(image: Image) -> int:
    # even areas count as falling: noise must not settle their bits
    grey = cv2.resize(image, (9, 8), interpolation=cv2.INTER_AREA).astype(np.float32).mean(2)
    bits = grey[:, 1:] > grey[:, :-1] + _MARGIN
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _of_header(
    suffix: str, header: _Header, image: Image, stated: tuple[int, int] | None
) -> list[tuple[str, str, str, Effect]]:
    """Kind, cause, mend and effect of what is unusual about a file that can be read."""
    found: list[tuple[str, str, str, Effect]] = []
    if header.damage:
        found.append(("damaged", f"is read in part only ({header.damage})", REPLACE, "noted"))
    formats = _FORMATS.get(suffix.lower())
    if formats and header.format not in formats:
        cause = f"is called {suffix}, but is a {header.format} file"
        found.append(("wrong-suffix", cause, "rename it; it is read by its content", "noted"))
    if header.orientation in _TURNS:
        how = "read so, upright"
        if stated is not None and header.orientation >= 5 and image.shape[:2] == header.size:
            how = "read as stored all the same, since the annotations state that size"
        cause = f"its EXIF orientation {header.orientation} {_TURNS[header.orientation]}: {how}"
        mend = "see whether the annotations fit, or store the pixels upright"
        found.append(("exif-rotated", cause, mend, "mended"))
    if header.mode in ("CMYK", "YCCK"):
        cause = "has four printing colours (CMYK): turned into RGB without a colour profile"
        found.append(("cmyk", cause, "store it as RGB", "mended"))
    if header.depth > 8:
        cause, mend = f"has {header.depth} bits a value: the upper 8 are read", "store it as 8-bit"
        if int(image.max()) < _DARK:
            cause += ", which leaves it almost black"
            mend = "spread its values over 0 to 255 and store it as 8-bit"
        found.append(("16-bit", cause, mend, "mended"))
    if header.mode in ("P", "PA"):
        found.append(
            ("palette", "has a palette: its colours are read", "store it as RGB", "mended")
        )
    if header.mode in ("L", "1", "LA", "I", "F") or header.mode.startswith("I;"):
        cause = "is grey: read as three equal channels"
        found.append(("grey", cause, "see whether the others are to be grey too", "mended"))
    if header.alpha:
        cause = "has transparency, which is ignored: what it hides shows"
        found.append(("alpha", cause, "store it without an alpha channel", "mended"))
    if header.frames > 1:
        cause = f"has {header.frames} frames: only the first is read"
        found.append(("animated", cause, "store the frames that count as pictures", "noted"))
    return found


def _header(data: bytes) -> _Header | None:
    try:
        with Pillow.open(BytesIO(data)) as image:
            kind = str(image.format)
            frames = 1 if kind == "MPO" else int(getattr(image, "n_frames", 1))
            return _Header(
                kind,
                image.mode,
                (image.height, image.width),
                _depth(data, image),
                exif_orientation(image),
                frames,
                image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info,
                _damage(data, kind),
            )
    except (OSError, SyntaxError, ValueError, struct.error, Pillow.DecompressionBombError):
        return None  # OpenCV knows more formats, and has read it


def _depth(data: bytes, image: Pillow.Image) -> int:
    """Bits of a value. Pillow opens 16-bit colours as if they had 8."""
    if image.format == "PNG":
        return data[24]
    if image.format == "TIFF":
        bits = getattr(image, "tag_v2", {}).get(258, (8,))
        return max(bits) if isinstance(bits, tuple) else int(bits)
    return 16 if image.mode.startswith("I") else 8


def _damage(data: bytes, kind: str) -> str:
    """Say what is wrong with a file of which OpenCV shows what it can without a word."""
    if kind in ("JPEG", "MPO", "PNG"):  # what can be told has been by decode_image
        return ""
    try:
        with Pillow.open(BytesIO(data)) as image:
            image.load()
    except (OSError, SyntaxError, ValueError, struct.error, Pillow.DecompressionBombError) as error:
        return " ".join(str(error).split()) or type(error).__name__
    return ""


def without_usual_grey(defects: list[Defect], pictures: int) -> list[Defect]:
    """Leave out that pictures are grey where most are: then it is no surprise."""
    grey = sum(defect.kind == "grey" for defect in defects)
    return [d for d in defects if d.kind != "grey"] if grey > pictures / 2 else defects
