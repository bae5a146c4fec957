"""Convolution blocks that the trunk, the necks and the heads share."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from visionkit.backbones.attention import AttentionKind, make_attention


class ConvNorm(nn.Sequential):
    """Convolution, batch norm and SiLU; "same" padding.

    Args:
        inputs: channels in.
        outputs: channels out.
        kernel: side of the kernel.
        stride: of the convolution.
        groups: of the convolution.
        activation: whether SiLU follows.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        activation: bool = True,
    ) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03),
            nn.SiLU(inplace=True) if activation else nn.Identity(),
        )


class SeparableConv(nn.Sequential):
    """A depthwise convolution, then a pointwise one (Howard et al. 2017), each normalised."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3) -> None:
        super().__init__(
            ConvNorm(inputs, inputs, kernel, groups=inputs), ConvNorm(inputs, outputs, 1)
        )


class DropPath(nn.Module):
    """Leaves a branch out for some pictures of a training batch (Huang et al. 2016).

    What stays is divided by the share that stays, so that the mean is what evaluation gives.

    Args:
        rate: how often the branch is left out.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to the same shape."""
        if not self.training or self.rate == 0:
            return x
        keep = 1 - self.rate
        return x * x.new_empty(len(x), 1, 1, 1).bernoulli_(keep).div_(keep)


class Bottleneck(nn.Module):
    """Two 3x3 convolutions with an optional shortcut.

    Args:
        channels: in and out.
        shortcut: whether the input is added.
        expansion: of the channels in between.
        drop_path: how often the convolutions beside a shortcut are left out in training.
    """

    def __init__(
        self, channels: int, shortcut: bool, expansion: float = 0.5, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        hidden = max(8, int(channels * expansion))
        self.convs = nn.Sequential(ConvNorm(channels, hidden, 3), ConvNorm(hidden, channels, 3))
        self.shortcut = shortcut
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to the same shape."""
        y: Tensor = self.convs(x)
        return x + self.drop_path(y) if self.shortcut else y


class CspBlock(nn.Module):
    """A cross-stage partial block (Wang et al. 2020) that keeps each bottleneck's output.

    Half of the channels go through the bottlenecks; their outputs and the untouched half are
    concatenated and mixed, as in ELAN (Wang et al. 2022).

    Args:
        inputs: channels in.
        outputs: channels out.
        depth: number of bottlenecks.
        shortcut: whether the bottlenecks are residual.
        attention: what follows the block.
        drop_path: of each bottleneck; empty: none.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        depth: int = 1,
        shortcut: bool = True,
        attention: AttentionKind = "none",
        drop_path: Sequence[float] = (),
    ) -> None:
        super().__init__()
        half = max(8, outputs // 2)
        self.width = half
        self.split = ConvNorm(inputs, 2 * half)
        self.blocks = nn.ModuleList(
            Bottleneck(half, shortcut, drop_path=rate) for rate in drop_path or [0.0] * depth
        )
        self.mix = ConvNorm((2 + depth) * half, outputs)
        self.attention = make_attention(attention, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, inputs, H, W] to [B, outputs, H, W]."""
        parts = list(self.split(x).split(self.width, 1))
        for block in self.blocks:
            parts.append(block(parts[-1]))
        mixed: Tensor = self.attention(self.mix(torch.cat(parts, 1)))
        return mixed


class SPPF(nn.Module):
    """Spatial pyramid pooling (He et al. 2015) by three 5x5 max pools in a row: 5, 9 and 13."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = channels // 2
        self.reduce = ConvNorm(channels, hidden)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.mix = ConvNorm(4 * hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to the same shape."""
        parts = [self.reduce(x)]
        for _ in range(3):
            parts.append(self.pool(parts[-1]))
        mixed: Tensor = self.mix(torch.cat(parts, 1))
        return mixed
