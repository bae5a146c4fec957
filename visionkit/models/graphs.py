"""Networks as plain functions of tensors, for export: normalise, network, decoding, suppression."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from visionkit.about import BETWEEN
from visionkit.heads.base import Graph, Head

if TYPE_CHECKING:
    from visionkit.models.gan import Gan
    from visionkit.models.joint import JointModel
    from visionkit.models.model import Model
    from visionkit.models.translation import Translation

EXAMPLES = 2
"""Pictures that a graph is traced with: of one, its size would be taken for a constant."""


@dataclass(frozen=True)
class Traceable:
    """What an exporter needs.

    Attributes:
        module: takes the inputs in their order, and returns outputs by name, see
            :class:`visionkit.about.About`.
        inputs: examples by name; the first dimension counts pictures, and the third and fourth, if
            any, are height and width.
        stride: of the coarsest map.
        facts: what else :class:`visionkit.about.About` says of the network.
    """

    module: nn.Module
    inputs: dict[str, Tensor]
    stride: int = 1
    facts: dict[str, Any] = field(default_factory=dict)


def example(canvas: tuple[int, int]) -> dict[str, Tensor]:
    """Pictures to trace with: noise, of which no two values are related."""
    lots = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (EXAMPLES, 3, *canvas), generator=lots)
    return {"images": images.to(torch.uint8)}


class ImageGraph(nn.Module):
    """A model from pictures [B, 3, H, W] uint8 to what its head gives to files."""

    def __init__(self, model: "Model", how: Graph) -> None:
        super().__init__()
        self.model, self.how = model, how

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the head's outputs by name."""
        return self.model.head.outputs(self.model.observe(images), self.how)


class JointGraph(nn.Module):
    """A joint network from pictures [B, 3, H, W] uint8 to what its heads give to files.

    The outputs of each part have its name before theirs, such as ``detection/boxes``.
    """

    def __init__(self, model: "JointModel", how: Graph) -> None:
        super().__init__()
        self.model, self.how = model, how

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the heads' outputs by name, from one pass through the backbone."""
        return {
            f"{part}{BETWEEN}{name}": tensor
            for part, raw in self.model.observe(images).items()
            for name, tensor in cast(Head, self.model.heads[part]).outputs(raw, self.how).items()
        }


def joint_traceable(model: "JointModel", how: Graph, canvas: tuple[int, int]) -> Traceable:
    """Return a joint network as a function of tensors, see :meth:`Network.traceable`."""
    parts = {name: model.part(name) for name in model.names}
    each = {name: part.traceable(how, canvas) for name, part in parts.items()}
    facts = {name: {"says": parts[name].says, **one.facts} for name, one in each.items()}
    stride = max(one.stride for one in each.values())
    return Traceable(JointGraph(model, how), example(canvas), stride, {"parts": facts})


class NoiseGraph(nn.Module):
    """A generator from noise [B, latent], and classes [B, K], to pictures [B, 3, H, W] uint8."""

    def __init__(self, gan: "Gan") -> None:
        super().__init__()
        self.gan = gan

    def forward(self, z: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Return ``pictures``."""
        from visionkit.models.gan import to_bytes

        return {"pictures": to_bytes(self.gan.generate(z, labels, self.gan.options.truncation))}


class PictureGraph(nn.Module):
    """A translator from pictures [B, 3, H, W] uint8 to others of the same size."""

    def __init__(self, network: "Translation") -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return ``pictures``."""
        from visionkit.models.gan import from_bytes, to_bytes

        return {"pictures": to_bytes(self.network.translate(from_bytes(images)))}
