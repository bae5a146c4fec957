"""From pixels to what a backbone wants."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Normalise(nn.Module):
    """From 0..255 to zero mean and unit deviation, inside the network so that exports have it too.

    Args:
        mean: of each channel, in 0..1.
        std: likewise.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, len(mean), 1, 1), persistent=False)
        self.register_buffer("std", torch.ones(1, len(std), 1, 1), persistent=False)
        self.mean: Tensor
        self.std: Tensor
        self.set(mean, std)

    def set(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Use other figures."""
        self.mean.copy_(torch.tensor(mean).view_as(self.mean) * 255)
        self.std.copy_(torch.tensor(std).view_as(self.std) * 255)

    def forward(self, images: Tensor) -> Tensor:
        """Map [B, 3, H, W] uint8, or float in 0..255, to float32."""
        return (images.float() - self.mean) / self.std
