"""Results as what travels over HTTP: plain values, and pictures in bytes."""

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from visionkit.colours import palette
from visionkit.geometry import Image
from visionkit.results import Generated, Joint, SemanticMask

_QUALITY = 92
_LONGEST = 65500
"""Side of a JPEG."""


def jpeg(image: Image) -> tuple[bytes, str]:
    """Encode a picture [H, W, 3] uint8 RGB, its colours in full resolution.

    Returns:
        The file, and its media type: one too long for JPEG is a PNG.
    """
    if max(image.shape) > _LONGEST:
        return png(image), "image/png"
    file = io.BytesIO()
    Pillow.fromarray(image).save(file, "JPEG", quality=_QUALITY, subsampling=0)
    return file.getvalue(), "image/jpeg"


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode a picture [H, W, 3] uint8 RGB, or a mask [H, W] uint8 as indices with their colours.

    Readers that keep the indices (Pillow's mode ``P``) get the labels of a mask back.
    """
    picture = Pillow.fromarray(pixels)
    if pixels.ndim == 2:
        picture.putpalette(palette().tobytes())
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1)  # the best takes ten times as long
    return file.getvalue()


def pixels_of(result: Any) -> NDArray[np.uint8] | None:
    """The picture that a result is: a mask [H, W], or [H, W, 3]; None if it is none."""
    if isinstance(result, SemanticMask):
        return result.labels
    return result.image if isinstance(result, Generated) else None


def described(result: Any) -> dict[str, Any]:
    """What :meth:`visionkit.results.Result.to_dict` gives, with ``png``, a URL that holds it.

    Of a joint result each part has its own.
    """
    if isinstance(result, Joint):
        return {name: described(part) for name, part in result.parts.items()}
    plain: dict[str, Any] = result.to_dict()
    pixels = pixels_of(result)
    if pixels is not None:
        plain["png"] = "data:image/png;base64," + base64.b64encode(png(pixels)).decode()
    return plain
