"""The critic of StyleGAN2."""

import math
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from visionkit.argtypes import Amount, Positive
from visionkit.backbones.base import Backbone, FrozenStages, LayerDecay
from visionkit.backbones.equalised import equalised, leaky
from visionkit.backbones.weights import load_weights
from visionkit.errors import ConfigError
from visionkit.ops.filters import Blur


class StyleCritic(Backbone):
    """Residual stages with equalised weights, blurred before they halve (Karras et al. 2020).

    Maps at strides 2, 4, 8 ... The layers behind the last one are those of the head
    ``style_discriminator``.

    Args:
        width: channels that a picture is turned into; each map has twice as many as what it is
            made from, up to ``widest`` times ``width``.
        widest: see ``width``.
        stages: number of maps; ``auto`` is 3, and in a GAN as many as halve the pictures down to
            a small map.
        in_channels: of the pictures: 6 for two that are seen together.
        weights: ``none`` or a file.
        frozen_stages: the first so many feature maps, and all before them, don't train.
        frozen_norm: of no effect, it has none.
        lr_multiplier: for the backbone's parameters.
        layer_decay: factor of the learning rate from each map to the one before it.
    """

    def __init__(
        self,
        width: Positive = 32,
        widest: Positive = 4,
        stages: Positive | Literal["auto"] = "auto",
        in_channels: Positive = 3,
        weights: str = "none",
        frozen_stages: FrozenStages = 0,
        frozen_norm: bool = False,
        lr_multiplier: Amount = 1.0,
        layer_decay: LayerDecay = 1.0,
    ) -> None:
        super().__init__(lr_multiplier, layer_decay)
        self.mean = self.std = (0.5, 0.5, 0.5)
        self.in_channels = in_channels
        count = 3 if stages == "auto" else stages
        widths = [width * min(widest, 2**i) for i in range(count + 1)]
        self.stem = equalised(nn.Conv2d(in_channels, width, 1))
        self.stages = nn.ModuleList(Stage(before, after) for before, after in pairwise(widths))
        if weights == "default":
            raise ConfigError(
                "backbone.weights: StyleGAN2's critic has no published weights here; give none or "
                "a file"
            )
        if weights != "none":
            load_weights(self, weights)
        self._names = [f"stride{2 ** (i + 1)}" for i in range(count)]
        self.finish(self._names, frozen_stages, frozen_norm)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """See :class:`Backbone`."""
        maps, x = {}, leaky(self.stem(self.padded(images)))
        for name, stage in zip(self._names, self.stages, strict=True):
            x = stage(x)
            maps[name] = x
        return self.on_grid(maps, images.shape[-2:])


class Stage(nn.Module):
    """Two convolutions beside a shortcut; the second one, and the shortcut, halve the map.

    Args:
        inputs: channels in.
        outputs: channels out.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = equalised(nn.Conv2d(inputs, inputs, 3, padding=1))
        self.conv2 = equalised(nn.Conv2d(inputs, outputs, 3, stride=2))
        self.shortcut = equalised(nn.Conv2d(inputs, outputs, 1, bias=False))
        self.blur, self.halving = Blur(2), Blur(1, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, inputs, H, W] to [B, outputs, H / 2, W / 2]."""
        y = leaky(self.conv1(x))
        y = leaky(self.conv2(self.blur(y)))
        shorter: Tensor = self.shortcut(self.halving(x))
        return (shorter + y) / math.sqrt(2)
