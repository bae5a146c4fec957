"""What PatchGAN and the networks that translate pictures are made of."""

from typing import Literal

from torch import Tensor, nn

NormKind = Literal["instance", "batch", "none"]


class InstanceNorm(nn.InstanceNorm2d):
    """Normalises each channel of each picture by itself (Ulyanov et al. 2016), then scales it.

    A map of a single cell has no deviation: it is scaled alone.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, h, w] to the same shape."""
        if x.shape[2] * x.shape[3] > 1:
            return super().forward(x)
        return x * self.weight[:, None, None] + self.bias[:, None, None]


def make_norm(kind: NormKind, channels: int) -> nn.Module:
    """Return the norm of that name."""
    if kind == "none":
        return nn.Identity()
    return InstanceNorm(channels) if kind == "instance" else nn.BatchNorm2d(channels)


def draw_weights(network: nn.Module) -> None:
    """Let convolutions begin with small normal weights (Radford et al. 2016), norms near 1."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, InstanceNorm | nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
