"""The critic of DCGAN."""

from typing import Literal

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from visionkit.argtypes import Amount, Positive
from visionkit.backbones.base import Backbone, FrozenStages, LayerDecay
from visionkit.backbones.weights import load_weights
from visionkit.errors import ConfigError


class DcganCritic(Backbone):
    """Strided convolutions and leaky ReLUs (Radford et al. 2016): maps at strides 2, 4, 8 ...

    Args:
        width: channels of the first map; each one after it has twice as many, up to 8 times.
        stages: number of maps; ``auto`` is 3, and in a GAN as many as halve the pictures down to a
            small map.
        norm: ``none``, or ``batch`` for batch norms on all but the first, as in the paper.
        spectral: spectral norms on all weights (Miyato et al. 2018).
        in_channels: of the pictures.
        weights: ``none`` or a file.
        frozen_stages: the first so many feature maps, and all before them, don't train.
        frozen_norm: whether norms stay as they are.
        lr_multiplier: for the backbone's parameters.
        layer_decay: factor of the learning rate from each map to the one before it.
    """

    def __init__(
        self,
        width: Positive = 64,
        stages: Positive | Literal["auto"] = 3,
        norm: Literal["batch", "none"] = "none",
        spectral: bool = False,
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
        layers, before = [], in_channels
        for i in range(count):
            after = width * min(8, 2**i)
            normed = norm == "batch" and i > 0
            convolution = nn.Conv2d(before, after, 4, 2, 1, bias=not normed)
            nn.init.normal_(convolution.weight, 0.0, 0.02)
            stage: list[nn.Module] = [spectral_norm(convolution) if spectral else convolution]
            if normed:
                stage.append(nn.BatchNorm2d(after))
                nn.init.normal_(stage[-1].weight, 1.0, 0.02)  # type: ignore[arg-type]
            layers.append(nn.Sequential(*stage, nn.LeakyReLU(0.2)))
            before = after
        self.stages = nn.ModuleList(layers)
        if weights == "default":
            raise ConfigError(
                "backbone.weights: DCGAN's critic has no published weights; give none or a file"
            )
        if weights != "none":
            load_weights(self, weights)
        self.finish([f"stride{2 ** (i + 1)}" for i in range(count)], frozen_stages, frozen_norm)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """See :class:`Backbone`."""
        maps, x = {}, self.padded(images)
        for i, stage in enumerate(self.stages):
            x = stage(x)
            maps[f"stride{2 ** (i + 1)}"] = x
        return self.on_grid(maps, images.shape[-2:])
