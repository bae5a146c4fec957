"""What detection heads share."""

from collections.abc import Sequence

import torch
from torch import Tensor

from visionkit.batch import Batch
from visionkit.heads.base import Graph
from visionkit.ops.boxes import Decoded
from visionkit.ops.suppression import unsuppressed
from visionkit.results import Detections


def in_pictures(found: Sequence[Decoded], batch: Batch) -> list[Detections]:
    """Turn the boxes kept of each picture, in canvas pixels, into results in original pixels."""
    return [
        Detections(
            boxes=meta.letterbox.to_image(f.boxes.cpu().numpy()),
            scores=f.scores.cpu().numpy(),
            labels=f.labels.cpu().numpy(),
        )
        for f, meta in zip(found, batch.meta, strict=True)
    ]


def box_outputs(decoded: Decoded, num_classes: int, how: Graph, suppresses: bool = True) -> Decoded:
    """Choose boxes inside a graph as :func:`visionkit.ops.boxes.suppress` does outside.

    Args:
        decoded: best first.
        num_classes: K.
        how: of which ``floor``, and with ``nms`` ``iou`` and ``most``, are heeded.
        suppresses: whether boxes that overlap better ones are left out with ``nms``.

    Returns:
        Boxes [B, N, 4], scores [B, N], best first, labels [B, N]; where there is no box, the score
        is -1, and all else 0.
    """
    boxes, scores, labels = decoded
    valid = (scores >= how.floor) & boxes.isfinite().all(-1)
    if how.decode == "nms" and suppresses:
        valid = unsuppressed(boxes, valid, labels, num_classes, how.iou)
    scores = torch.where(valid, scores, -1.0)
    boxes, labels = torch.where(valid[..., None], boxes, 0.0), torch.where(valid, labels, 0)
    if how.decode != "nms":
        return Decoded(boxes, scores, labels)
    best, order = scores.topk(min(how.most, scores.shape[1]), 1)
    chosen = boxes.gather(1, order[..., None].expand(-1, -1, 4))
    return Decoded(chosen, best, labels.gather(1, order))


def best_of(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the largest ``count`` of scores [B, N], or all of them, and their places.

    In an exported graph, where N isn't known, there are always ``count``: those beyond N have the
    score -infinity and the last place.
    """
    number = scores.shape[1]
    if not torch.compiler.is_exporting():
        best, place = scores.topk(min(count, number), 1)
        return best, place
    best, place = torch.nn.functional.pad(scores, (0, count), value=-torch.inf).topk(count, 1)
    return best, place.clamp(max=number - 1)
