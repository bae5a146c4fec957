"""U-Net: a decoder that takes every map of the backbone back in, from coarse to fine."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from visionkit.argtypes import Positive
from visionkit.backbones.base import FeatureSpec, pick
from visionkit.errors import ConfigError
from visionkit.heads.segmentation.base import DropOut, SegmentationHead
from visionkit.heads.segmentation.layers import class_scores, conv_norm, enlarge
from visionkit.losses.segmentation import SegmentationLoss


class Stage(nn.Module):
    """A step up: fewer channels, more pixels, a finer map beside them, two 3x3 convolutions.

    The paper's up-convolution gives fewer channels; here a 1x1 convolution does before the map is
    enlarged, so that it costs little and any size can follow.

    Args:
        inputs: channels of the coarse map.
        beside: channels of the finer one, 0 for none.
        outputs: channels out.
    """

    def __init__(self, inputs: int, beside: int, outputs: int) -> None:
        super().__init__()
        wide = inputs > outputs
        self.narrow = nn.Conv2d(inputs, outputs, 1, bias=False) if wide else nn.Identity()
        self.convs = nn.Sequential(
            conv_norm(min(inputs, outputs) + beside, outputs, 3), conv_norm(outputs, outputs, 3)
        )

    def forward(self, x: Tensor, size: Sequence[int], beside: Tensor | None = None) -> Tensor:
        """Map [B, inputs, h, w] to [B, outputs, H, W], ``size`` being that of ``beside``."""
        x = enlarge(self.narrow(x), size, "nearest")
        if beside is not None:
            x = torch.cat([x, beside], 1)
        y: Tensor = self.convs(x)
        return y


class UnetHead(SegmentationHead):
    """U-Net's decoder (Ronneberger et al. 2015) over all maps of any backbone.

    Args:
        in_features: the maps to choose from.
        num_classes: K.
        loss: of the scores of each pixel.
        dropout: part of the last layer's channels that is left out in training.
        strides: of the maps; None for all.
        channels: of each step, from coarse to fine; further steps have the last one's.
        full: whether a last step leads to the pixels of the picture themselves; else the scores of
            the finest map are enlarged.
    """

    def __init__(
        self,
        in_features: Sequence[FeatureSpec],
        num_classes: int,
        loss: SegmentationLoss,
        dropout: DropOut = 0.1,
        strides: Sequence[Positive] | None = None,
        channels: Sequence[Positive] = (256, 128, 64, 32),
        full: bool = False,
    ) -> None:
        super().__init__(in_features, num_classes, loss, dropout)
        self.used = list(in_features) if strides is None else pick(in_features, strides, "head")
        *finer, coarsest = self.used
        # a single map has nothing beside it, but its step all the same
        beside = [f.channels for f in reversed(finer)] or [0]
        if full and self.used[0].stride > 1:
            beside.append(0)
        if not channels:
            raise ConfigError("head.channels: an empty list; give the channels of each step")
        widths = [channels[min(i, len(channels) - 1)] for i in range(len(beside))]
        self.stages = nn.ModuleList(
            Stage(*each) for each in zip([coarsest.channels, *widths], beside, widths, strict=False)
        )
        self.classes = class_scores(widths[-1], num_classes)

    def logits(self, maps: Sequence[Tensor], canvas: tuple[int, int]) -> Tensor:
        """See :class:`SegmentationHead`."""
        *finer, x = maps
        steps: list[tuple[Sequence[int], Tensor | None]] = [(m.shape, m) for m in reversed(finer)]
        steps = steps or [(x.shape, None)]
        if len(steps) < len(self.stages):
            steps.append((canvas, None))
        for stage, (size, beside) in zip(self.stages, steps, strict=True):
            x = stage(x, size, beside)
        scores: Tensor = self.classes(self.dropout(x))
        return scores
