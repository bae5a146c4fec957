"""A YOLO-style dense detector: decoupled, anchor-free, task-aligned."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, cast

import torch
from torch import Tensor, nn

from visionkit.argtypes import Amount, Positive, Range
from visionkit.backbones.base import FeatureSpec, pick
from visionkit.backbones.layers import ConvNorm, SeparableConv
from visionkit.batch import Batch
from visionkit.heads.base import Graph, Head
from visionkit.heads.boxes import best_of, box_outputs, in_pictures
from visionkit.losses.detection import distribution_focal, soft_bce
from visionkit.ops.assignment import Padded, pad_targets, task_aligned
from visionkit.ops.boxes import (
    Decoded,
    boxes_from_distances,
    complete_iou,
    grid_points,
    suppress,
)
from visionkit.ops.distributed import normaliser
from visionkit.results import Detections

MOST_PRIOR = 0.06
"""With 80 classes at 0.01 each, the first loss would be almost all background."""


@dataclass(frozen=True)
class Dense:
    """What one branch says at each of A points.

    Attributes:
        sides: [B, A, 4, R] logits over the distance to each side, in strides 0..R-1.
        classes: [B, A, K] logits.
    """

    sides: Tensor
    classes: Tensor


@dataclass(frozen=True)
class YoloRaw:
    """All that the head computes without targets.

    Attributes:
        many: the branch with several points an object.
        one: the branch with one point an object, if there is one.
        points: [A, 2] x and y in canvas pixels.
        strides: [A] pixels.
    """

    many: Dense
    one: Dense | None
    points: Tensor
    strides: Tensor


class Branch(nn.Module):
    """Separate box and class convolutions on each map.

    Args:
        features: the maps.
        num_classes: K.
        bins: R.
        prior: probability of each class at a point before training (Lin et al. 2017), lowered if
            need be so that all classes together have no more than :data:`MOST_PRIOR`.
    """

    def __init__(
        self, features: Sequence[FeatureSpec], num_classes: int, bins: int, prior: float
    ) -> None:
        super().__init__()
        self.bins = bins
        self.names = [f.name for f in features]
        narrowest = min(f.channels for f in features)
        box_width = max(16, narrowest // 4 * 4, 4 * bins // 2)
        class_width = max(narrowest, min(num_classes, 128))
        self.sides = nn.ModuleList(
            nn.Sequential(
                ConvNorm(f.channels, box_width, 3),
                ConvNorm(box_width, box_width, 3),
                nn.Conv2d(box_width, 4 * bins, 1),
            )
            for f in features
        )
        self.classes = nn.ModuleList(
            nn.Sequential(
                SeparableConv(f.channels, class_width),
                SeparableConv(class_width, class_width),
                nn.Conv2d(class_width, num_classes, 1),
            )
            for f in features
        )
        prior = min(prior, MOST_PRIOR / num_classes)
        # the first boxes reach about one and a half cells to each side
        slope = -torch.arange(bins, dtype=torch.float32) / 2
        for bias, layers in (
            (slope.repeat(4), self.sides),
            (torch.full((num_classes,), -math.log((1 - prior) / prior)), self.classes),
        ):
            for layer in layers:
                last = cast(nn.Conv2d, cast(nn.Sequential, layer)[-1])
                nn.init.normal_(last.weight, std=0.01)
                cast(Tensor, last.bias).data.copy_(bias)

    def forward(self, maps: Sequence[Tensor]) -> Dense:
        """Flatten the predictions of all maps."""
        sides = [layer(x).flatten(2) for layer, x in zip(self.sides, maps, strict=True)]
        classes = [layer(x).flatten(2) for layer, x in zip(self.classes, maps, strict=True)]
        flat = torch.cat(sides, 2).transpose(1, 2).contiguous()
        return Dense(
            sides=flat.view(*flat.shape[:2], 4, self.bins),
            classes=torch.cat(classes, 2).transpose(1, 2),
        )


class YoloHead(Head):
    """Decoupled anchor-free detection.

    With task-aligned assignment (Feng et al. 2021), CIoU (Zheng et al. 2020) and distribution focal
    loss (Li et al. 2020).

    With ``one_to_one`` a second branch learns one point an object, on features whose gradient is
    stopped, and its boxes need no suppression (Wang et al. 2024).

    Args:
        in_features: the maps to choose from.
        num_classes: K.
        strides: of the maps used.
        bins: R, the distance to a side is spread over 0..R-1 strides.
        topk: points for each object.
        alpha: power of the score in the assignment.
        beta: power of the overlap in the assignment.
        box_gain: weight of the CIoU loss.
        class_gain: weight of the class loss.
        dfl_gain: weight of the distribution focal loss.
        one_to_one: whether to train and use the branch without suppression.
        prior: probability of each class at a point before training, see :class:`Branch`.
        candidates: the best boxes of a picture that :meth:`decode` gives.
    """

    learns = "boxes"

    def __init__(
        self,
        in_features: Sequence[FeatureSpec],
        num_classes: int,
        strides: Sequence[int] = (8, 16, 32),
        bins: Annotated[int, Range(2)] = 16,
        topk: Positive = 10,
        alpha: Amount = 0.5,
        beta: Amount = 6.0,
        box_gain: Amount = 7.5,
        class_gain: Amount = 0.5,
        dfl_gain: Amount = 1.5,
        one_to_one: bool = False,
        prior: Annotated[float, Range(1e-6, 0.999999)] = 0.01,
        candidates: Positive = 1000,
    ) -> None:
        super().__init__(in_features, num_classes)
        self.used = pick(in_features, strides, "head")
        self.bins, self.topk, self.alpha, self.beta = bins, topk, alpha, beta
        self.gains = {"box": box_gain, "class": class_gain, "dfl": dfl_gain}
        self.candidates = candidates
        self.many = Branch(self.used, num_classes, bins, prior)
        self.one = Branch(self.used, num_classes, bins, prior) if one_to_one else None
        self.suppresses = not one_to_one
        self.register_buffer("reach", torch.arange(bins, dtype=torch.float32), persistent=False)
        self.reach: Tensor

    def forward(self, features: dict[str, Tensor], canvas: tuple[int, int]) -> YoloRaw:
        """See :class:`Head`."""
        maps = [features[f.name] for f in self.used]
        points, strides = grid_points(
            [(x.shape[-2], x.shape[-1]) for x in maps],
            [f.stride for f in self.used],
            maps[0].device,
        )
        one = self.one([x.detach() for x in maps]) if self.one is not None else None
        return YoloRaw(self.many(maps), one, points, strides)

    def boxes(self, sides: Tensor, points: Tensor, strides: Tensor) -> Tensor:
        """Expected boxes [..., A, 4] in canvas pixels, float32, of logits [..., A, 4, R]."""
        # a sum, not a matrix product, which autocast would make bfloat16
        distances = (sides.float().softmax(-1) * self.reach).sum(-1)
        return boxes_from_distances(points, distances * strides[..., None])

    def loss(self, raw: YoloRaw, batch: Batch) -> dict[str, Tensor]:
        """See :class:`Head`. Keys ``box``, ``class``, ``dfl``; with ``one_`` for that branch."""
        with torch.autocast(raw.points.device.type, enabled=False):
            truth = pad_targets(batch.boxes, len(batch))
            losses = self._branch_loss(raw.many, raw, truth, self.topk)
            if raw.one is not None:
                one = self._branch_loss(raw.one, raw, truth, 1)
                losses |= {f"one_{name}": value for name, value in one.items()}
        return losses

    def _branch_loss(
        self, dense: Dense, raw: YoloRaw, truth: Padded, topk: int
    ) -> dict[str, Tensor]:
        logits = dense.classes.float()
        match = task_aligned(
            logits.detach().sigmoid(),
            self.boxes(dense.sides.detach(), raw.points, raw.strides),
            raw.points,
            truth,
            topk=topk,
            alpha=self.alpha,
            beta=self.beta,
            min_side=float(self.used[0].stride),
        )
        wanted = torch.zeros_like(logits)
        image, point = match.positive.nonzero(as_tuple=True)
        slot = match.target[image, point]
        quality = match.quality[image, point]
        wanted[image, point, truth.labels[image, slot]] = quality
        total = normaliser(quality.sum(), 1.0)

        true_boxes = truth.boxes[image, slot]
        sides = dense.sides[image, point].float()
        centre, stride = raw.points[point], raw.strides[point]
        iou = complete_iou(self.boxes(sides, centre, stride), true_boxes)
        iou_loss = ((1 - iou) * quality).sum()
        distances = torch.cat([centre - true_boxes[:, :2], true_boxes[:, 2:] - centre], 1)
        dfl = (distribution_focal(sides, distances / stride[:, None]) * quality).sum()
        # an empty selection of a tensor still carries its gradient, a zero one
        parts = {"box": iou_loss, "class": soft_bce(logits, wanted), "dfl": dfl}
        return {name: value / total * self.gains[name] for name, value in parts.items()}

    def decode(self, raw: YoloRaw) -> Decoded:
        """Return the best ``candidates`` boxes of each picture, not suppressed."""
        dense = raw.one if raw.one is not None else raw.many
        scores = dense.classes.float().sigmoid()
        best, index = best_of(scores.flatten(1), self.candidates)
        point = index // self.num_classes
        # not by len(), which would fix the size of the batch in a graph
        row = torch.arange(point.shape[0], device=point.device)[:, None]
        boxes = self.boxes(dense.sides[row, point], raw.points[point], raw.strides[point])
        return Decoded(boxes, best, index % self.num_classes)

    def outputs(self, raw: YoloRaw, how: Graph) -> dict[str, Tensor]:
        """See :class:`Head`. The branch with one point an object needs no suppression."""
        if how.decode != "raw":
            found = box_outputs(self.decode(raw), self.num_classes, how, self.suppresses)
            return found._asdict()
        dense = raw.one if raw.one is not None else raw.many
        boxes = self.boxes(dense.sides, raw.points, raw.strides)
        return {"boxes": boxes, "scores": dense.classes.float().sigmoid()}

    @torch.no_grad()
    def predict(self, raw: YoloRaw, batch: Batch) -> list[Detections]:  # type: ignore[override]
        """See :class:`Head`."""
        options = self.options
        iou = 1.0 if raw.one is not None else options.iou
        found = suppress(self.decode(raw), options.confidence, iou, options.max_detections)
        return in_pictures(found, batch)
