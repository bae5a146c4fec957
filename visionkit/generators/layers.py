"""Layers that generators are made of."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visionkit.backbones.equalised import equalised
from visionkit.ops.filters import Blur


class ClassNorm(nn.Module):
    """A batch norm whose scale and shift are those of the class (Dumoulin et al. 2017).

    Args:
        channels: of the map.
        num_classes: K; 0 for a plain batch norm.
    """

    def __init__(self, channels: int, num_classes: int = 0) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=not num_classes)
        self.classes: nn.Linear | None = None
        if num_classes:
            self.classes = nn.Linear(num_classes, 2 * channels, bias=False)
            nn.init.zeros_(self.classes.weight)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map [B, C, H, W] and labels [B, K] to [B, C, H, W]."""
        y: Tensor = self.norm(x)
        if self.classes is None:
            return y
        assert labels is not None
        told: Tensor = self.classes(labels.to(y.dtype))
        scale, shift = told[:, :, None, None].chunk(2, 1)
        return y * (1 + scale) + shift


class ModulatedConv(nn.Module):
    """A convolution whose weights a style scales, input channel by input channel.

    The weights for a picture are ``scale[i] * weight[o, i]``, divided by their length for each
    output ``o`` (demodulation: Karras et al. 2020). The map is scaled before and after instead,
    which is the same, and one convolution serves all pictures.

    Args:
        inputs: channels in.
        outputs: channels out.
        kernel: side of the kernel: 1 or 3.
        style: how many numbers a style has.
        doubles: whether the map is doubled, and blurred; the kernel is 3 then.
        demodulates: whether the weights are divided by their length.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        style: int,
        doubles: bool = False,
        demodulates: bool = True,
    ) -> None:
        super().__init__()
        self.demodulates = demodulates
        self.scales = equalised(nn.Linear(style, inputs))
        nn.init.ones_(self.scales.bias)
        self.conv = equalised(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False))
        # 4: a doubled map has zeros between its cells
        self.blur = Blur(1, gain=4.0) if doubles else None

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Map [B, inputs, H, W] and styles [B, D] to [B, outputs, H, W], or twice each side."""
        weight = self.conv.weight
        with torch.autocast(x.device.type, enabled=False):  # squares need the digits
            scale: Tensor = self.scales(style)
            if self.demodulates:
                length = F.linear(scale.square(), weight.square().sum((2, 3)))
                shrink = (length + 1e-8).rsqrt()
        x = x * scale.to(x.dtype)[:, :, None, None]
        if self.blur is None:
            x = self.conv(x)
        else:
            x = self.blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2))
        return x * shrink.to(x.dtype)[:, :, None, None] if self.demodulates else x
