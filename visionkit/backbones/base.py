"""What every backbone promises: named maps, each with its channels and its stride."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx.experimental.symbolic_shapes import statically_known_true

from visionkit.argtypes import Count, Range
from visionkit.backbones.known import having
from visionkit.backbones.probing import dependencies, empty_run, parameters_behind
from visionkit.errors import ConfigError
from visionkit.targets import first_line

LayerDecay = Annotated[float, Range(0.01, 1)]
"""The learning rate's factor from one layer to the one before it."""
DropPath = Annotated[float, Range(0, 0.99)]
"""How often the last residual branch is left out in training."""
FrozenStages = Count | Literal["all"]
"""So many feature maps, and all before them, don't train; or the whole backbone is a function that
stays as it is, in evaluation mode."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Norm = (
    nn.modules.batchnorm._BatchNorm,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.modules.instancenorm._InstanceNorm,
)
"""Their weights are scales, not directions: never decayed, frozen by ``frozen_norm``."""


PROBE_SIDE = 224
"""Of the picture that a backbone is measured with when it is built, in pixels."""
_ODD_SIDE = 97


@dataclass(frozen=True)
class FeatureSpec:
    """One feature map: its name, its channels, and input pixels per cell."""

    name: str
    channels: int
    stride: int


def pick(features: Sequence[FeatureSpec], strides: Sequence[int], who: str) -> list[FeatureSpec]:
    """Return the maps at ``strides``, in that order.

    Raises:
        ConfigError: some are missing, or none is named; it names them and those there are.
    """
    if not strides or list(strides) != sorted(set(strides)):
        raise ConfigError(f"{who}.strides: {list(strides)} must be ascending, each once, not empty")
    by_stride = {f.stride: f for f in features}
    missing = [s for s in strides if s not in by_stride]
    if missing:
        advice = having(missing)
        raise ConfigError(
            f"{who}: no feature map at stride {', '.join(map(str, missing))}; there are strides "
            f"{', '.join(map(str, sorted(by_stride)))}; choose other strides"
            + (f"; backbones that have {'it' if len(missing) == 1 else 'them'}: {advice}")
            * bool(advice)
        )
    return [by_stride[s] for s in strides]


def _has_cells(cells: int, side: int, stride: int) -> bool:
    """Whether a map's side is ceil(side / stride); in a graph, whether it is for every side."""
    if not torch.compiler.is_exporting():
        return cells == -(-side // stride)
    # tracers don't see that both ways to say it are the same
    return statically_known_true(cells == -(-side // stride)) or statically_known_true(
        cells == (side - 1) // stride + 1
    )


class Backbone(nn.Module, ABC):
    """Images in, feature maps of ascending stride out.

    A subclass builds its layers, then calls :meth:`finish`.

    Attributes:
        features: the maps, ascending by stride.
        mean: of the pictures that the weights were trained on, RGB in 0..1.
        std: likewise.
        lr_multiplier: the optimizer's learning rate is multiplied by this for the backbone.
        layer_decay: and by this for each layer that lies between a parameter and the last layer.
        grouped: whether its weights came with group norms in the place of batch norms.
        in_channels: of the images: 6 where it sees two pictures at once, see
            :class:`visionkit.models.critic.Critic`.
    """

    features: tuple[FeatureSpec, ...] = ()
    grouped: bool = False
    in_channels: int = 3

    def __init__(self, lr_multiplier: float = 1.0, layer_decay: float = 1.0) -> None:
        super().__init__()
        self.mean: tuple[float, float, float] = IMAGENET_MEAN
        self.std: tuple[float, float, float] = IMAGENET_STD
        self.lr_multiplier = lr_multiplier
        self.layer_decay = layer_decay
        self._step = 1
        self._frozen_norm = self._frozen = False

    @abstractmethod
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Map normalised images [B, in_channels, H, W] to ``{name: [B, C, ~H/s, ~W/s]}``."""

    def finish(self, names: Sequence[str], frozen_stages: FrozenStages, frozen_norm: bool) -> None:
        """Measure the maps called ``names``, keep one for each stride, and freeze what is asked."""
        self.features, self._step = probe(self, names)
        self.freeze(frozen_stages, frozen_norm)

    def padded(self, images: Tensor) -> Tensor:
        """Widen images [B, 3, H, W] to the right and below, where layers would drop the rest.

        Only for networks whose maps are exact for sides that are multiples of their largest stride,
        and short of the last cell for others, and for those that take one size. The pad is zero,
        the mean colour.

        Raises:
            ConfigError: the network takes one size, and the images are larger.
        """
        height, width = images.shape[-2:]
        if self._step == PROBE_SIDE and max(height, width) > PROBE_SIDE:
            raise ConfigError(
                f"data.image_size: this backbone takes pictures of {PROBE_SIDE} pixels a side at "
                f"most, got {height} x {width}; make them smaller or choose another"
            )
        if height % self._step or width % self._step:
            images = F.pad(images, (0, -width % self._step, 0, -height % self._step))
        return images

    def on_grid(self, maps: Mapping[str, Tensor], canvas: Sequence[int]) -> dict[str, Tensor]:
        """Return the stated maps with exactly ceil(side / stride) rows and columns.

        What :meth:`padded` added is cut off; the maps of networks that lose cells at their borders
        (Inception's convolutions without padding) are resized.

        Args:
            maps: as the network gives them; before :meth:`finish` they pass as they are.
            canvas: height and width of the images before :meth:`padded`.
        """
        if not self.features:
            return dict(maps)
        return {f.name: self._fitted(maps[f.name], canvas, f.stride) for f in self.features}

    def _fitted(self, x: Tensor, canvas: Sequence[int], stride: int) -> Tensor:
        rows, columns = (-(-side // stride) for side in canvas)
        if all(map(_has_cells, x.shape[-2:], canvas, (stride, stride))):
            return x
        if self._step > 1:
            return x[..., :rows, :columns]
        return F.interpolate(x, size=(rows, columns), mode="bilinear", align_corners=False)

    def layers(self) -> list[set[int]]:
        """Return the ids of the trainable parameters layer by layer, the first layer first.

        A layer is what a map needs and none before it does, unless a subclass knows better.
        """
        found: list[set[int]] = []
        for needed in dependencies(self, [f.name for f in self.features]):
            found.append(needed - set().union(*found))
        return [layer for layer in found if layer]  # a pooling may make a map of its own

    def multipliers(self) -> dict[int, float]:
        """Return what the learning rate of each parameter is multiplied by, by the parameter's id.

        ``lr_multiplier`` times ``layer_decay`` to the number of layers behind the parameter's own
        (layer-wise decay as in Clark et al. 2020, Bao et al. 2022).
        """
        found = dict.fromkeys(map(id, self.parameters()), self.lr_multiplier)
        if self.layer_decay != 1:
            for behind, layer in enumerate(reversed(self.layers())):
                factor = self.lr_multiplier * self.layer_decay**behind
                found |= dict.fromkeys(layer, factor)
        return found

    def fit_weight(self, name: str, tensor: Tensor) -> Tensor:
        """Return a file's tensor as this network's parameter ``name`` wants it, if it can be."""
        return tensor

    def published(self) -> str:
        """Say who publishes weights for ``weights=default``, and whether they are downloaded."""
        return "none"

    def freeze(self, stages: FrozenStages, norm: bool) -> None:
        """Stop training what the first ``stages`` maps are made from, and (``norm``) every norm.

        What a map is made from is found by differentiating it, so it holds for any network.

        Args:
            stages: a number, or ``all``: nothing trains, and the network is in evaluation mode from
                now on, so that what it says of a picture never changes; gradients pass through it.
            norm: whether norms stay as they are.

        Raises:
            ConfigError: there are fewer maps than ``stages``.
        """
        self._frozen = stages == "all"
        if stages == "all":
            self.requires_grad_(False)
        elif stages > len(self.features):
            raise ConfigError(
                f"backbone.frozen_stages: {stages} stages asked for, this backbone has "
                f"{len(self.features)}; give 0 to {len(self.features)}, or all"
            )
        elif stages:
            behind = parameters_behind(self, [f.name for f in self.features[:stages]])
            for parameter in self.parameters():
                if id(parameter) in behind:
                    parameter.requires_grad_(False)
        self._frozen_norm = norm
        if norm:
            for module in self.modules():
                if isinstance(module, Norm):
                    module.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Switch to training, but leave what is frozen in evaluation: norms, or everything."""
        super().train(mode and not self._frozen)
        for module in self.modules():
            if isinstance(module, Norm):
                own = list(module.parameters(recurse=False))
                if self._frozen_norm or (own and not any(p.requires_grad for p in own)):
                    module.training = False
        return self


@torch.no_grad()
def probe(backbone: nn.Module, names: Sequence[str]) -> tuple[tuple[FeatureSpec, ...], int]:
    """Measure channels and strides on a forward pass; of one stride the last map counts.

    The stride is the power of two nearest to side / rows in the logarithm.

    Returns:
        The maps, ascending by stride, and what sides are to be padded to a multiple of.

    Raises:
        ConfigError: the network doesn't take pictures, or doesn't give maps [B, C, H, W].
    """
    try:
        found = {n: tuple(m.shape) for n, m in empty_run(backbone, PROBE_SIDE).items()}
    except (RuntimeError, AssertionError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"backbone.name: the network's layers don't turn a picture of {PROBE_SIDE} pixels into "
            f"feature maps one after another ({first_line(error)}); choose another network"
        ) from error
    specs: dict[int, FeatureSpec] = {}
    for name in names:
        shape = found[name]
        rows = shape[2] if len(shape) == 4 and shape[2] == shape[3] else 0
        stride = 2 ** round(math.log2(PROBE_SIDE / rows)) if rows else 0
        if not 1 <= stride <= 64:
            raise ConfigError(
                f"backbone.name: map {name!r} is {list(shape)} for {PROBE_SIDE} pixels squared, "
                "which is no [B, C, H, W] of stride 1, 2, 4 ... 64; choose another network"
            )
        specs[stride] = FeatureSpec(name, shape[1], stride)
    features = tuple(specs[s] for s in sorted(specs))
    return features, _step(backbone, features, found)


def _step(
    backbone: nn.Module, features: Sequence[FeatureSpec], found: Mapping[str, tuple[int, ...]]
) -> int:
    """Return what the sides of pictures must be multiples of for maps of ceil(side / stride)."""
    exact = all(found[f.name][2] * f.stride == PROBE_SIDE for f in features)
    if not exact or next(backbone.parameters()).is_meta:  # where shapes are all that is asked for
        return 1
    try:
        odd = empty_run(backbone, _ODD_SIDE)
    except (RuntimeError, AssertionError, TypeError, ValueError):  # it takes one size only
        return PROBE_SIDE
    short = any(odd[f.name].shape[2] < -(-_ODD_SIDE // f.stride) for f in features)
    return features[-1].stride if short else 1
