"""The second stage of a two-stage detector: what is in a box, and where exactly?"""

import math
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visionkit.losses.detection import smooth_offsets
from visionkit.ops.box_coding import Weights, clip_boxes, decode_boxes, encode_boxes
from visionkit.ops.boxes import generalised_iou
from visionkit.ops.distributed import normaliser

CONVS = 4
BACKGROUND = 0.75
"""Part of a sample of boxes that shows no object."""

BoxNorm = Literal["batch", "group", "none"]
BoxLoss = Literal["smooth_l1", "giou"]


class Found(NamedTuple):
    """What the box heads say of R boxes.

    Attributes:
        boxes: [R, 4] that the last one looked at.
        deltas: [R, K + 1 or 1, 4], its offsets.
        scores: [R, K], the mean over all.
        weights: of the offsets.
    """

    boxes: Tensor
    deltas: Tensor
    scores: Tensor
    weights: Weights


class BoxStage(nn.Module):
    """Classes and offsets of boxes (Girshick 2015) from their pooled features.

    Class 0 is the background, so class k of the data is k + 1 here.

    Args:
        channels: C of the features.
        size: rows and columns of their bins.
        num_classes: K.
        kind: ``mlp``: two hidden layers; ``conv``: four 3x3 convolutions and one hidden layer
            (Wu and He 2018).
        width: of the hidden layers.
        norm: behind the convolutions; ``batch`` in training mode takes the statistics of the
            boxes at hand.
        class_agnostic: whether all classes share their offsets.
        weights: of the offsets, see :data:`visionkit.ops.box_coding.Weights`.
    """

    def __init__(
        self,
        channels: int,
        size: int,
        num_classes: int,
        kind: Literal["mlp", "conv"],
        width: int,
        norm: BoxNorm,
        class_agnostic: bool,
        weights: Weights,
    ) -> None:
        super().__init__()
        self.weights = weights
        layers: list[nn.Module] = []
        if kind == "conv":
            layers += [_block(channels, norm) for _ in range(CONVS)]
        layers += [nn.Flatten(), nn.Linear(channels * size**2, width), nn.ReLU(inplace=True)]
        if kind == "mlp":
            layers += [nn.Linear(width, width), nn.ReLU(inplace=True)]
        self.trunk = nn.Sequential(*layers)
        self.classes = nn.Linear(width, num_classes + 1)
        self.boxes = nn.Linear(width, 4 if class_agnostic else 4 * (num_classes + 1))
        for layer in layers:
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_uniform_(layer.weight, a=1)
                nn.init.zeros_(layer.bias)
        for layer, std in ((self.classes, 0.01), (self.boxes, 0.001)):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)
        # at first background is as likely as it is frequent, however many classes there are
        self.classes.bias.data[0] = math.log(BACKGROUND / (1 - BACKGROUND) * num_classes)

    def forward(self, pooled: Tensor, order: Tensor | None) -> tuple[Tensor, Tensor]:
        """Say what boxes show.

        Args:
            pooled: [R, C, size, size].
            order: [R], the box that each row of ``pooled`` is of; None if they are in order.

        Returns:
            Class logits [R, K + 1] and offsets [R, K + 1, 4], or [R, 1, 4] if classes share them,
            float32, in order of the boxes.
        """
        hidden = self.trunk(pooled)
        logits, deltas = self.classes(hidden).float(), self.boxes(hidden).float()
        if order is not None:
            back = torch.empty_like(order)
            back[order] = torch.arange(len(order), device=order.device)
            logits, deltas = logits[back], deltas[back]
        return logits, deltas.view(deltas.shape[0], self.boxes.out_features // 4, 4)

    def chosen(self, deltas: Tensor, label: Tensor) -> Tensor:
        """The offsets [R, 4] of each box's class; ``label`` [R] counts the background as 0."""
        if deltas.shape[1] == 1:
            return deltas[:, 0]
        return deltas[torch.arange(len(label), device=label.device), label]

    @torch.no_grad()
    def refine(
        self, logits: Tensor, deltas: Tensor, boxes: Tensor, canvas: tuple[int, int]
    ) -> Tensor:
        """Move boxes [R, 4] as the likeliest class wants it, within the canvas."""
        label = logits[:, 1:].argmax(1) + 1
        return clip_boxes(decode_boxes(self.chosen(deltas, label), boxes, self.weights), canvas)

    def losses(
        self,
        logits: Tensor,
        deltas: Tensor,
        boxes: Tensor,
        label: Tensor,
        objects: Tensor,
        box_loss: BoxLoss,
    ) -> tuple[Tensor, Tensor]:
        """Losses of the classes and of the offsets of R boxes, divided by R, the mean of all ranks.

        Args:
            logits: [R, K + 1].
            deltas: [R, K + 1 or 1, 4].
            boxes: [R, 4].
            label: [R] int64, 0 for background.
            objects: [R, 4], where the object is; unused for background.
            box_loss: ``giou`` compares boxes instead of offsets (Rezatofighi et al. 2019).
        """
        total = normaliser(boxes.new_tensor(float(len(label))), 1.0)
        real = label > 0
        unit = boxes.new_zeros(4)
        unit[2:] = 1  # what isn't finite would spoil gradients even where it doesn't count
        boxes = torch.where(real[:, None], boxes, unit)
        objects = torch.where(real[:, None], objects, unit)
        found = torch.where(real[:, None], self.chosen(deltas, label), 0.0)
        if box_loss == "giou":
            miss = 1 - generalised_iou(decode_boxes(found, boxes, self.weights), objects)
        else:
            wanted = encode_boxes(objects, boxes, self.weights)
            miss = smooth_offsets(found, wanted)
        return (
            F.cross_entropy(logits, label, reduction="sum") / total,
            torch.where(real, miss, 0.0).sum() / total,
        )


def _block(channels: int, norm: BoxNorm) -> nn.Sequential:
    conv = nn.Conv2d(channels, channels, 3, padding=1, bias=norm == "none")
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    after: nn.Module = nn.Identity()
    if norm == "batch":
        after = nn.BatchNorm2d(channels)
    elif norm == "group":
        after = nn.GroupNorm(math.gcd(32, channels), channels)
    return nn.Sequential(conv, after, nn.ReLU(inplace=True))
