"""What every generator promises: from noise, or from other pictures, to pictures."""

import math
from abc import ABC, abstractmethod
from typing import cast

import torch
from torch import Tensor, nn

from visionkit.errors import ConfigError

SMALLEST = 4
"""The least side of a map that halving stops at, in cells."""


def halvings(canvas: tuple[int, int], smallest: int = SMALLEST) -> int:
    """How often both sides can be halved without a rest before one falls below ``smallest``.

    28 gives 2 (7 cells), 32 gives 3, 64 gives 4, 128 gives 5 (4 cells).
    """
    height, width = canvas
    count = 0
    while not (height % 2 or width % 2) and min(height, width) // 2 >= smallest:
        height, width, count = height // 2, width // 2, count + 1
    return count


def start_of(canvas: tuple[int, int], who: str = "generator") -> tuple[tuple[int, int], int]:
    """The map that a generator begins with, height and width, and how often it is doubled.

    Raises:
        ConfigError: the canvas can't be halved often enough.
    """
    count = halvings(canvas)
    start = canvas[0] >> count, canvas[1] >> count
    if not count or max(start) > 4 * SMALLEST - 1:
        raise ConfigError(
            f"data.image_size: {who} doubles a small map until it has the size of the pictures, "
            f"and {canvas[0]} x {canvas[1]} leaves one of {start[0]} x {start[1]}; choose sides "
            "that are a small number times a power of two, such as 28, 32, 48, 64, 96, 128"
        )
    return start, count


class Generator(nn.Module, ABC):
    """From noise, and the class that is wanted, to pictures.

    A subclass takes what the code adds, and then its own arguments.

    Args:
        canvas: height and width of the pictures.
        channels: of the pictures: 1 for grey ones, 3 for RGB.
        num_classes: K; 0 for pictures without classes.

    Attributes:
        latent: how many numbers the noise of a picture has; a subclass sets it.
    """

    latent: int

    def __init__(self, canvas: tuple[int, int], channels: int = 3, num_classes: int = 0) -> None:
        super().__init__()
        self.canvas, self.channels, self.num_classes = canvas, channels, num_classes

    @abstractmethod
    def forward(self, z: Tensor, labels: Tensor | None = None, truncation: float = 1.0) -> Tensor:
        """Make pictures.

        Args:
            z: [B, latent], normally distributed.
            labels: [B, K] float, 1 for the class that is wanted and 0 for the others; None where
                there are no classes.
            truncation: below 1, pictures are more like one another, and each of them is better;
                0 exclusive to 1. See :func:`truncated`; a network may know a better way.

        Returns:
            [B, channels, H, W], -1..1.
        """


def truncated(z: Tensor, truncation: float) -> Tensor:
    """Bring normal noise into -2 t .. 2 t for t = ``truncation`` (Brock et al. 2019).

    Each number keeps its rank: the result is distributed as a truncated normal is. At 1 and above
    nothing is changed.
    """
    if truncation >= 1:
        return z
    limit = 2 * truncation
    low = 0.5 * (1 + math.erf(-limit / math.sqrt(2)))
    part: Tensor = low + (1 - 2 * low) * torch.special.ndtr(z.double())
    return cast(Tensor, torch.special.ndtri(part)).to(z.dtype)


class Translator(nn.Module, ABC):
    """From pictures to pictures of the same size.

    Args:
        canvas: height and width of the pictures.
        channels: of the pictures.
    """

    def __init__(self, canvas: tuple[int, int], channels: int = 3) -> None:
        super().__init__()
        self.canvas, self.channels = canvas, channels

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Map [B, 3, H, W] to [B, 3, H, W], both -1..1."""
