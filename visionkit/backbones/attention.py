"""Attention over channels and places, to be put behind a block of convolutions."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

AttentionKind = Literal["none", "se", "eca", "cbam"]


class SqueezeExcitation(nn.Module):
    """Weighs channels by what two dense layers make of their means (Hu et al. 2018).

    Args:
        channels: of the map.
        reduction: channels for each hidden one.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.weigh = _channel_layers(channels, reduction)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to the same shape."""
        return x * torch.sigmoid(self.weigh(x.mean((2, 3), keepdim=True)))


class EfficientChannelAttention(nn.Module):
    """Weighs channels by a convolution over the means of neighbouring ones (Wang et al. 2020).

    The kernel is the odd number nearest to log2(C) / 2 + 1 / 2, as in the paper.

    Args:
        channels: of the map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        kernel = int(abs(math.log2(channels) / 2 + 1 / 2))
        kernel += 1 - kernel % 2
        self.weigh = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to the same shape."""
        means = x.mean((2, 3)).unsqueeze(1)
        return x * torch.sigmoid(self.weigh(means)).transpose(1, 2).unsqueeze(3)


class ConvBlockAttention(nn.Module):
    """Weighs channels, then places (CBAM, Woo et al. 2018), each by means and maxima.

    Args:
        channels: of the map.
        reduction: channels for each hidden one.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.weigh = _channel_layers(channels, reduction)
        self.look = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to the same shape."""
        means, maxima = x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
        x = x * torch.sigmoid(self.weigh(means) + self.weigh(maxima))
        seen = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.look(seen))


def make_attention(kind: AttentionKind, channels: int) -> nn.Module:
    """Return the block called ``kind`` for a map of so many channels; ``none`` passes it on."""
    if kind == "se":
        return SqueezeExcitation(channels)
    if kind == "eca":
        return EfficientChannelAttention(channels)
    return ConvBlockAttention(channels) if kind == "cbam" else nn.Identity()


def _channel_layers(channels: int, reduction: int) -> nn.Sequential:
    hidden = max(4, channels // reduction)
    return nn.Sequential(
        nn.Conv2d(channels, hidden, 1), nn.ReLU(inplace=True), nn.Conv2d(hidden, channels, 1)
    )
