"""LeNet-5, for small pictures."""

from typing import Literal

from torch import Tensor, nn

from visionkit.argtypes import Amount
from visionkit.backbones.base import Backbone, FrozenStages, LayerDecay
from visionkit.backbones.weights import load_weights
from visionkit.errors import ConfigError


class LeNet(Backbone):
    """The convolutions of LeNet-5 (LeCun et al. 1998): 6, 16 and 120 maps, two poolings.

    Maps at strides 2 (6 channels) and 4 (120 channels), times ``width``. Unlike the paper's, the
    convolutions are padded, so that the maps lie on the grid of the picture; its pooling has no
    weights, and each of its 16 maps sees all 6 before it. F6 and the output are the head's matter.

    Args:
        width: channel multiplier.
        activation: the paper's ``tanh``, or ``relu``.
        pooling: the paper's ``average``, or ``max``.
        weights: ``none`` or a file.
        frozen_stages: the first so many feature maps, and all before them, don't train; ``all``
            for the whole backbone, which is then in evaluation mode.
        frozen_norm: of no effect, it has none.
        lr_multiplier: for the backbone's parameters.
        layer_decay: factor of the learning rate from each map to the one before it.
    """

    def __init__(
        self,
        width: Amount = 1.0,
        activation: Literal["tanh", "relu"] = "tanh",
        pooling: Literal["average", "max"] = "average",
        weights: str = "none",
        frozen_stages: FrozenStages = 0,
        frozen_norm: bool = False,
        lr_multiplier: Amount = 1.0,
        layer_decay: LayerDecay = 1.0,
    ) -> None:
        super().__init__(lr_multiplier, layer_decay)
        first, second, third = (max(1, round(c * width)) for c in (6, 16, 120))
        self.c1 = nn.Conv2d(3, first, 5, padding=2)
        self.c3 = nn.Conv2d(first, second, 5, padding=2)
        self.c5 = nn.Conv2d(second, third, 5, padding=2)
        self.activation = nn.Tanh() if activation == "tanh" else nn.ReLU()
        pool = nn.AvgPool2d if pooling == "average" else nn.MaxPool2d
        self.pool = pool(2, ceil_mode=True)
        if weights == "default":
            raise ConfigError(
                "backbone.weights: lenet has no published weights; give none or a file"
            )
        if weights != "none":
            load_weights(self, weights)
        self.finish(["stride2", "stride4"], frozen_stages, frozen_norm)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """See :class:`Backbone`."""
        fine = self.pool(self.activation(self.c1(images)))
        coarse = self.pool(self.activation(self.c3(fine)))
        return {"stride2": fine, "stride4": self.activation(self.c5(coarse))}
