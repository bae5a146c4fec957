"""Layers that the segmentation heads share."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visionkit.argtypes import Positive
from visionkit.backbones.base import FeatureSpec, pick
from visionkit.errors import ConfigError

BINS = (1, 2, 3, 6)
"""Parts a side that Zhao et al. (2017) pool over."""


def conv_norm(inputs: int, outputs: int, kernel: int = 1, dilation: int = 1) -> nn.Sequential:
    """Return a convolution that keeps the map's size, batch norm and ReLU."""
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def separable(inputs: int, outputs: int, dilation: int = 1) -> nn.Sequential:
    """Return a 3x3 convolution of each channel, then one over the channels, each normalised."""
    return nn.Sequential(
        nn.Conv2d(
            inputs, inputs, 3, padding=dilation, dilation=dilation, groups=inputs, bias=False
        ),
        nn.BatchNorm2d(inputs),
        nn.ReLU(inplace=True),
        *conv_norm(inputs, outputs),
    )


def class_scores(inputs: int, num_classes: int, bias: bool = True, std: float = 0.01) -> nn.Conv2d:
    """Return the 1x1 convolution to a score for each class; it starts with scores near zero."""
    conv = nn.Conv2d(inputs, num_classes, 1, bias=bias)
    nn.init.normal_(conv.weight, std=std)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


def enlarge(
    x: Tensor, size: Sequence[int], mode: Literal["bilinear", "nearest"] = "bilinear"
) -> Tensor:
    """Resize a map [B, C, H, W] to (height, width)."""
    corners = False if mode == "bilinear" else None
    return F.interpolate(x, size=(size[-2], size[-1]), mode=mode, align_corners=corners)


def pool_to(x: Tensor, bins: int) -> Tensor:
    """Average [B, C, H, W] over ``bins`` x ``bins`` parts, which overlap where H or W is smaller.

    The same as adaptive average pooling, by products with matrices, which exporters know for maps
    of any size.
    """
    rows, columns = (_parts(x.shape[axis], bins, x) for axis in (2, 3))
    return rows @ x @ columns.T


def _parts(side: int, bins: int, like: Tensor) -> Tensor:
    """Return [bins, side]: what each cell of a side adds to each part's average."""
    at = torch.arange(side, device=like.device)
    number = torch.arange(bins, device=like.device)[:, None]
    inside = (at >= number * side // bins) & (at < -(-(number + 1) * side // bins))
    whole = inside.to(like.dtype)
    return whole / whole.sum(1, keepdim=True)


class PyramidPooling(nn.Module):
    """Pyramid pooling (Zhao et al. 2017): the map beside its averages over parts of the picture.

    The average over the whole picture is a single value for each channel, which a batch norm can't
    take of one picture: that branch has a bias instead.

    Args:
        inputs: channels in.
        outputs: channels out; the branches share as many.
        bins: parts a side of each branch.
    """

    def __init__(self, inputs: int, outputs: int, bins: Sequence[int] = BINS) -> None:
        super().__init__()
        self.bins = tuple(bins)
        width = max(8, outputs // max(1, len(self.bins)))
        self.branches = nn.ModuleList(
            nn.Sequential(nn.Conv2d(inputs, width, 1), nn.ReLU(inplace=True))
            if count == 1
            else conv_norm(inputs, width)
            for count in self.bins
        )
        self.mix = conv_norm(inputs + width * len(self.bins), outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, inputs, H, W] to [B, outputs, H, W]."""
        parts = [x]
        for count, branch in zip(self.bins, self.branches, strict=True):
            pooled = x.mean((2, 3), keepdim=True) if count == 1 else pool_to(x, count)
            parts.append(enlarge(branch(pooled), x.shape))
        mixed: Tensor = self.mix(torch.cat(parts, 1))
        return mixed


def maps_at(
    features: Sequence[FeatureSpec], given: Sequence[Positive] | None, usual: Sequence[int]
) -> list[FeatureSpec]:
    """Return the maps at the strides ``given``.

    If None are, those of the ``usual`` ones that there are, or all maps where fewer than two are
    among them.

    Raises:
        ConfigError: a map asked for isn't there.
    """
    if given is not None:
        return pick(features, given, "head")
    found = [f for f in features if f.stride in usual]
    return found if len(found) > 1 else list(features)


def map_near(
    features: Sequence[FeatureSpec], given: Positive | None, usual: int
) -> FeatureSpec | None:
    """Return the map at the stride ``given``, or if None is, the one nearest to the ``usual``.

    Raises:
        ConfigError: a map asked for isn't there.
    """
    if given is not None:
        return pick(features, [given], "head")[0]
    return min(features, key=lambda f: abs(math.log2(f.stride / usual)), default=None)


def low_and_high(
    features: Sequence[FeatureSpec], low: Positive | None, high: Positive | None, usual: int
) -> tuple[FeatureSpec | None, FeatureSpec]:
    """Return a fine and a coarse map by their strides.

    Args:
        features: the maps to choose from.
        low: stride of the fine one; None for the nearest to ``usual``, and for none if all maps are
            as coarse as the coarse one.
        high: stride of the coarse one; None for the coarsest.
        usual: stride.

    Raises:
        ConfigError: a map asked for isn't there, or the fine one isn't the finer.
    """
    coarse = map_near(features, high, max(f.stride for f in features))
    assert coarse is not None
    finer = [f for f in features if f.stride < coarse.stride]
    fine = map_near(finer if low is None else features, low, usual)
    if fine and fine.stride >= coarse.stride:
        raise ConfigError(
            f"head.low_stride: {fine.stride} isn't finer than the other map's {coarse.stride}; "
            "give a smaller one"
        )
    return fine, coarse
