"""TensorFlow's SAME padding, said so that graphs for canvases of any size stay small."""

import torch
import torch.nn.functional as F
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn


class RestPadded(Conv2dSame):
    """A convolution of timm's that gives ceil(side / stride) cells.

    The padding is worked out from what is left of a side when it is divided by the stride: nothing,
    whatever the canvas, if that is a multiple of the network's stride. timm's own formula, layer
    after layer, is more than a tracer can solve.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to [B, D, ceil(H / stride), ceil(W / stride)]."""
        reaches = [(k - 1) * d + 1 for k, d in zip(self.kernel_size, self.dilation, strict=True)]
        if not torch.compiler.is_exporting() or any(
            reach < step for reach, step in zip(reaches, self.stride, strict=True)
        ):
            plain: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
            return plain
        pads: list[int] = []
        for side, reach, step in zip(x.shape[-2:], reaches, self.stride, strict=True):
            total = reach - step + (-side) % step
            pads = [total // 2, total - total // 2, *pads]
        return F.conv2d(
            F.pad(x, pads), self.weight, self.bias, self.stride, 0, self.dilation, self.groups
        )


def pad_by_rest(net: nn.Module) -> None:
    """Let all convolutions of a network that pad as TensorFlow does be :class:`RestPadded`."""
    for module in net.modules():
        if type(module) is Conv2dSame:
            module.__class__ = RestPadded
