"""The generator of CycleGAN."""

from typing import Literal

import torch
from torch import Tensor, nn

from visionkit.argtypes import Count, Positive
from visionkit.backbones.patch_layers import NormKind, draw_weights, make_norm
from visionkit.errors import ConfigError
from visionkit.generators.base import Translator

LEAST = 5
"""The least side of a picture: its map of a quarter has two cells, which can be mirrored."""
_FEW = 128
"""The longer side, in pixels, up to which few blocks do."""


class ResnetTranslator(Translator):
    """Residual blocks on a map of a quarter of the picture (Johnson et al. 2016, Zhu et al. 2017).

    All borders are mirrored. Sides that aren't multiples of 4 give a little more than the picture,
    which is cut.

    Args:
        canvas: height and width of the pictures.
        channels: of the pictures.
        width: channels at full size; the blocks have four times as many.
        blocks: residual blocks; ``auto`` for the paper's, 6 up to 128 pixels and 9 above.
        norm: ``instance``, ``batch`` or ``none``.
    """

    def __init__(
        self,
        canvas: tuple[int, int],
        channels: int = 3,
        width: Positive = 64,
        blocks: Count | Literal["auto"] = "auto",
        norm: NormKind = "instance",
    ) -> None:
        super().__init__(canvas, channels)
        if min(canvas) < LEAST:
            raise ConfigError(
                f"data.image_size: generator=resnet_translator takes pictures of {LEAST} pixels a "
                f"side and more, got {canvas[0]} x {canvas[1]}; make them larger"
            )
        count = (6 if max(canvas) <= _FEW else 9) if blocks == "auto" else blocks
        self.first = _Unit(3, width, 7, norm)
        self.down = nn.Sequential(*(_Halving(width * 2**i, norm) for i in range(2)))
        self.blocks = nn.Sequential(*(_Block(4 * width, norm) for _ in range(count)))
        self.up = nn.Sequential(*(_Doubling(width * 2**i, norm) for i in (2, 1)))
        self.last = nn.Conv2d(width, channels, 7, padding=3, padding_mode="reflect")
        draw_weights(self)

    def forward(self, images: Tensor) -> Tensor:
        """See :class:`Translator`."""
        height, width = images.shape[-2:]
        x: Tensor = self.last(self.up(self.blocks(self.down(self.first(images)))))
        return torch.tanh(x[..., :height, :width].float()).expand(-1, 3, -1, -1)


class _Unit(nn.Sequential):
    """A convolution with mirrored borders, a norm, and a ReLU unless ``last``."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, norm: NormKind, last: bool = False
    ) -> None:
        super().__init__(
            nn.Conv2d(
                inputs,
                outputs,
                kernel,
                padding=kernel // 2,
                padding_mode="reflect",
                bias=norm == "none",
            ),
            make_norm(norm, outputs),
            nn.Identity() if last else nn.ReLU(),
        )


class _Halving(nn.Sequential):
    def __init__(self, channels: int, norm: NormKind) -> None:
        super().__init__(
            nn.Conv2d(channels, 2 * channels, 3, 2, 1, bias=norm == "none"),
            make_norm(norm, 2 * channels),
            nn.ReLU(),
        )


class _Doubling(nn.Sequential):
    def __init__(self, channels: int, norm: NormKind) -> None:
        super().__init__(
            nn.ConvTranspose2d(channels, channels // 2, 3, 2, 1, 1, bias=norm == "none"),
            make_norm(norm, channels // 2),
            nn.ReLU(),
        )


class _Block(nn.Module):
    def __init__(self, channels: int, norm: NormKind) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _Unit(channels, channels, 3, norm), _Unit(channels, channels, 3, norm, last=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)  # type: ignore[no-any-return]
