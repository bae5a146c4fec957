"""What every backbone promises: named maps, each with its channels and its stride."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from visionkit.errors import ConfigError
from visionkit.targets import first_line

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Norm = (
    nn.modules.batchnorm._BatchNorm,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.modules.instancenorm._InstanceNorm,
)
"""Their weights are scales, not directions: never decayed, frozen by ``frozen_norm``."""


@dataclass(frozen=True)
class FeatureSpec:
    """One feature map: its name, its channels, and input pixels per cell."""

    name: str
    channels: int
    stride: int


def pick(features: Sequence[FeatureSpec], strides: Sequence[int], who: str) -> list[FeatureSpec]:
    """Return the maps at ``strides``, in that order.

    Raises:
        ConfigError: some are missing; it names them and those there are.
    """
    if list(strides) != sorted(set(strides)):
        raise ConfigError(f"{who}.strides: {list(strides)} must be ascending, each once")
    by_stride = {f.stride: f for f in features}
    missing = [s for s in strides if s not in by_stride]
    if missing:
        raise ConfigError(
            f"{who}: no feature map at stride {', '.join(map(str, missing))}; there are strides "
            f"{', '.join(map(str, sorted(by_stride)))}; choose other strides or another backbone"
        )
    return [by_stride[s] for s in strides]


class Backbone(nn.Module, ABC):
    """Images in, feature maps of ascending stride out.

    A subclass builds its layers, then calls :meth:`finish`.

    Attributes:
        features: the maps, ascending by stride.
        mean: of the pictures that the weights were trained on, RGB in 0..1.
        std: likewise.
        lr_multiplier: the optimizer's learning rate is multiplied by this for the backbone.
    """

    features: tuple[FeatureSpec, ...]

    def __init__(self, lr_multiplier: float = 1.0) -> None:
        super().__init__()
        self.mean: tuple[float, float, float] = IMAGENET_MEAN
        self.std: tuple[float, float, float] = IMAGENET_STD
        self.lr_multiplier = lr_multiplier
        self._frozen_norm = False

    @abstractmethod
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Map normalised images [B, 3, H, W] to ``{name: [B, C, ~H/stride, ~W/stride]}``."""

    def finish(self, names: Sequence[str], frozen_stages: int, frozen_norm: bool) -> None:
        """Measure the maps called ``names``, keep one for each stride, and freeze what is asked."""
        self.features = probe(self, names)
        self.freeze(frozen_stages, frozen_norm)

    def freeze(self, stages: int, norm: bool) -> None:
        """Stop training what the first ``stages`` maps are made from, and (``norm``) every norm.

        What a map is made from is found by differentiating it, so it holds for any network.

        Raises:
            ConfigError: there are fewer maps than ``stages``.
        """
        if stages > len(self.features):
            raise ConfigError(
                f"backbone.frozen_stages: {stages} stages asked for, this backbone has "
                f"{len(self.features)}; give 0 to {len(self.features)}"
            )
        if stages:
            self._freeze_stages([f.name for f in self.features[:stages]])
        self._frozen_norm = norm
        if norm:
            for module in self.modules():
                if isinstance(module, Norm):
                    module.requires_grad_(False)
        self.train(self.training)

    def _freeze_stages(self, names: Sequence[str]) -> None:
        training = self.training
        self.eval()
        with torch.enable_grad():
            maps = self(torch.zeros(1, 3, 64, 64, device=next(self.parameters()).device))
            behind = parameters_behind([maps[name] for name in names], self)
        for parameter in self.parameters():
            if id(parameter) in behind:
                parameter.requires_grad_(False)
        self.train(training)

    def train(self, mode: bool = True) -> Self:
        """Switch to training, but leave norms in evaluation that are frozen."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, Norm):
                own = list(module.parameters(recurse=False))
                if self._frozen_norm or (own and not any(p.requires_grad for p in own)):
                    module.training = False
        return self


def parameters_behind(maps: Sequence[Tensor], module: nn.Module) -> set[int]:
    """The ids of the module's trainable parameters that some of ``maps`` depend on."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    if not parameters or not any(m.requires_grad for m in maps):
        return set()
    total = torch.stack([m.float().square().sum() for m in maps]).sum()
    gradients = torch.autograd.grad(total, parameters, allow_unused=True)
    return {id(p) for p, g in zip(parameters, gradients, strict=True) if g is not None}


@torch.no_grad()
def probe(backbone: nn.Module, names: Sequence[str]) -> tuple[FeatureSpec, ...]:
    """Measure channels and strides on a real forward pass; of one stride the last map counts.

    Raises:
        ConfigError: the network doesn't take pictures, or a map's side is not a power-of-two
            fraction of the input's.
    """
    side = 224
    training = backbone.training
    backbone.eval()
    try:
        maps = backbone(torch.zeros(1, 3, side, side))
    except (RuntimeError, AssertionError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"backbone.name: the network's layers don't turn a picture of {side} pixels into "
            f"feature maps one after another ({first_line(error)}); choose another network"
        ) from error
    backbone.train(training)
    specs: dict[int, FeatureSpec] = {}
    for name in names:
        shape = tuple(maps[name].shape)
        rows = shape[2] if len(shape) == 4 and shape[2] == shape[3] else -1
        stride = next((s for s in (1, 2, 4, 8, 16, 32, 64) if abs(side / s - rows) < 1), None)
        if stride is None:
            raise ConfigError(
                f"backbone.name: map {name!r} is {list(shape)} for {side} x {side} pixels, which "
                "is no [B, C, H, W] of stride 1, 2, 4 ... 64; choose another network"
            )
        specs[stride] = FeatureSpec(name, shape[1], stride)
    return tuple(specs[s] for s in sorted(specs))
