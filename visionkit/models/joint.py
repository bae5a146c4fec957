"""Several heads on one backbone, which runs once for all of them."""

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from visionkit.about import JOINT
from visionkit.backbones.base import Backbone
from visionkit.batch import Batch
from visionkit.build import PACKAGES, build, expect
from visionkit.data.index import DataInfo
from visionkit.errors import ConfigError
from visionkit.heads.base import Graph, Head
from visionkit.losses.weighting import FixedWeights, Weighting
from visionkit.models.base import Network, Statistics
from visionkit.models.graphs import Traceable, joint_traceable
from visionkit.models.model import Model, freeze_but, needed, use_norms
from visionkit.models.normalise import Normalise
from visionkit.necks.base import Neck
from visionkit.ops.lots import drawing_by_pictures
from visionkit.options import PredictOptions, of_part
from visionkit.results import Joint, Result

NAME = re.compile(r"[a-z][a-z0-9_]*")
"""Of a part: its name stands in dotted keys, in files and in the names of tensors."""
RESERVED = ("file", "frame", "height", "seconds", "width")
"""What is said of a picture beside its parts."""


class JointModel(Network):
    """One backbone, and for each part a neck and a head of its own.

    Args:
        backbone: gives feature maps and says what mean and std it wants.
        necks: of each part by its name, made from the backbone's maps.
        heads: of each part, in the same order, made from its neck's maps.
        weights: what the losses of each part are multiplied with; 1 where there is none.
        weighting: how training adds the losses of the parts up; None as they are.

    Attributes:
        weights: likewise.
    """

    says = JOINT

    def __init__(
        self,
        backbone: Backbone,
        necks: Mapping[str, Neck],
        heads: Mapping[str, Head],
        weights: Mapping[str, float] | None = None,
        weighting: Weighting | None = None,
    ) -> None:
        super().__init__()
        check_names(heads)
        self.normalise = Normalise(backbone.mean, backbone.std)
        self.backbone = backbone
        self.necks, self.heads = nn.ModuleDict(necks), nn.ModuleDict(heads)
        self.weights = {name: 1.0 for name in heads} | dict(weights or {})
        self.weighting = FixedWeights(tuple(heads)) if weighting is None else weighting
        self._options = PredictOptions()

    @property
    def names(self) -> tuple[str, ...]:
        """Of the parts, in order."""
        return tuple(self.heads)

    def part(self, name: str) -> Model:
        """One part as a network of its own, which shares all of its modules with this one."""
        neck, head = self.necks[name], self.heads[name]
        assert isinstance(neck, Neck)
        assert isinstance(head, Head)
        model = Model(self.backbone, neck, head)
        model.normalise = self.normalise
        return model.train(self.training)

    def parts(self) -> dict[str, Model]:
        """Every part, see :meth:`part`."""
        return {name: self.part(name) for name in self.names}

    def forward(self, images: Tensor, names: Iterable[str] | None = None) -> dict[str, Any]:
        """Return the raw output of the heads for images [B, 3, H, W], uint8 or float in 0..255.

        Args:
            images: the pictures.
            names: of the parts that are wanted; None for all.
        """
        canvas = images.shape[-2], images.shape[-1]
        maps = self.backbone(self.normalise(images))
        wanted = self.names if names is None else names
        return {name: self.heads[name](self.necks[name](maps), canvas) for name in wanted}

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
        (r, g, b), (dr, dg, db) = mean, std
        self.backbone.mean, self.backbone.std = (r, g, b), (dr, dg, db)
        self.normalise.set(mean, std)

    @property
    def calibrates(self) -> bool:  # type: ignore[override]
        """See :class:`Network`: as the heads say."""
        return any(head.calibrates for head in self._heads().values())

    @property
    def options(self) -> PredictOptions:
        """See :class:`Network`: those of all heads."""
        return self._options

    @options.setter
    def options(self, options: PredictOptions) -> None:
        self._options = options
        for head in self._heads().values():
            head.options = of_part(head.learns, options)

    def check(self, info: DataInfo) -> None:
        """See :class:`Network`: each part is labelled, and with what its head learns."""
        for name, head in self._heads().items():
            if name not in info.parts:
                raise ConfigError(_unlabelled(name, info.parts))
            with naming(name):
                head.check(info.parts[name])

    def prepare(self, info: DataInfo) -> None:
        """See :class:`Network`."""
        for name, head in self._heads().items():
            head.prepare(info.parts[name])

    def check_options(self, options: PredictOptions, canvas: tuple[int, int] | None = None) -> None:
        """See :class:`Network`: every part must be able to follow them."""
        for name, model in self.parts().items():
            with naming(name):
                model.check_options(options, canvas)

    def observe(self, images: Tensor, names: Iterable[str] | None = None) -> dict[str, Any]:
        """Do what :meth:`forward` does, looking as often as the options say."""
        options = self.options
        if options.window is None and tuple(options.scales) == (1.0,) and not options.flip:
            return self(images, names)  # type: ignore[no-any-return]
        wanted = self.names if names is None else names
        return {name: self.part(name).observe(images) for name in wanted}

    def losses(self, raw: Mapping[str, Any], batch: Batch) -> dict[str, dict[str, Tensor]]:
        """Return the losses of each part that the batch has targets for, times its weight."""
        found = {}
        for name in batch.parts:
            if name in self.heads:
                head = self.heads[name]
                assert isinstance(head, Head)
                losses = head.loss(raw[name], batch.part(name))
                found[name] = {k: self.weights[name] * v for k, v in losses.items()}
        return found

    def judge(self, batch: Batch) -> tuple[dict[str, Tensor], list[Result]]:
        """See :class:`Network`: of the parts that the batch has targets for."""
        names = [name for name in batch.parts if name in self.heads]
        return self.weigh(self.observe(batch.images, names), batch)

    def weigh(self, raw: Mapping[str, Any], batch: Batch) -> tuple[dict[str, Tensor], list[Result]]:
        """Return losses, such as ``detection/boxes``, and results from one pass.

        Learned weights don't touch these losses, so that those of two runs compare.
        """
        with drawing_by_pictures(batch):
            losses = flat(self.losses(raw, batch))
        return losses, self.say(raw, batch)

    def say(self, raw: Mapping[str, Any], batch: Batch) -> list[Result]:
        """Return what the heads' raw outputs mean, in original pixels, for each picture."""
        said = {name: self._heads()[name].predict(raw[name], batch) for name in raw}
        return [Joint({name: said[name][i] for name in said}) for i in range(len(batch))]

    @torch.no_grad()
    def predict(self, batch: Batch) -> list[Result]:
        """See :class:`Network`."""
        return self.say(self.observe(batch.images), batch)

    def traceable(self, how: Graph, canvas: tuple[int, int]) -> Traceable:
        """See :class:`Network`."""
        return joint_traceable(self, how, canvas)

    def to_calibrate(self, batch: Batch) -> tuple[Any, Batch] | None:
        """See :class:`Network`: of those parts alone whose head wants it."""
        heads = self._heads()
        mine = batch.only(name for name in batch.parts if name in heads and heads[name].calibrates)
        return (self.observe(batch.images, mine.parts), mine) if mine.parts else None

    def calibrate(self, raws: Sequence[Any], batches: Sequence[Batch]) -> None:
        """See :class:`Network`: each head that wants it, by the batches with its targets."""
        for name, head in self._heads().items():
            if head.calibrates:
                pairs = [p for p in zip(raws, batches, strict=True) if name in p[1].parts]
                head.calibrate([raw[name] for raw, _ in pairs], [b.part(name) for _, b in pairs])

    def _heads(self) -> dict[str, Head]:
        return {name: head for name, head in self.heads.items() if isinstance(head, Head)}


