"""Pixels in, results out: normalise, backbone, neck, head."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from visionkit.backbones.base import Backbone, FeatureSpec
from visionkit.backbones.norms import group_norms, tolerate_single
from visionkit.backbones.probing import parameters_behind
from visionkit.batch import Batch
from visionkit.build import PACKAGES, build, expect
from visionkit.data.index import DataInfo
from visionkit.heads.base import Graph, Head
from visionkit.models.base import Network, Statistics
from visionkit.models.graphs import ImageGraph, Traceable, example
from visionkit.models.normalise import Normalise
from visionkit.models.views import check_views, observe
from visionkit.necks.base import Neck
from visionkit.ops.lots import drawing_by_pictures
from visionkit.options import PredictOptions
from visionkit.results import Result

log = logging.getLogger(__name__)


class Model(Network):
    """A network for one task, put together from interchangeable parts.

    Args:
        backbone: gives feature maps and says what mean and std it wants.
        neck: made from the backbone's maps.
        head: made from the neck's maps.
    """

    def __init__(self, backbone: Backbone, neck: Neck, head: Head) -> None:
        super().__init__()
        self.normalise = Normalise(backbone.mean, backbone.std)
        self.backbone, self.neck, self.head = backbone, neck, head

    def forward(self, images: Tensor) -> Any:
        """Return the head's raw output for images [B, 3, H, W], uint8 or float in 0..255."""
        x = self.normalise(images)
        return self.head(self.neck(self.backbone(x)), (images.shape[-2], images.shape[-1]))

    @property
    def says(self) -> str:  # type: ignore[override]
        """See :class:`Network`: what the head learns."""
        return self.head.learns

    @property
    def trained(self) -> tuple[nn.Module, ...]:
        """See :class:`Network`: all of it at once."""
        return (self,)

    @property
    def statistics(self) -> tuple[Statistics, Statistics]:
        """See :class:`Network`: what the backbone wants."""
        return self.backbone.mean, self.backbone.std

    def set_statistics(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """See :class:`Network`."""
        self.backbone.mean, self.backbone.std = _three(mean), _three(std)
        self.normalise.set(mean, std)

    @property
    def calibrates(self) -> bool:  # type: ignore[override]
        """See :class:`Network`: as the head says."""
        return self.head.calibrates

    @property
    def options(self) -> PredictOptions:
        """See :class:`Network`: the head's."""
        return self.head.options

    @options.setter
    def options(self, options: PredictOptions) -> None:
        self.head.options = options

    def check(self, info: DataInfo) -> None:
        """See :class:`Network`."""
        self.head.check(info)

    def prepare(self, info: DataInfo) -> None:
        """See :class:`Network`."""
        self.head.prepare(info)

    def check_options(self, options: PredictOptions, canvas: tuple[int, int] | None = None) -> None:
        """See :class:`Network`."""
        self.head.check_options(options)
        if canvas is not None:
            check_views(self, canvas, options)

    def observe(self, images: Tensor) -> Any:
        """Do what :meth:`forward` does, looking as often as the head's options say."""
        return observe(self, images, self.head.options)

    def judge(self, batch: Batch) -> tuple[dict[str, Tensor], list[Result]]:
        """See :class:`Network`."""
        return self.weigh(self.observe(batch.images), batch)

    def weigh(self, raw: Any, batch: Batch) -> tuple[dict[str, Tensor], list[Result]]:
        """Return losses and results from one pass through the network.

        What a loss draws by lot depends on the pictures of the batch alone.
        """
        with drawing_by_pictures(batch):
            losses = self.head.loss(raw, batch)
        return losses, self.head.predict(raw, batch)

    @torch.no_grad()
    def predict(self, batch: Batch) -> list[Result]:
        """See :class:`Network`."""
        return self.head.predict(self.observe(batch.images), batch)

    def traceable(self, how: Graph, canvas: tuple[int, int]) -> Traceable:
        """See :class:`Network`."""
        stride = max(f.stride for f in (*self.backbone.features, *self.neck.features))
        facts = {"suppresses": self.head.suppresses}
        for name in ("exclusive", "candidates"):  # of those heads that know them
            if hasattr(self.head, name):
                facts[name] = getattr(self.head, name)
        return Traceable(ImageGraph(self, how), example(canvas), stride, facts)

    def to_calibrate(self, batch: Batch) -> tuple[Any, Batch] | None:
        """See :class:`Network`."""
        return (self.observe(batch.images), batch) if self.calibrates else None

    def calibrate(self, raws: Sequence[Any], batches: Sequence[Batch]) -> None:
        """See :class:`Network`."""
        self.head.calibrate(raws, batches)


def _three(figures: Sequence[float]) -> Statistics:
    red, green, blue = figures
    return red, green, blue


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
    use_norms(model, backbone, spec)
    freeze_idle(backbone, neck, head.used)
    return model


def use_norms(
    model: Network,
    backbone: Backbone,
    spec: Mapping[str, Any],
    attributes: Mapping[str, str] | None = None,
) -> None:
    """Make group norms of the batch norms that a specification says; see :func:`build_model`.

    Args:
        model: as built.
        backbone: the model's.
        spec: plain.
        attributes: what the model calls a part of the specification, where it isn't its name.
    """
    grouped = tuple((attributes or {}).get(name, name) for name in parts_to_group(spec))
    if "backbone" in grouped and "grouped" not in spec and spec["backbone"].get("frozen_norm"):
        log.warning(
            "backbone.frozen_norm: the backbone starts at random, and so its norms stay; give "
            "backbone.weights, or set it false"
        )
    for name in grouped:
        group_norms(getattr(model, name))
    model.grouped = grouped if not backbone.grouped else ("backbone", *grouped)
    tolerate_single(model)


def parts_to_group(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """The parts whose batch norms become group norms: none that will have weights of their own."""
    if "grouped" in spec:
        return tuple(spec["grouped"])
    whole = spec.get("model", {})
    if whole.get("norm") != "group" or whole.get("weights", "none") != "none":
        return ()
    fresh = spec["backbone"].get("weights", "none") == "none"
    return ("backbone", "neck", "head") if fresh else ("neck", "head")


def freeze_idle(backbone: Backbone, neck: Neck, used: Sequence[FeatureSpec]) -> None:
    """Stop training what no map of the head's depends on: ranks would wait for its gradients."""
    freeze_but(nn.Sequential(backbone, neck), needed(backbone, neck, used))


def needed(backbone: Backbone, neck: Neck, used: Sequence[FeatureSpec]) -> set[int]:
    """Return the ids of the parameters that the maps of a head depend on."""
    return parameters_behind(nn.Sequential(backbone, neck), [f.name for f in used])


def freeze_but(module: nn.Module, ids: set[int]) -> None:
    """Stop training all parameters but those with the given ids."""
    for parameter in module.parameters():
        if id(parameter) not in ids:
            parameter.requires_grad_(False)
