"""torchvision's classifiers without what comes after their last map."""

from collections.abc import Collection

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models
from torchvision.models.maxvit import PartitionAttentionLayer

from visionkit.backbones.vit import VisionTransformerTrunk
from visionkit.errors import ConfigError

_AFTER_THE_MAPS = "avgpool fc classifier head heads dropout permute flatten"
_AUXILIARY = "aux1 aux2 AuxLogits"
_SMALLEST = {models.AlexNet: 63, models.Inception3: 75, models.SqueezeNet: 21}
"""Sides below which a layer's output would be empty; they can't be padded to an exact grid."""


class SequentialTrunk(nn.Module):
    """The layers of a classifier up to its pooling, run one after another.

    The layers keep the classifier's names for them, so its state dicts fit.

    Args:
        net: the classifier.
        whole: paths of sequences that are one block; all others are taken apart.
        channels_last: whether its blocks give [B, H, W, C].
        smallest: side in pixels that it takes at least.

    Attributes:
        order: paths of the blocks, in the order in which they run.
        wanted: those of them whose outputs are returned.
    """

    def __init__(
        self,
        net: nn.Module,
        whole: Collection[str] = (),
        channels_last: bool = False,
        smallest: int = 1,
    ) -> None:
        super().__init__()
        gone = f"{_AFTER_THE_MAPS} {_AUXILIARY}".split()
        for name, child in net.named_children():
            if name not in gone:
                self.add_module(name, child)
        self.channels_last = channels_last
        self.smallest = smallest
        self.order = tuple(_blocks(self, whole))
        self.wanted: frozenset[str] = frozenset(self.order)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Map images [B, 3, H, W] to ``{path: [B, C, h, w]}``."""
        if min(x.shape[-2:]) < self.smallest:
            raise ConfigError(
                f"data.image_size: this backbone takes pictures of at least {self.smallest} pixels "
                f"a side, got {x.shape[-2]} x {x.shape[-1]}; enlarge them or choose another"
            )
        maps: dict[str, Tensor] = {}
        for path in self.order:
            x = self.get_submodule(path)(x)
            if path in self.wanted:
                maps[path] = x.permute(0, 3, 1, 2) if self.channels_last else x
        return maps

    def depths(self) -> list[set[int]]:
        """Return no layers: they are told by the maps."""
        return []


def make_trunk(net: nn.Module) -> SequentialTrunk | VisionTransformerTrunk:
    """Return the trunk of a torchvision classifier, made of the classifier's own layers."""
    if isinstance(net, models.VisionTransformer):
        return VisionTransformerTrunk(net)
    if isinstance(net, models.DenseNet):
        # the activation is in the classifier's forward; a transition ends a stage by its pooling
        net.features.add_module("relu5", nn.ReLU(inplace=True))
        return SequentialTrunk(net, [f"features.transition{k}" for k in (1, 2, 3)])
    if isinstance(net, models.SwinTransformer):
        return SequentialTrunk(net, ["features.0"], channels_last=True)
    if isinstance(net, models.MaxVit):
        for module in net.modules():
            if isinstance(module, PartitionAttentionLayer):
                module.__class__ = _AnySizeAttention
    smallest = next((side for kind, side in _SMALLEST.items() if isinstance(net, kind)), 1)
    return SequentialTrunk(net, smallest=smallest)


def _blocks(net: nn.Module, whole: Collection[str], prefix: str = "") -> list[str]:
    paths: list[str] = []
    for name, child in net.named_children():
        path = prefix + name
        parts: list[str] = []
        if isinstance(child, nn.Sequential | nn.ModuleList) and path not in whole:
            parts = _blocks(child, whole, f"{path}.")
        paths += parts or [path]
    return paths


class _AnySizeAttention(PartitionAttentionLayer):  # type: ignore[misc]
    """MaxViT's attention in windows or over a grid (Tu et al. 2022), for maps of any size.

    The original knows the size of its maps from the start; here a map is padded below and to the
    right to a multiple of the window, as Swin does.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to the same shape."""
        windows = self.partition_type == "window"
        side = self.p if windows else self.g
        height, width = x.shape[-2:]
        if height % side or width % side:
            x = F.pad(x, (0, -width % side, 0, -height % side))
        batch, channels, rows, columns = x.shape
        rows, columns = rows // side, columns // side
        if windows:  # [B, C, row, y, column, x]: the cells of a window are neighbours
            x = x.reshape(batch, channels, rows, side, columns, side).permute(0, 2, 4, 3, 5, 1)
        else:  # [B, C, y, row, x, column]: they are spread evenly over the map
            x = x.reshape(batch, channels, side, rows, side, columns).permute(0, 3, 5, 2, 4, 1)
        x = x.reshape(batch, rows * columns, side * side, channels)
        x = x + self.stochastic_dropout(self.attn_layer(x))
        x = x + self.stochastic_dropout(self.mlp_layer(x))
        x = x.reshape(batch, rows, columns, side, side, channels)
        x = x.permute(0, 5, 1, 3, 2, 4) if windows else x.permute(0, 5, 3, 1, 4, 2)
        x = x.reshape(batch, channels, rows * side, columns * side)
        return x[..., :height, :width]
