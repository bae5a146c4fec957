"""What is refused before it costs much: large bodies, pictures of too many pixels, other files."""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from visionkit.errors import DataError
from visionkit.geometry import Image, decode_image

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
"""Of pictures, in Pillow's names."""
READ_ON = 1 << 26
"""Bytes of a refused body that are read, and thrown away,"""
PATIENCE = 2.0
"""and the seconds that they may take."""
SCANS = 100
"""Of a JPEG: each goes over all of its pixels, and ten are usual."""


@dataclass(frozen=True)
class Limits:
    """What a service takes on.

    Attributes:
        batch_size: pictures computed at once.
        max_wait: seconds that a picture waits for others to be computed with.
        max_bytes: of a body.
        max_pixels: of a picture.
        queue: requests that are worked on or wait; more are refused.
        timeout: seconds for a body to arrive, and for its answer.
        workers: threads that decode pictures and encode answers.
    """

    batch_size: int = 8
    max_wait: float = 0.005
    max_bytes: int = 16 << 20
    max_pixels: int = 50_000_000
    queue: int = 256
    timeout: float = 30.0
    workers: int = 2


class RefusedError(Exception):
    """A request that isn't answered.

    Args:
        status: of the HTTP answer.
        line: cause and mend, for whoever sent it.
        headers: of the answer.
    """

    def __init__(self, status: int, line: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(line)
        self.status, self.line, self.headers = status, line, dict(headers or {})


async def read_body(chunks: AsyncIterator[bytes], stated: str | None, most: int) -> bytes:
    """Collect a body, holding no more of it than is allowed.

    Args:
        chunks: as they arrive.
        stated: the ``Content-Length``, if there is one.
        most: bytes.

    Raises:
        RefusedError: 413, it is larger.
    """
    data = bytearray()
    large = stated is not None and stated.isdecimal() and int(stated) > most
    if not large:
        async for chunk in chunks:
            large = len(data) + len(chunk) > most
            if large:
                break
            data += chunk
    if large:
        raise RefusedError(
            413,
            f"the body is larger than {most / 2**20:g} MB; send a smaller or more compressed one",
        )
    return bytes(data)


async def throw_away(chunks: AsyncIterator[bytes]) -> None:
    """Read what is left of a body, within reason: who still sends doesn't see an answer."""
    seen = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            async for chunk in chunks:
                seen += len(chunk)
                if seen > READ_ON:
                    break


def stated_size(data: bytes, most: int) -> tuple[int, int]:
    """Return height and width as the header of a picture states them, without decoding it.

    Args:
        data: of the picture's file.
        most: pixels.

    Raises:
        RefusedError: 400, there is nothing; 413, it has too many pixels; 415, it is no picture.
    """
    if not data:
        raise RefusedError(400, "the body is empty; send the bytes of a picture file as the body")
    try:
        with Pillow.open(io.BytesIO(data), formats=FORMATS) as picture:
            width, height = picture.size
    except Pillow.DecompressionBombError as error:
        raise _too_many(most) from error
    except UnidentifiedImageError as error:
        kinds = ", ".join(FORMATS)
        raise RefusedError(
            415, f"the body isn't a picture; send the bytes of a file: {kinds}"
        ) from error
    except Exception as error:  # what its readers make of damage has no common class
        raise RefusedError(422, "the picture's header is damaged; send a whole file") from error
    if height * width > most:
        raise _too_many(most)
    return height, width


def _too_many(most: int) -> RefusedError:
    return RefusedError(
        413, f"the picture has more than {most / 1e6:g} million pixels; send a smaller one"
    )


def decode(data: bytes, stated: tuple[int, int]) -> Image:
    """Decode a picture as evaluation does.

    Args:
        data: of its file.
        stated: what :func:`stated_size` gave.

    Returns:
        [H, W, 3] uint8 RGB, upright.

    Raises:
        RefusedError: 422, it is damaged, isn't of the size that its header states, or is a JPEG of
            more than :data:`SCANS` scans.
    """
    if data.startswith(b"\xff\xd8") and data.count(b"\xff\xda") > SCANS:
        raise RefusedError(422, f"the picture has more than {SCANS} scans; save it anew")
    try:
        image = decode_image(data, "the picture")
    except DataError as error:
        cause = str(error).partition(";")[0]  # the mend is for data sets
        raise RefusedError(422, f"{cause}; send a whole file") from error
    if image.shape[:2] not in (stated, stated[::-1]):
        raise RefusedError(
            422, "the picture isn't of the size that its header states; save it anew"
        )
    return image