def build_joint(
    spec: Mapping[str, Any],
    num_classes: int | Mapping[str, int],
    *,
    packages: Sequence[str] = PACKAGES,
    allow: Sequence[str] = (),
) -> JointModel:
    """Build a joint network: the backbone, then each part from what it gives.

    Args:
        spec: plain nodes ``backbone`` and ``weighting``, and ``parts``: ``neck``, ``head`` and
            ``weight`` of each by its name. ``model.norm``, or in a checkpoint ``grouped``, says
            whether batch norms become group norms.
        num_classes: K of each part.
        packages: what targets may come from.
        allow: more of them.

    Raises:
        ConfigError: parts don't fit, or the data have no labels for one.
    """
    where: dict[str, Any] = {"packages": tuple(packages), "allow": tuple(allow)}
    parts: Mapping[str, Mapping[str, Any]] = spec["parts"]
    check_names(parts)
    known = {} if isinstance(num_classes, int) else num_classes
    for name in parts:
        if name not in known:
            raise ConfigError(_unlabelled(name, known))
    backbone: Backbone = expect(build(spec["backbone"], "backbone", **where), Backbone, "backbone")
    necks: dict[str, Neck] = {}
    heads: dict[str, Head] = {}
    for name, part in parts.items():
        path = f"parts.{name}.neck"
        made = build(part["neck"], path, **where, in_features=backbone.features)
        necks[name] = expect(made, Neck, path)
        path = f"parts.{name}.head"
        features, count = necks[name].features, known[name]
        made = build(part["head"], path, **where, in_features=features, num_classes=count)
        heads[name] = expect(made, Head, path)
    weighting = None
    if spec.get("weighting") is not None:
        made = build(spec["weighting"], "weighting", **where, names=tuple(parts))
        weighting = expect(made, Weighting, "weighting")
    weights = {name: float(part.get("weight", 1.0)) for name, part in parts.items()}
    model = JointModel(backbone, necks, heads, weights, weighting)
    use_norms(model, backbone, spec, {"neck": "necks", "head": "heads"})
    behind = {n: needed(backbone, necks[n], heads[n].used) for n in parts}
    freeze_but(backbone, set().union(*behind.values()))
    for name in parts:
        freeze_but(necks[name], behind[name])
    return model


def _unlabelled(name: str, known: Iterable[str]) -> str:
    there = ", ".join(known) or "no parts, they are of one kind"
    return (
        f"parts.{name}: the data have no labels of that name (they have {there}); choose data= "
        "with such a part, or leave it out of parts="
    )


def flat(losses: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Name losses of parts by both: ``detection/boxes``."""
    return {f"{part}/{k}": v for part, each in losses.items() for k, v in each.items()}


def check_names(names: Iterable[str]) -> None:
    """Refuse names of parts that can't stand in keys and files, or that stand for something else.

    Raises:
        ConfigError: as it says.
    """
    taken = {*RESERVED, *dir(nn.ModuleDict()), *dir(nn.ParameterDict())}
    for name in names:
        if not NAME.fullmatch(name):
            raise ConfigError(
                f"parts.{name}: a part is named by small letters, digits and _, the first a "
                "letter; rename it"
            )
        if name in taken:
            raise ConfigError(f"parts.{name}: the name stands for something else; rename the part")


@contextlib.contextmanager
def naming(part: str) -> Iterator[None]:
    """Say in errors which part they are about."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError([f"parts.{part}: {line}" for line in error.problems]) from error
