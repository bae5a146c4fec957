"""Layers whose weights learn at the same pace, whatever their number of inputs."""

import math
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)


class Scaled(nn.Module):
    """A weight is a parameter times a constant.

    Args:
        factor: the constant.
    """

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, raw: Tensor) -> Tensor:
        """Return the weight."""
        return raw * self.factor


def equalised(layer: Layer, gain: float = 1.0, pace: float = 1.0) -> Layer:
    """Draw a layer's weights anew, and let its parameters be of deviation 1 (Karras et al. 2018).

    What makes the output as large as the input, gain / sqrt(inputs), is applied in each pass. So
    Adam, whose steps have a length of their own, changes every layer by the same part.

    Args:
        layer: a fully connected one, or a convolution. Its bias becomes zero.
        gain: output over input, before an activation.
        pace: the layer learns so many times as fast as the others.

    Returns:
        The same layer.
    """
    inputs = layer.weight[0].numel()
    with torch.no_grad():
        layer.weight.normal_(0.0, 1.0 / pace)
        if layer.bias is not None:
            layer.bias.zero_()
    register_parametrization(layer, "weight", Scaled(gain * pace / math.sqrt(inputs)))
    if layer.bias is not None and pace != 1:
        register_parametrization(layer, "bias", Scaled(pace))
    return layer


def leaky(x: Tensor) -> Tensor:
    """Leaky ReLU that keeps the mean square of normal values: slope 0.2, times the root of 2."""
    return F.leaky_relu(x, 0.2) * math.sqrt(2)
