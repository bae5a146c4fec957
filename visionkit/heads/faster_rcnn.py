"""Two-stage detection: proposals, then classes and boxes of each (Ren et al. 2015)."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from visionkit.argtypes import Amount, Part, Positive, Range
from visionkit.backbones.base import FeatureSpec, pick
from visionkit.batch import Batch
from visionkit.errors import ConfigError
from visionkit.heads import rcnn_checks
from visionkit.heads.base import Graph, Head
from visionkit.heads.boxes import box_outputs, in_pictures
from visionkit.heads.rcnn_proposals import Anchored, ProposalNetwork, proposal_losses, propose
from visionkit.heads.rcnn_stage import BoxLoss, BoxNorm, BoxStage, Found
from visionkit.ops.anchors import anchor_grid
from visionkit.ops.assignment import Padded, pad_targets
from visionkit.ops.box_coding import Weights, clip_boxes, decode_boxes, has_area
from visionkit.ops.boxes import Decoded, suppress
from visionkit.ops.regions import pool_regions
from visionkit.ops.sampling import best_object, sample
from visionkit.ops.soft_nms import soft_suppress
from visionkit.results import Detections

BOX_WEIGHTS: Weights = (10.0, 10.0, 5.0, 5.0)
COARSEST = 32
"""Stride of the coarsest map that boxes are looked at on."""
BINS = 7
"""Rows and columns of a box's features."""
LEAST_SIDE = 1e-2
"""Of a box that is found, in pixels."""
_Iou = Annotated[float, Range(0.01, 0.99)]


@dataclass(frozen=True)
class RcnnRaw:
    """All that the head computes without targets.

    Attributes:
        features: the maps that boxes are looked at on.
        said: by the proposal network.
    """

    features: tuple[Tensor, ...]
    said: Anchored


def _in_full(device: str) -> contextlib.AbstractContextManager[None]:
    """Compute in float32; programs do so anyway, and can't be loaded with such a region."""
    if torch.compiler.is_exporting():
        return contextlib.nullcontext()
    return torch.autocast(device, enabled=False)


