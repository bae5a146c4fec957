"""Any classifier of torchvision as a backbone."""

import logging
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from visionkit.argtypes import Amount, nearest
from visionkit.backbones.base import Backbone, DropPath, FrozenStages, LayerDecay
from visionkit.backbones.trunks import make_trunk
from visionkit.backbones.vit import VisionTransformerTrunk, resized_embedding
from visionkit.backbones.weights import load_weights
from visionkit.errors import CheckpointError, ConfigError
from visionkit.targets import first_line

log = logging.getLogger(__name__)

_HALVES = ("googlenet", "inception_v3")
"""Their published weights want mean and deviation 0.5, whatever their transforms say."""


class TorchvisionBackbone(Backbone):
    """The layers of a torchvision classifier up to its pooling.

    At each stride the last block's output is a feature map; a vision transformer has one map, made
    of its tokens. The network keeps its own parameter names, so its published state dicts load.
    Maps that aren't exactly canvas / stride, such as those of AlexNet or of odd canvases, are
    brought to that size.

    Args:
        name: a name for ``torchvision.models.get_model``, such as ``resnet50``.
        weights: ``none``; ``default``: torchvision's best weights, downloaded; or a file.
        frozen_stages: the first so many feature maps, and all before them, don't train; ``all``
            for the whole backbone, which is then in evaluation mode.
        frozen_norm: normalisation layers keep their statistics and don't train.
        lr_multiplier: for the backbone's parameters.
        layer_decay: factor of the learning rate from each layer (map, or encoder block of a vision
            transformer) to the one before it.
        drop_path: how often the last block's branch is left out in training (stochastic depth,
            Huang et al. 2016), less before it; null leaves the network's own. EfficientNet,
            ConvNeXt, Swin and MaxViT have it.
    """

    def __init__(
        self,
        name: str = "resnet50",
        weights: str = "none",
        frozen_stages: FrozenStages = 0,
        frozen_norm: bool = False,
        lr_multiplier: Amount = 1.0,
        layer_decay: LayerDecay = 1.0,
        drop_path: DropPath | None = None,
    ) -> None:
        super().__init__(lr_multiplier, layer_decay)
        names = torchvision.models.list_models(module=torchvision.models)
        if name not in names:
            raise ConfigError(
                f"backbone.name: torchvision has no classifier called {name!r}"
                f"{nearest(name, names)}; torchvision.models.list_models() names them"
            )
        self.name = name
        net = _build(name, weights)
        if drop_path is not None:
            _set_drop_path(net, name, drop_path)
        self.net = make_trunk(net)
        if name in _HALVES:
            self.mean = self.std = (0.5, 0.5, 0.5)
        if weights not in ("none", "default"):
            load_weights(self, weights)
        self.finish(self.net.order, frozen_stages, frozen_norm)
        self.net.wanted = frozenset(f.name for f in self.features)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """See :class:`Backbone`."""
        return self.on_grid(self.net(self.padded(images)), images.shape[-2:])

    def layers(self) -> list[set[int]]:
        """See :class:`Backbone`; a vision transformer's are its blocks."""
        return self.net.depths() or super().layers()

    def fit_weight(self, name: str, tensor: Tensor) -> Tensor:
        """Bring the positional embedding of another canvas to this one's."""
        if isinstance(self.net, VisionTransformerTrunk) and name.endswith("pos_embedding"):
            side = round((self.net.encoder.pos_embedding.shape[1] - 1) ** 0.5)
            return resized_embedding(tensor, side, side)
        return tensor

    def published(self) -> str:
        """See :class:`Backbone`."""
        default = getattr(torchvision.models.get_model_weights(self.name), "DEFAULT", None)
        if default is None:
            return "none"
        file = Path(torch.hub.get_dir()) / "checkpoints" / default.url.rpartition("/")[2]
        return "torchvision, downloaded" if file.is_file() else "torchvision"


def _build(name: str, weights: str) -> nn.Module:
    arguments: dict[str, Any] = {}
    published = getattr(torchvision.models.get_model_weights(name), "DEFAULT", None)
    if name.startswith("vit_") and published is not None:
        # whether or not they are loaded, so that a checkpoint of either has the same shapes
        arguments["image_size"] = published.meta["min_size"][0]
    if weights != "default":
        if name.startswith(("alexnet", "vgg")):
            return _without_classifier(name)
        if name in _HALVES:
            arguments["init_weights"] = True
        net: nn.Module = torchvision.models.get_model(name, weights=None, **arguments)
        return net
    if published is None:
        raise ConfigError(
            f"backbone.weights: torchvision publishes none for {name}; give none or a file"
        )
    log.info("fetching torchvision's weights of %s", name)
    try:
        net = torchvision.models.get_model(name, weights="DEFAULT", **arguments)
    except (OSError, HTTPException, RuntimeError) as error:  # the last for a wrong check sum
        raise CheckpointError(
            f"backbone.weights: the weights of {name} can't be downloaded ({first_line(error)}); "
            "go online, or give a file by backbone.weights=FILE"
        ) from error
    return net


def _without_classifier(name: str) -> nn.Module:
    """Build an AlexNet or a VGG whose classifier, most of its parameters, takes no memory."""
    device = torch.get_default_device()
    with torch.device("meta"):
        net: nn.Module = torchvision.models.get_model(name)
    del net.classifier
    net.to_empty(device=device)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
            module.reset_parameters()
        if isinstance(module, nn.Conv2d) and name.startswith("vgg"):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return net


def _set_drop_path(net: nn.Module, name: str, drop_path: float) -> None:
    """Scale the network's own rates, which grow with depth, so that the last is ``drop_path``."""
    drops = [m for m in net.modules() if isinstance(m, StochasticDepth)]
    if not drops and drop_path:
        raise ConfigError(
            f"backbone.drop_path: torchvision's {name} has no stochastic depth; leave it null, or "
            "choose an EfficientNet, ConvNeXt, Swin or MaxViT"
        )
    most = max((m.p for m in drops), default=0.0)
    for module in drops:
        module.p *= drop_path / most
