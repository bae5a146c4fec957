"""Fixed filters, and convolutions that halve or double a map.

All are differentiable as often as one likes, which penalties on gradients need.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Blur(nn.Module):
    """Filters each channel with [1, 3, 3, 1] / 8 in both directions (Karras et al. 2019).

    Args:
        padding: zeros around the map.
        stride: every so many cells of the result are kept.
        gain: what the result is multiplied by.
    """

    kernel: Tensor

    def __init__(self, padding: int, stride: int = 1, gain: float = 1.0) -> None:
        super().__init__()
        self.padding, self.stride = padding, stride
        line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        kernel = (torch.outer(line, line) * gain)[None, None]
        self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to [B, C, h, w] with h = (H + 2 padding - 4) // stride + 1."""
        channels = x.shape[1]
        kernel = self.kernel.to(x.dtype).expand(channels, 1, 4, 4)
        return F.conv2d(x, kernel, None, self.stride, self.padding, groups=channels)


def doubled_conv(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Repeat every cell two by two times, then convolve: at 16 products a cell instead of 36.

    Args:
        x: [B, C, H, W].
        weight: [D, C, 3, 3]; zeros are thought around the enlarged map.
        bias: [D].

    Returns:
        [B, D, 2H, 2W].
    """
    kernel = _doubled_kernel(weight).flip(2, 3).transpose(0, 1)
    return F.conv_transpose2d(x, kernel, bias, stride=2, padding=1)


def halved_conv(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Convolve, then take the mean of two by two cells: at 4 products a cell instead of 9.

    Args:
        x: [B, C, H, W], H and W even.
        weight: [D, C, 3, 3]; zeros are thought around the map.
        bias: [D].

    Returns:
        [B, D, H / 2, W / 2].
    """
    return F.conv2d(x, _doubled_kernel(weight) / 4, bias, stride=2, padding=1)


def _doubled_kernel(weight: Tensor) -> Tensor:
    """The kernel [D, C, 4, 4] of a convolution and a sum of two by two cells in one."""
    return F.avg_pool2d(weight, 2, 1, 1) * 4  # a divisor_override is lost in ONNX