class FasterRcnnHead(Head):
    """Faster R-CNN on a feature pyramid (Ren et al. 2015, Lin et al. 2017).

    A proposal network says of anchors on every map whether there is an object; what is pooled from
    the best proposals tells classes and boxes.

    With ``cascade_ious`` there are several box heads (Cai and Vasconcelos 2018): each moves the
    boxes that the next one looks at, learns from those that overlap an object by its own IoU, and
    counts half as much as the one before it. The classes' probabilities are averaged.

    With batch norms in the box head (``box_head=conv norm=batch``) losses and results aren't the
    same in training mode, where those norms take the statistics of the boxes at hand.

    Args:
        in_features: the maps to choose from, with the same number of channels.
        num_classes: K.
        strides: of the maps with anchors; boxes are looked at on those of stride 32 or less.
        anchor_sizes: of the anchors of each map, in pixels; None for 8 strides.
        anchor_ratios: heights over widths of a cell's anchors.
        rpn_convs: 3x3 convolutions of the proposal network.
        rpn_nms_iou: of two proposals that overlap by more than this one stays.
        rpn_samples: anchors of each picture that the proposal network learns from; at most half of
            them are objects.
        proposals: boxes of each picture that are looked at.
        train_proposals: boxes of each picture that those to learn from are chosen from.
        samples: boxes of each picture that the box head learns from.
        positives: at most this part of them are objects.
        box_head: see :class:`BoxStage`.
        representation: width of its hidden layers.
        norm: of its convolutions.
        class_agnostic: whether all classes share their boxes.
        box_loss: ``smooth_l1`` of the offsets or ``giou`` of the boxes.
        box_gain: weight of that loss.
        cascade_ious: for each box head, ascending, the IoU of a box with its object; None for a
            single one with 0.5.
        soft_nms: lower scores of overlapping boxes instead of removing them, in :meth:`predict`.
        soft_sigma: of the ``gaussian``; the more, the less overlaps matter.
        score_floor: boxes of lower scores are never found.
        candidates: the best boxes of a picture that :meth:`decode` gives.
    """

    learns = "boxes"

    def __init__(
        self,
        in_features: Sequence[FeatureSpec],
        num_classes: int,
        strides: Sequence[Positive] = (4, 8, 16, 32, 64),
        anchor_sizes: Sequence[Annotated[float, Range(1)]] | None = None,
        anchor_ratios: Sequence[Annotated[float, Range(0.01, 100)]] = (0.5, 1.0, 2.0),
        rpn_convs: Positive = 1,
        rpn_nms_iou: Part = 0.7,
        rpn_samples: Annotated[int, Range(2)] = 256,
        proposals: Positive = 1000,
        train_proposals: Positive = 2000,
        samples: Positive = 512,
        positives: Part = 0.25,
        box_head: Literal["mlp", "conv"] = "mlp",
        representation: Positive = 1024,
        norm: BoxNorm = "batch",
        class_agnostic: bool = False,
        box_loss: BoxLoss = "smooth_l1",
        box_gain: Amount = 1.0,
        cascade_ious: Sequence[_Iou] | None = None,
        soft_nms: Literal["none", "linear", "gaussian"] = "none",
        soft_sigma: Annotated[float, Range(0.01)] = 0.5,
        score_floor: Part = 0.01,
        candidates: Positive = 1000,
    ) -> None:
        super().__init__(in_features, num_classes)
        self.used = pick(in_features, strides, "head")
        channels = rcnn_checks.shared_channels(self.used)
        self.pooled = [f for f in self.used if f.stride <= COARSEST] or list(self.used[:1])
        self.sizes = rcnn_checks.anchor_sizes(anchor_sizes, strides)
        self.ratios = rcnn_checks.anchor_ratios(anchor_ratios)
        self.rpn_nms_iou, self.rpn_samples = rpn_nms_iou, rpn_samples
        self.proposals, self.train_proposals = proposals, train_proposals
        self.samples, self.positives = samples, rcnn_checks.most_positives(samples, positives)
        self.box_loss, self.box_gain = box_loss, box_gain
        self.soft_nms, self.soft_sigma = soft_nms, soft_sigma
        self.score_floor, self.candidates = score_floor, candidates
        self.ious = rcnn_checks.box_ious(cascade_ious)
        self.rpn = ProposalNetwork(channels, len(self.ratios), rpn_convs)
        self.stages = nn.ModuleList(
            BoxStage(
                channels, BINS, num_classes, box_head, representation, norm, class_agnostic,
                weights=tuple(w * n for w in BOX_WEIGHTS),  # type: ignore[arg-type]
            )
            for n in range(1, len(self.ious) + 1)
        )  # fmt: skip

    def forward(self, features: dict[str, Tensor], canvas: tuple[int, int]) -> RcnnRaw:
        """See :class:`Head`."""
        maps = [features[f.name] for f in self.used]
        grids = [(x.shape[-2], x.shape[-1]) for x in maps]
        anchors = anchor_grid(
            grids, [f.stride for f in self.used], self.sizes, self.ratios, maps[0].device
        )
        counts = tuple(rows * columns * len(self.ratios) for rows, columns in grids)
        objectness, deltas = self.rpn(maps)
        said = Anchored(objectness, deltas, anchors, counts, canvas)
        return RcnnRaw(tuple(features[f.name] for f in self.pooled), said)

    def box_heads(self) -> list[BoxStage]:
        """Return :attr:`stages` by their type."""
        return [stage for stage in self.stages if isinstance(stage, BoxStage)]

    def look(
        self, stage: BoxStage, raw: RcnnRaw, boxes: Tensor, image: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return class logits and offsets, as :class:`BoxStage` gives them, of boxes [R, 4]."""
        strides = [f.stride for f in self.pooled]
        pooled, order = pool_regions(raw.features, strides, boxes, image, BINS)
        said: tuple[Tensor, Tensor] = stage(pooled, order)
        return said

    def loss(self, raw: RcnnRaw, batch: Batch) -> dict[str, Tensor]:
        """See :class:`Head`. Keys ``objectness``, ``rpn_box``, ``class``, ``box``.

        In a cascade ``class1``, ``box1``, ``class2`` ... for the last two.
        """
        truth = pad_targets(batch.boxes, len(batch), least=1)
        with torch.autocast(raw.said.anchors.device.type, enabled=False):
            objectness, rpn_box = proposal_losses(
                raw.said, truth, (0.7, 0.3), self.rpn_samples, 0.5
            )
            boxes, image, overlap, slot = self._to_learn_from(raw, truth)
        losses = {"objectness": objectness, "rpn_box": rpn_box}
        for n, (stage, iou) in enumerate(zip(self.box_heads(), self.ious, strict=True)):
            logits, deltas = self.look(stage, raw, boxes, image)
            with torch.autocast(boxes.device.type, enabled=False):
                label = torch.where(overlap >= iou, truth.labels[image, slot] + 1, 0)
                objects = truth.boxes[image, slot]
                classes, box = stage.losses(logits, deltas, boxes, label, objects, self.box_loss)
                suffix = str(n + 1) if len(self.stages) > 1 else ""
                losses[f"class{suffix}"] = classes * 0.5**n
                losses[f"box{suffix}"] = box * (self.box_gain * 0.5**n)
                if n + 1 < len(self.stages):
                    boxes = stage.refine(logits, deltas, boxes, raw.said.canvas)
                    best = best_object(boxes[:, None], truth.boxes[image], truth.real[image])
                    overlap, slot = best[0][:, 0], best[1][:, 0]
        return losses

    @torch.no_grad()
    def _to_learn_from(self, raw: RcnnRaw, truth: Padded) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Sample boxes [R, 4] of pictures [R], with the IoU and the slot of each's best object."""
        count = self.train_proposals
        boxes, real = propose(raw.said, count, count, self.rpn_nms_iou)
        boxes, real = torch.cat([boxes, truth.boxes], 1), torch.cat([real, truth.real], 1)
        overlap, slot = best_object(boxes, truth.boxes, truth.real)
        positive = real & (overlap >= self.ious[0])
        chosen = sample(positive, real & ~positive, self.samples, self.positives)
        image, which = chosen.taken.nonzero(as_tuple=True)
        place = chosen.place[image, which]
        return boxes[image, place], image, overlap[image, place], slot[image, place]

    def decode(self, raw: RcnnRaw) -> Decoded:
        """Return the best ``candidates`` boxes of each picture, not suppressed.

        Where there are fewer above ``score_floor``, the scores of the rest are -1.
        """
        with _in_full(raw.said.anchors.device.type):
            boxes, real = propose(raw.said, self.proposals, self.proposals, self.rpn_nms_iou)
        pictures, count = real.shape
        image = torch.arange(pictures, device=boxes.device)[:, None].expand(-1, count).reshape(-1)
        row = torch.arange(image.shape[0], device=boxes.device)
        boxes = boxes.flatten(0, 1)
        # proposals that aren't there aren't looked at, unless shapes must be fixed
        if not torch.compiler.is_compiling() and bool(real.any()):
            seen = real.flatten().nonzero()[:, 0]
            boxes, image = boxes[seen], image[seen]
            row[seen] = row[: len(seen)].clone()
            row.clamp_(max=len(seen) - 1)
        found = self._refined(raw, boxes, image)
        with _in_full(boxes.device.type):
            scores = torch.where(real.flatten()[:, None], found.scores[row], -1.0)
            scores = scores.view(pictures, -1)
            scores = torch.where(scores >= self.score_floor, scores, -1.0)
            best, index = scores.topk(min(self.candidates, scores.shape[1]), 1)
            labels = index % self.num_classes
            start = torch.arange(pictures, device=boxes.device)[:, None] * count
            chosen = row[index // self.num_classes + start]
            deltas = found.deltas[chosen, labels + 1 if found.deltas.shape[1] > 1 else 0]
            boxes = decode_boxes(deltas, found.boxes[chosen], found.weights)
            boxes = clip_boxes(boxes, raw.said.canvas)
            best = torch.where(has_area(boxes, LEAST_SIDE), best, -1.0)
            best, order = best.topk(best.shape[1], 1)
            boxes = boxes.gather(1, order[..., None].expand(-1, -1, 4))
            return Decoded(boxes, best, labels.gather(1, order))

    def _refined(self, raw: RcnnRaw, boxes: Tensor, image: Tensor) -> Found:
        """Look at boxes [R, 4] of pictures [R] with one box head after the other."""
        total = boxes.new_zeros(boxes.shape[0], self.num_classes + 1)
        for n, stage in enumerate(self.box_heads()):
            logits, deltas = self.look(stage, raw, boxes, image)
            total = total + logits.softmax(1)
            if n + 1 < len(self.stages):
                boxes = stage.refine(logits, deltas, boxes, raw.said.canvas)
        return Found(boxes, deltas, total[:, 1:] / len(self.stages), stage.weights)

    def outputs(self, raw: RcnnRaw, how: Graph) -> dict[str, Tensor]:
        """See :class:`Head`. What is said of proposals isn't given raw."""
        if how.decode == "raw":
            raise ConfigError(
                "decode: a two-stage head says nothing of fixed places; choose nms or topk"
            )
        if self.soft_nms != "none":
            raise ConfigError(
                "decode: head.soft_nms has no operator in exported files, which would not be the "
                "model that was evaluated; train or evaluate with head.soft_nms=none"
            )
        return box_outputs(self.decode(raw), self.num_classes, how)._asdict()

    @torch.no_grad()
    def predict(self, raw: RcnnRaw, batch: Batch) -> list[Detections]:  # type: ignore[override]
        """See :class:`Head`."""
        o, decoded = self.options, self.decode(raw)
        if self.soft_nms == "none":
            found = suppress(decoded, o.confidence, o.iou, o.max_detections)
        else:
            found = soft_suppress(
                decoded, o.confidence, o.iou, o.max_detections, self.soft_nms, self.soft_sigma
            )
        return in_pictures(found, batch)
