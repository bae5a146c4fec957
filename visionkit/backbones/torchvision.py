"""Any sequential network of torchvision as a backbone."""

import torchvision
from torch import Tensor, nn

from visionkit.argtypes import Amount, Count
from visionkit.backbones.base import Backbone
from visionkit.backbones.weights import load_weights
from visionkit.errors import CheckpointError, ConfigError

_AFTER_THE_MAPS = ("avgpool", "fc", "classifier", "head", "heads", "dropout")


class TorchvisionBackbone(Backbone):
    """The layers of a torchvision classifier up to its pooling, run one after another.

    At each stride the last block's output is a feature map. The network keeps its own parameter
    names, so its published state dicts load.

    Args:
        name: a name for ``torchvision.models.get_model``, such as ``resnet50``.
        weights: ``none``; ``default``: torchvision's best weights, downloaded; or a file.
        frozen_stages: the first so many feature maps, and all before them, don't train.
        frozen_norm: normalisation layers keep their statistics and don't train.
        lr_multiplier: for the backbone's parameters.
    """

    def __init__(
        self,
        name: str = "resnet50",
        weights: str = "none",
        frozen_stages: Count = 0,
        frozen_norm: bool = False,
        lr_multiplier: Amount = 1.0,
    ) -> None:
        super().__init__(lr_multiplier)
        if name not in torchvision.models.list_models(module=torchvision.models):
            raise ConfigError(
                f"backbone.name: torchvision has no classifier called {name!r}; "
                "torchvision.models.list_models() names them"
            )
        self.net = _build(name, weights)
        for child in _AFTER_THE_MAPS:
            if hasattr(self.net, child):
                delattr(self.net, child)
        if weights not in ("none", "default"):
            load_weights(self, weights)
        self._blocks = tuple(_blocks(self.net))
        self._wanted = frozenset(self._blocks)
        self.finish(self._blocks, frozen_stages, frozen_norm)
        self._wanted = frozenset(f.name for f in self.features)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """See :class:`Backbone`."""
        maps: dict[str, Tensor] = {}
        x = images
        for path in self._blocks:
            x = self.net.get_submodule(path)(x)
            if path in self._wanted:
                maps[path] = x
        return maps


def _build(name: str, weights: str) -> nn.Module:
    try:
        net: nn.Module = torchvision.models.get_model(
            name, weights="DEFAULT" if weights == "default" else None
        )
    except OSError as error:
        raise CheckpointError(
            f"backbone.weights: the weights of {name} can't be downloaded ({error}); go online, "
            "or give a file by backbone.weights=FILE"
        ) from error
    return net


def _blocks(net: nn.Module) -> list[str]:
    """Paths of the blocks in the order in which they run: children, with sequences unrolled."""
    paths: list[str] = []
    for name, child in net.named_children():
        if isinstance(child, nn.Sequential):
            paths += [f"{name}.{inner}" for inner in _blocks(child)] or [name]
        else:
            paths.append(name)
    return paths
