"""The critic of pix2pix and CycleGAN, which looks at patches."""

import itertools
from typing import Annotated, Literal

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from visionkit.argtypes import Amount, Positive, Range
from visionkit.backbones.base import Backbone, FrozenStages, LayerDecay
from visionkit.backbones.patch_layers import NormKind, draw_weights, make_norm
from visionkit.backbones.weights import load_weights
from visionkit.errors import ConfigError

Stages = Annotated[int, Range(1, 6)]


class PatchGan(Backbone):
    """Strided convolutions of 4 x 4 and one without a stride (Isola et al. 2017).

    Maps at strides 2, 4 ... 2^stages. With a patch discriminator as its head, each logit sees 16
    pixels squared for 1 stage, 34 for 2, 70 for 3 and 142 for 4. Unlike the paper's, the
    convolution without a stride is padded so that its map lies on the grid of the picture.

    Args:
        width: channels of the first map; each one after it has twice as many, up to 8 times.
        stages: number of maps; ``auto`` for as many as halve the pictures down to a small map.
        norm: ``instance``, ``batch`` or ``none``, on all convolutions but the first.
        spectral: spectral norms on all weights (Miyato et al. 2018).
        in_channels: of the pictures: 6 for a picture and its translation; ``auto`` for what the
            network that it is a part of shows it.
        weights: ``none`` or a file.
        frozen_stages: the first so many feature maps, and all before them, don't train.
        frozen_norm: whether norms stay as they are.
        lr_multiplier: for the backbone's parameters.
        layer_decay: factor of the learning rate from each map to the one before it.
    """

    def __init__(
        self,
        width: Positive = 64,
        stages: Stages | Literal["auto"] = 3,
        norm: NormKind = "instance",
        spectral: bool = False,
        in_channels: Positive | Literal["auto"] = 3,
        weights: str = "none",
        frozen_stages: FrozenStages = 0,
        frozen_norm: bool = False,
        lr_multiplier: Amount = 1.0,
        layer_decay: LayerDecay = 1.0,
    ) -> None:
        super().__init__(lr_multiplier, layer_decay)
        self.mean = self.std = (0.5, 0.5, 0.5)
        self.in_channels = 3 if in_channels == "auto" else in_channels
        count = 3 if stages == "auto" else stages
        widths = [self.in_channels, *(width * min(8, 2**i) for i in range(count + 1))]
        made = []
        for i, (before, after) in enumerate(itertools.pairwise(widths)):
            kind: NormKind = norm if i else "none"
            strided = i < count
            convolution = nn.Conv2d(
                before, after, 4, 2 if strided else 1, 1 if strided else 0, bias=kind == "none"
            )
            made.append(
                nn.Sequential(
                    nn.Identity() if strided else nn.ZeroPad2d((1, 2, 1, 2)),
                    convolution,
                    make_norm(kind, after),
                    nn.LeakyReLU(0.2),
                )
            )
        self.stages = nn.ModuleList(made)
        draw_weights(self)
        if spectral:
            for stage in self.stages:
                spectral_norm(stage[1])  # type: ignore[index]
        if weights == "default":
            raise ConfigError(
                "backbone.weights: patchgan has no published weights; give none or a file"
            )
        if weights != "none":
            load_weights(self, weights)
        self.finish([f"stride{2 ** (i + 1)}" for i in range(count)], frozen_stages, frozen_norm)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """See :class:`Backbone`."""
        maps, x = {}, self.padded(images)
        *strided, last = self.stages
        for i, stage in enumerate(strided):
            x = stage(x)
            maps[f"stride{2 ** (i + 1)}"] = x
        maps[f"stride{2 ** len(strided)}"] = last(x)
        return self.on_grid(maps, images.shape[-2:])
