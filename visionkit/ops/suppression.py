"""Non-maximum suppression inside graphs: tensors of fixed size, for batches of any size."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import nms

_AS_ONE = ContextVar("_AS_ONE", default=False)


@contextlib.contextmanager
def as_one_operator() -> Iterator[None]:
    """Let :func:`unsuppressed` stand in graphs as ``visionkit::unsuppressed``, a single operator.

    For formats that have an operator of their own for a whole batch. Other graphs consist of what
    torch and torchvision know, and can be run without visionkit.
    """
    token = _AS_ONE.set(True)
    try:
        yield
    finally:
        _AS_ONE.reset(token)


def unsuppressed(boxes: Tensor, valid: Tensor, groups: Tensor, count: int, iou: float) -> Tensor:
    """Say which boxes stay when, within each picture and group, better ones suppress others.

    Args:
        boxes: [B, N, 4], of each group best first.
        valid: [B, N] bool; what isn't suppresses nothing and doesn't stay.
        groups: [B, N] int64, 0..count-1: classes, or the maps that boxes were found on.
        count: of the groups.
        iou: a box that overlaps a better one by more than this doesn't stay.

    Returns:
        [B, N] bool.
    """
    boxes = torch.where(valid[..., None], boxes, 0.0)  # overlaps nothing
    if _AS_ONE.get():
        kept: Tensor = torch.ops.visionkit.unsuppressed(boxes, valid, groups, count, iou)
        return kept
    return _by_offsets(boxes, valid, groups, count, iou)


def _by_offsets(boxes: Tensor, valid: Tensor, groups: Tensor, count: int, iou: float) -> Tensor:
    """Move pictures and groups apart in float64, where that costs no precision that matters."""
    pictures, number = valid.shape
    apart = boxes.double()
    span = apart.amax() - apart.amin() + 1
    picture = torch.arange(pictures, device=boxes.device)[:, None]
    apart = apart + ((picture * count + groups) * span)[..., None]
    order = torch.arange(number, device=boxes.device, dtype=torch.float64).neg()
    kept = kept_in_graph(apart.flatten(0, 1), order.expand(pictures, -1).reshape(-1), iou)
    return kept.view(pictures, number) & valid


def kept_in_graph(boxes: Tensor, scores: Tensor, iou: float) -> Tensor:
    """Whether each of N boxes stays, [N]: as torchvision describes it to graphs, two always do."""
    far = torch.tensor([[-9.0, -9, -8, -8], [-7, -7, -6, -6]], device=boxes.device)
    far = far.to(boxes) + boxes.amin()
    place = nms(torch.cat([boxes, far]), F.pad(scores, (0, 2), value=-torch.inf), iou)
    kept = torch.zeros(boxes.shape[0] + 2, dtype=torch.bool, device=boxes.device)
    return kept.index_fill(0, place, True)[:-2]


@torch.library.custom_op("visionkit::unsuppressed", mutates_args=())
def _operator(boxes: Tensor, valid: Tensor, groups: Tensor, count: int, iou: float) -> Tensor:
    return _by_offsets(boxes, valid, groups, count, iou)


@_operator.register_fake
def _shape(boxes: Tensor, valid: Tensor, groups: Tensor, count: int, iou: float) -> Tensor:
    return torch.empty_like(valid)
