"""The generator of pix2pix."""

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visionkit.argtypes import Positive, Range
from visionkit.backbones.patch_layers import NormKind, draw_weights, make_norm
from visionkit.errors import ConfigError
from visionkit.generators.base import Translator

DropOut = Annotated[float, Range(0, 0.95)]
"""The part of a map's values that is left out in training."""
_DROPS_FROM = 32
"""The finest stride whose map is thinned out: three maps at 256 pixels, as in the paper."""


class UnetTranslator(Translator):
    """Halves pictures and doubles them again, with shortcuts at each size (Isola et al. 2017).

    Pictures whose sides aren't multiples of the largest stride are widened to the right and below
    by their last pixels, and what is made is cut.

    Dropout is the paper's only noise. Here it is for training alone, so that the same picture
    always gives the same one.

    Args:
        canvas: height and width of the pictures.
        channels: of the pictures.
        width: channels of the first map; each one after it has twice as many, up to 8 times.
        depth: how often pictures are halved; ``auto`` for as often as leaves a cell, 8 at most.
        norm: ``instance``, ``batch`` (the paper's, for one picture the same) or ``none``.
        dropout: part that is left out of the coarse maps, of strides 32 and more, on the way back.
    """

    def __init__(
        self,
        canvas: tuple[int, int],
        channels: int = 3,
        width: Positive = 64,
        depth: Positive | Literal["auto"] = "auto",
        norm: NormKind = "instance",
        dropout: DropOut = 0.5,
    ) -> None:
        super().__init__(canvas, channels)
        most = max(1, min(canvas).bit_length() - 1)
        halvings = min(8, most) if depth == "auto" else depth
        if halvings > most:
            raise ConfigError(
                f"generator.depth: {halvings} halvings leave nothing of {canvas[0]} x {canvas[1]} "
                f"pixels; give at most {most}, or auto"
            )
        self.largest = 2**halvings
        widths = [width * min(8, 2**i) for i in range(halvings)]
        down: list[nn.Module] = []
        for i, (before, after) in enumerate(zip([3, *widths[:-1]], widths, strict=True)):
            # a norm would leave nothing of a last map of one cell
            kind: NormKind = norm if 0 < i < halvings - 1 else "none"
            down.append(
                nn.Sequential(
                    nn.LeakyReLU(0.2) if i else nn.Identity(),
                    nn.Conv2d(before, after, 4, 2, 1, bias=kind == "none"),
                    make_norm(kind, after),
                )
            )
        up: list[nn.Module] = []
        for i in reversed(range(halvings)):
            before = widths[i] if i == halvings - 1 else 2 * widths[i]
            after = widths[i - 1] if i else channels
            kind = norm if i else "none"
            up.append(
                nn.Sequential(
                    nn.ReLU(),
                    nn.ConvTranspose2d(before, after, 4, 2, 1, bias=kind == "none"),
                    make_norm(kind, after),
                    nn.Dropout(dropout if 2**i >= _DROPS_FROM else 0.0),
                )
            )
        self.down, self.up = nn.ModuleList(down), nn.ModuleList(up)
        draw_weights(self)

    def forward(self, images: Tensor) -> Tensor:
        """See :class:`Translator`."""
        height, width = images.shape[-2:]
        rest = -width % self.largest, -height % self.largest
        x = F.pad(images, (0, rest[0], 0, rest[1]), mode="replicate") if any(rest) else images
        maps = []
        for stage in self.down:
            x = stage(x)
            maps.append(x)
        first, *others = self.up
        x = first(maps.pop())
        for stage in others:
            x = stage(torch.cat([maps.pop(), x], 1))
        return torch.tanh(x[..., :height, :width].float()).expand(-1, 3, -1, -1)
