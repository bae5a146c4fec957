"""What a whole picture shows: pooled maps and a linear layer."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visionkit.argtypes import Amount, Count, Range
from visionkit.backbones.base import FeatureSpec, pick
from visionkit.batch import Batch
from visionkit.data.index import DataInfo
from visionkit.errors import ConfigError
from visionkit.heads.base import Graph, Head
from visionkit.losses.classification import balance, binary, categorical, weigh
from visionkit.ops.confidence import fit_temperature, mean_logits, probabilities
from visionkit.ops.distributed import normaliser
from visionkit.results import Classification

ACTIVATIONS = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "hardswish": nn.Hardswish,
}


@dataclass(frozen=True)
class ClassRaw:
    """All that the head computes without targets.

    Attributes:
        logits: [B, K], before the temperature.
    """

    logits: Tensor


class DecodedClasses(NamedTuple):
    """What an exported classifier gives.

    Attributes:
        probabilities: [B, K] float32.
    """

    probabilities: Tensor


class GeM(nn.Module):
    """The generalised mean over a map's cells, with a learnt power (Radenovic et al. 2018).

    Power 1 is the average of what is positive, a large one the maximum. It is learnt by its
    logarithm, so that it stays positive.
    """

    def __init__(self, power: float = 3.0) -> None:
        super().__init__()
        self.log_power = nn.Parameter(torch.full((1,), math.log(power)))

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] to [B, C], computed in float32 by logarithms: powers overflow."""
        power = self.log_power.float().exp()
        logs = x.flatten(2).float().clamp(min=1e-6).log()
        logs = power * logs
        most = logs.amax(2, keepdim=True)
        mean = (logs - most).exp().mean(2).log() + most[..., 0]
        return (mean / power).exp().to(x.dtype)


