"""Pixels in, results out: normalise, backbone, neck, head."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from visionkit.backbones.base import Backbone
from visionkit.backbones.norms import group_norms, tolerate_single
from visionkit.backbones.probing import parameters_behind
from visionkit.batch import Batch
from visionkit.build import PACKAGES, build, expect
from visionkit.heads.base import Head
from visionkit.models.views import observe
from visionkit.necks.base import Neck
from visionkit.results import Result

log = logging.getLogger(__name__)


class Normalise(nn.Module):
    """From 0..255 to zero mean and unit deviation, inside the network so that exports have it too.

    Args:
        mean: of each channel, in 0..1.
        std: likewise.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, len(mean), 1, 1), persistent=False)
        self.register_buffer("std", torch.ones(1, len(std), 1, 1), persistent=False)
        self.mean: Tensor
        self.std: Tensor
        self.set(mean, std)

    def set(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Use other figures."""
        self.mean.copy_(torch.tensor(mean).view_as(self.mean) * 255)
        self.std.copy_(torch.tensor(std).view_as(self.std) * 255)

    def forward(self, images: Tensor) -> Tensor:
        """Map [B, 3, H, W] uint8, or float in 0..255, to float32."""
        return (images.float() - self.mean) / self.std


class Model(nn.Module):
    """A network for one task, put together from interchangeable parts.

    Args:
        backbone: gives feature maps and says what mean and std it wants.
        neck: made from the backbone's maps.
        head: made from the neck's maps.

    Attributes:
        grouped: the parts that have group norms in the place of batch norms.
    """

    grouped: tuple[str, ...] = ()

    def __init__(self, backbone: Backbone, neck: Neck, head: Head) -> None:
        super().__init__()
        self.normalise = Normalise(backbone.mean, backbone.std)
        self.backbone, self.neck, self.head = backbone, neck, head

    def forward(self, images: Tensor) -> Any:
        """Return the head's raw output for images [B, 3, H, W], uint8 or float in 0..255."""
        x = self.normalise(images)
        return self.head(self.neck(self.backbone(x)), (images.shape[-2], images.shape[-1]))

    def observe(self, images: Tensor) -> Any:
        """Do what :meth:`forward` does, looking as often as the head's options say."""
        return observe(self, images, self.head.options)

    @torch.no_grad()
    def predict(self, batch: Batch) -> list[Result]:
        """Return a result in original pixels for each picture."""
        return self.head.predict(self.observe(batch.images), batch)


def build_model(
    spec: Mapping[str, Any],
    num_classes: int,
    *,
    packages: Sequence[str] = PACKAGES,
    allow: Sequence[str] = (),
) -> Model:
    """Build the parts in turn, each from what the one before it gives.

    Args:
        spec: plain nodes ``backbone``, ``neck`` and ``head``; ``model.norm``, or in a checkpoint
            ``grouped``, says whether batch norms become group norms.
        num_classes: K.
        packages: what targets may come from.
        allow: more of them.
    """
    where: dict[str, Any] = {"packages": tuple(packages), "allow": tuple(allow)}

    def part(name: str, kind: type, **extra: Any) -> Any:
        return expect(build(spec[name], name, **where, **extra), kind, name)

    backbone: Backbone = part("backbone", Backbone)
    neck: Neck = part("neck", Neck, in_features=backbone.features)
    head: Head = part("head", Head, in_features=neck.features, num_classes=num_classes)
    model = Model(backbone, neck, head)
    grouped = _grouped(spec)
    if "backbone" in grouped and "grouped" not in spec and spec["backbone"].get("frozen_norm"):
        log.warning(
            "backbone.frozen_norm: the backbone starts at random, and so its norms stay; give "
            "backbone.weights, or set it false"
        )
    for name in grouped:
        group_norms(getattr(model, name))
    model.grouped = grouped if not backbone.grouped else ("backbone", *grouped)
    _freeze_idle(model)
    tolerate_single(model)
    return model


def _grouped(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """The parts whose batch norms become group norms: none that will have weights of their own."""
    if "grouped" in spec:
        return tuple(spec["grouped"])
    whole = spec.get("model", {})
    if whole.get("norm") != "group" or whole.get("weights", "none") != "none":
        return ()
    fresh = spec["backbone"].get("weights", "none") == "none"
    return ("backbone", "neck", "head") if fresh else ("neck", "head")


def _freeze_idle(model: Model) -> None:
    """Stop training what no map of the head's depends on: ranks would wait for its gradients."""
    parts = nn.Sequential(model.backbone, model.neck)
    behind = parameters_behind(parts, [f.name for f in model.head.used])
    for parameter in parts.parameters():
        if id(parameter) not in behind:
            parameter.requires_grad_(False)
