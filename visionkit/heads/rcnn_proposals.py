"""The first stage of a two-stage detector: where might objects be?"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import nms

from visionkit.heads.boxes import best_of
from visionkit.losses.detection import smooth_offsets
from visionkit.ops.assignment import Padded
from visionkit.ops.box_coding import Weights, clip_boxes, decode_boxes, encode_boxes, has_area
from visionkit.ops.distributed import normaliser
from visionkit.ops.sampling import match_anchors, sample
from visionkit.ops.suppression import unsuppressed

LEAST_SIDE = 1e-3
"""Of a proposal, in pixels."""
PLAIN: Weights = (1.0, 1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Anchored:
    """What is said of each of A anchors.

    Attributes:
        objectness: [B, A] logits.
        deltas: [B, A, 4] offsets.
        anchors: [A, 4] in canvas pixels.
        counts: anchors of each map.
        canvas: height and width.
    """

    objectness: Tensor
    deltas: Tensor
    anchors: Tensor
    counts: tuple[int, ...]
    canvas: tuple[int, int]


class ProposalNetwork(nn.Module):
    """Region proposal network (Ren et al. 2015), the same for all maps.

    Args:
        channels: of every map.
        ratios: anchors of each cell.
        convs: 3x3 convolutions before the answers.
    """

    def __init__(self, channels: int, ratios: int, convs: int) -> None:
        super().__init__()
        self.conv = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(convs))
        self.objectness = nn.Conv2d(channels, ratios, 1)
        self.deltas = nn.Conv2d(channels, 4 * ratios, 1)
        for layer in (*self.conv, self.objectness, self.deltas):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return objectness [B, A] and offsets [B, A, 4], in the order of the anchors."""
        # both answers by one convolution, which reads the map once
        weight = torch.cat([self.objectness.weight, self.deltas.weight])
        bias = torch.cat([self.objectness.bias, self.deltas.bias])  # type: ignore[list-item]
        ratios = self.objectness.out_channels
        objectness, deltas = [], []
        for x in maps:
            for conv in self.conv:
                x = F.relu(conv(x), inplace=True)
            said = F.conv2d(x, weight, bias).permute(0, 2, 3, 1)
            objectness.append(said[..., :ratios].flatten(1))
            deltas.append(torch.unflatten(said[..., ratios:], -1, (ratios, 4)).flatten(1, 3))
        return torch.cat(objectness, 1), torch.cat(deltas, 1)


@torch.no_grad()
def propose(said: Anchored, before: int, after: int, iou: float) -> tuple[Tensor, Tensor]:
    """Choose the boxes that look most like objects.

    Args:
        said: of the anchors.
        before: the best of each map that take part.
        after: the best of all maps that stay.
        iou: of two boxes of one map that overlap by more than this one stays.

    Returns:
        Boxes [B, P, 4] float32 in canvas pixels, best first, and [B, P] bool, whether there is such
        a box.
    """
    logits = said.objectness.detach().float()
    logits = torch.where(logits.isnan(), -torch.inf, logits)
    chosen, places, start = [], [], 0
    for count, level in zip(said.counts, torch.split(logits, list(said.counts), 1), strict=True):
        best, place = best_of(level, before)
        chosen.append(best)
        places.append(place + start)
        start += count
    place, logits = torch.cat(places, 1), torch.cat(chosen, 1)
    deltas = said.deltas.detach().gather(1, place[..., None].expand(-1, -1, 4)).float()
    boxes = clip_boxes(decode_boxes(deltas, said.anchors[place], PLAIN), said.canvas)
    counts = [p.shape[1] for p in places]
    if torch.compiler.is_compiling():
        level = torch.cat([torch.full_like(p, i) for i, p in enumerate(places)], 1)
        kept = unsuppressed(boxes, logits > -torch.inf, level, len(counts), iou)
    else:
        kept = _unsuppressed(boxes, logits, counts, iou, max(said.canvas))
    kept &= has_area(boxes, LEAST_SIDE)
    logits = torch.where(kept, logits, -torch.inf)
    best, order = logits.topk(min(after, logits.shape[1]), 1)
    return boxes.gather(1, order[..., None].expand(-1, -1, 4)), best > -torch.inf


def _unsuppressed(
    boxes: Tensor, scores: Tensor, counts: Sequence[int], iou: float, side: int
) -> Tensor:
    """Non-maximum suppression within each picture and map: whether a box [B, N, 4] stays, [B, N].

    Args:
        boxes: map after map.
        scores: [B, N].
        counts: boxes of each map.
        iou: boxes of one map that overlap by more than this are one.
        side: of the canvas, the longer one.
    """
    if boxes.device.type != "cpu":  # few calls; moving maps apart costs no precision that matters
        boxes, counts = maps_apart(boxes, counts, side), [sum(counts)]
    kept = torch.zeros(scores.shape, dtype=torch.bool, device=boxes.device)
    for i in range(len(boxes)):
        start = 0
        for count in counts:
            part = slice(start, start + count)
            kept[i, part].index_fill_(0, nms(boxes[i, part], scores[i, part], iou), True)
            start += count
    return kept


def maps_apart(boxes: Tensor, counts: Sequence[int], side: int) -> Tensor:
    """Move the boxes [B, N, 4] of each map to where they overlap those of no other.

    Args:
        boxes: within the canvas, map after map.
        counts: boxes of each map.
        side: of the canvas, the longer one.
    """
    level = torch.repeat_interleave(
        torch.arange(len(counts), device=boxes.device),
        torch.tensor(counts, device=boxes.device),
        output_size=sum(counts),
    )
    return boxes + (level * (side + 1))[:, None]


def proposal_losses(
    said: Anchored, truth: Padded, iou: tuple[float, float], count: int, positives: float
) -> tuple[Tensor, Tensor]:
    """Losses of objectness and of the offsets, over a sample of the anchors.

    Args:
        said: of the anchors.
        truth: the objects, with at least one slot.
        iou: from which on an anchor is an object, and below which it is background.
        count: anchors of each picture that are sampled.
        positives: at most this part of them is objects.

    Returns:
        Two scalars, each divided by the number of anchors sampled, the mean of all ranks.
    """
    matched = match_anchors(said.anchors, truth, *iou)
    most = int(count * positives)
    chosen = sample(matched.positive, matched.negative, count, most)
    total = normaliser(chosen.taken.sum().float(), 1.0)
    cost = F.binary_cross_entropy_with_logits(
        said.objectness.gather(1, chosen.place).float(), chosen.positive.float(), reduction="none"
    )
    objectness = torch.where(chosen.taken, cost, 0.0).sum() / total

    place, positive = chosen.place[:, :most], chosen.positive[:, :most]
    anchors = said.anchors[place]
    image = torch.arange(len(place), device=place.device)[:, None]
    objects = truth.boxes[image, matched.slot.gather(1, place)]
    objects = torch.where(positive[..., None], objects, anchors)
    wanted = encode_boxes(objects, anchors, PLAIN)
    found = said.deltas.gather(1, place[..., None].expand(-1, -1, 4)).float()
    found = torch.where(positive[..., None], found, 0.0)  # as is what background wants
    return objectness, smooth_offsets(found, wanted).sum() / total