class ClassificationHead(Head):
    """Pool, drop out, classify.

    With ``activation=softmax`` and ``cross_entropy`` or ``focal`` the logits compete, and
    probabilities are their softmax. With ``activation=sigmoid`` each class stands by itself: the
    likelihood of a sigmoid is binary, so ``cross_entropy`` is then the same as ``bce``, and
    ``focal`` binary too.

    With ``activation=softmax`` and ``bce`` each logit learns the odds of its class against all
    others (Wightman et al. 2021). Its sigmoid is then the class's probability, and those of a
    perfect model sum to 1: so they are divided by their sum. A softmax of such logits would be too
    sure, for it takes odds for probabilities. The order of the classes is the same either way.

    Args:
        in_features: the maps to choose from.
        num_classes: K.
        strides: of the maps that are pooled, and concatenated; None for the coarsest alone.
        pool: ``average``, ``max`` or ``gem`` (see :class:`GeM`).
        norm: whether a layer norm follows the pooling: for backbones that end without a norm, as
            ConvNeXt does, and for several maps of different scale.
        hidden: width of a layer before the last; 0 for none.
        hidden_activation: of that layer.
        dropout: part of the last layer's inputs that is dropped in training.
        activation: ``softmax``: a picture has one class; ``sigmoid``: it may have several, or none.
        loss: as above; ``focal`` is that of Lin et al. (2017).
        label_smoothing: part of the target that is shared by all classes.
        focal_gamma: power of the focal loss.
        class_weights: see :func:`visionkit.losses.classification.balance`; ``none`` for alike.
        calibrate: fit a temperature after training (Guo et al. 2017).
        prior: with sigmoids, the probability of each class before training (Lin et al. 2017); None
            for 1 / K, at most 1/2. A softmax starts without any.
    """

    learns = "classes"
    averages = True

    def __init__(
        self,
        in_features: Sequence[FeatureSpec],
        num_classes: int,
        strides: Sequence[int] | None = None,
        pool: Literal["average", "max", "gem"] = "average",
        norm: bool = False,
        hidden: Count = 0,
        hidden_activation: Literal["relu", "tanh", "silu", "gelu", "hardswish"] = "relu",
        dropout: Annotated[float, Range(0, 0.95)] = 0.0,
        activation: Literal["softmax", "sigmoid"] = "softmax",
        loss: Literal["cross_entropy", "bce", "focal"] = "cross_entropy",
        label_smoothing: Annotated[float, Range(0, 0.95)] = 0.0,
        focal_gamma: Amount = 2.0,
        class_weights: Literal["none", "balanced", "effective"] = "none",
        calibrate: bool = False,
        prior: Annotated[float, Range(1e-6, 0.999999)] | None = None,
    ) -> None:
        super().__init__(in_features, num_classes)
        coarsest = max(self.in_features, key=lambda f: f.stride)
        self.used = [coarsest] if strides is None else pick(in_features, strides, "head")
        self.exclusive = activation == "softmax"
        self.binary = not self.exclusive or loss == "bce"
        self.label_smoothing = label_smoothing
        self.gamma = focal_gamma if loss == "focal" else 0.0
        self.balancing = class_weights
        self.calibrates = calibrate
        self.pool = pool
        self.gems = nn.ModuleList(GeM() for _ in self.used if pool == "gem")
        width = sum(f.channels for f in self.used)
        layers: list[nn.Module] = [nn.LayerNorm(width)] if norm else []
        if hidden:
            layers += [nn.Linear(width, hidden), ACTIVATIONS[hidden_activation]()]
        if dropout:
            layers.append(nn.Dropout(dropout))
        self.layers = nn.Sequential(*layers)
        self.classes = nn.Linear(hidden or width, num_classes)
        # small, so that the first loss is that of chance, but not zero: the trunk learns at once
        nn.init.trunc_normal_(self.classes.weight, std=0.02)
        prior = min(0.5, 1 / num_classes) if prior is None else prior
        start = -math.log((1 - prior) / prior) if self.binary else 0.0
        nn.init.constant_(self.classes.bias, start)
        self.register_buffer("class_weights", torch.ones(num_classes))
        self.register_buffer("temperature", torch.ones(()))
        self.class_weights: Tensor
        self.temperature: Tensor

    def forward(self, features: dict[str, Tensor], canvas: tuple[int, int]) -> ClassRaw:
        """See :class:`Head`."""
        maps = [features[f.name] for f in self.used]
        if self.pool == "average":
            pooled = [x.mean((2, 3)) for x in maps]
        elif self.pool == "max":
            pooled = [x.amax((2, 3)) for x in maps]
        else:
            pooled = [gem(x) for gem, x in zip(self.gems, maps, strict=True)]
        return ClassRaw(self.classes(self.layers(torch.cat(pooled, 1))))

    def loss(self, raw: ClassRaw, batch: Batch) -> dict[str, Tensor]:
        """See :class:`Head`. Key ``class``: the mean over pictures, weighted if classes are."""
        with torch.autocast(raw.logits.device.type, enabled=False):
            targets, weights = batch.labels.values.float(), self.class_weights.float()
            wanted = weigh(targets, weights, self.label_smoothing, self.exclusive)
            per_picture = binary if self.binary else categorical
            total = normaliser(wanted.total, 1e-6)
            return {"class": per_picture(raw.logits.float(), wanted, self.gamma).sum() / total}

    def decode(self, raw: ClassRaw) -> DecodedClasses:
        """See :class:`Head`."""
        logits = raw.logits.float() / self.temperature.float()
        return DecodedClasses(probabilities(logits, self.exclusive, self.binary))

    def outputs(self, raw: ClassRaw, how: Graph) -> dict[str, Tensor]:
        """See :class:`Head`. Raw are logits whose softmax or sigmoid are the probabilities."""
        if how.decode == "raw":
            logits = raw.logits.float() / self.temperature.float()
            odds = self.exclusive and self.binary  # each against all others
            return {"logits": F.logsigmoid(logits) if odds else logits}
        return self.decode(raw)._asdict()

    @torch.no_grad()
    def predict(self, raw: ClassRaw, batch: Batch) -> list[Classification]:  # type: ignore[override]
        """See :class:`Head`."""
        return [
            Classification(row, exclusive=self.exclusive, confidence=self.options.confidence)
            for row in self.decode(raw).probabilities.cpu().numpy()
        ]

    def check(self, info: DataInfo) -> None:
        """See :class:`Head`. Refuses classes that the activation can't tell, too."""
        super().check(info)
        if self.exclusive and not info.exclusive:
            raise ConfigError(
                "head.activation: pictures of this set may have several classes; "
                "choose head.activation=sigmoid"
            )
        if info.exclusive and self.num_classes == 1:
            raise ConfigError(
                f"data: there is a single class ({info.classes[0]}), so every picture is of it; "
                "add a class of other pictures"
            )

    def prepare(self, info: DataInfo) -> None:
        """See :class:`Head`. Weighs the classes, and forgets a loaded model's temperature."""
        if self.balancing == "none":
            self.class_weights.fill_(1.0)
        else:
            self.class_weights.copy_(balance(info.counts, self.balancing))
        self.temperature.fill_(1.0)

    def average(self, raws: Sequence[ClassRaw], mirrored: Sequence[bool]) -> ClassRaw:
        """See :class:`Head`. Probabilities are averaged before the temperature."""
        return ClassRaw(mean_logits(torch.stack([r.logits.float() for r in raws]), self.binary))

    @torch.no_grad()
    def calibrate(self, raws: Sequence[ClassRaw], batches: Sequence[Batch]) -> None:
        """See :class:`Head`. Sets the temperature; the order of classes stays."""
        if raws:
            logits = torch.cat([r.logits.float() for r in raws])
            targets = torch.cat([b.labels.values for b in batches])
            self.temperature.fill_(fit_temperature(logits, targets, self.exclusive, self.binary))
