"""visionkit's own trunk for detection from scratch."""

from torch import Tensor, nn

from visionkit.argtypes import Amount, Count, Positive
from visionkit.backbones.base import Backbone
from visionkit.backbones.layers import SPPF, ConvNorm, CspBlock
from visionkit.backbones.weights import load_weights
from visionkit.errors import ConfigError


class CspBackbone(Backbone):
    """A stem and four cross-stage partial stages (Wang et al. 2020), then spatial pyramid pooling.

    Maps at strides 2, 4, 8, 16 and 32 with 64, 128, 256, 512 and 1024 channels times ``width``,
    the last two at most ``max_channels``; 3, 6, 6 and 3 bottlenecks times ``depth`` in the stages.

    Args:
        width: channel multiplier; 0.25 makes the nano model.
        depth: multiplier of the bottlenecks in each stage, each at least one.
        max_channels: bound on the channels of a map, before ``width``.
        weights: ``none`` or a file.
        frozen_stages: the first so many feature maps, and all before them, don't train.
        frozen_norm: normalisation layers keep their statistics and don't train.
        lr_multiplier: for the backbone's parameters.
    """

    def __init__(
        self,
        width: Amount = 0.25,
        depth: Amount = 0.34,
        max_channels: Positive = 1024,
        weights: str = "none",
        frozen_stages: Count = 0,
        frozen_norm: bool = False,
        lr_multiplier: Amount = 1.0,
    ) -> None:
        super().__init__(lr_multiplier)
        channels = [_multiple_of_8(min(c, max_channels) * width) for c in (64, 128, 256, 512, 1024)]
        depths = [max(1, round(d * depth)) for d in (3, 6, 6, 3)]
        self.stem = ConvNorm(3, channels[0], 3, stride=2)
        self.stages = nn.ModuleList(
            nn.Sequential(
                ConvNorm(inputs, outputs, 3, stride=2), CspBlock(outputs, outputs, blocks)
            )
            for inputs, outputs, blocks in zip(channels, channels[1:], depths, strict=False)
        )
        self.stages[-1].append(SPPF(channels[-1]))  # type: ignore[operator]
        if weights == "default":
            raise ConfigError(
                "backbone.weights: the csp trunk has no published weights; give none or a file"
            )
        if weights != "none":
            load_weights(self, weights)
        names = [f"stride{2**k}" for k in range(1, 6)]
        self.finish(names, frozen_stages, frozen_norm)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """See :class:`Backbone`."""
        x = self.stem(images)
        maps = {"stride2": x}
        for k, stage in enumerate(self.stages, start=2):
            x = stage(x)
            maps[f"stride{2**k}"] = x
        return maps


def _multiple_of_8(channels: float) -> int:
    return max(8, round(channels / 8) * 8)
