"""visionkit's own trunk for detection from scratch."""

from typing import Literal

from torch import Tensor, nn

from visionkit.argtypes import Amount, Positive
from visionkit.backbones.attention import AttentionKind
from visionkit.backbones.base import Backbone, DropPath, FrozenStages, LayerDecay
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
        stem_stride: 2; or 1 for pictures of some 30 pixels, which halves all strides.
        weights: ``none`` or a file.
        frozen_stages: the first so many feature maps, and all before them, don't train; ``all``
            for the whole backbone, which is then in evaluation mode.
        frozen_norm: normalisation layers keep their statistics and don't train.
        lr_multiplier: for the backbone's parameters.
        layer_decay: factor of the learning rate from each map to the one before it.
        attention: behind each stage's cross-stage block: squeeze and excitation (``se``), efficient
            channel attention (``eca``) or the convolutional block attention module (``cbam``).
        drop_path: how often the last bottleneck is left out in training, in proportion less before
            it (stochastic depth, Huang et al. 2016).
    """

    def __init__(
        self,
        width: Amount = 0.25,
        depth: Amount = 0.34,
        max_channels: Positive = 1024,
        stem_stride: Literal[1, 2] = 2,
        weights: str = "none",
        frozen_stages: FrozenStages = 0,
        frozen_norm: bool = False,
        lr_multiplier: Amount = 1.0,
        layer_decay: LayerDecay = 1.0,
        attention: AttentionKind = "none",
        drop_path: DropPath = 0.0,
    ) -> None:
        super().__init__(lr_multiplier, layer_decay)
        channels = [_multiple_of_8(min(c, max_channels) * width) for c in (64, 128, 256, 512, 1024)]
        depths = [max(1, round(d * depth)) for d in (3, 6, 6, 3)]
        last = max(1, sum(depths) - 1)
        rates = iter([drop_path * k / last for k in range(sum(depths))])
        self.stem = ConvNorm(3, channels[0], 3, stride=stem_stride)
        self.stages = nn.ModuleList(
            nn.Sequential(
                ConvNorm(inputs, outputs, 3, stride=2),
                CspBlock(
                    outputs,
                    outputs,
                    blocks,
                    attention=attention,
                    drop_path=[next(rates) for _ in range(blocks)],
                ),
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
        self._names = [f"stride{stem_stride * 2**k}" for k in range(5)]
        self.finish(self._names, frozen_stages, frozen_norm)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """See :class:`Backbone`."""
        maps = [self.stem(images)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return dict(zip(self._names, maps, strict=True))


def _multiple_of_8(channels: float) -> int:
    return max(8, round(channels / 8) * 8)
