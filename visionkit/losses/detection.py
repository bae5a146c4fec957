"""Losses for dense detectors."""

import torch.nn.functional as F
from torch import Tensor

SMOOTH = 1 / 9
"""Where :func:`smooth_offsets` turns from a square to a line."""


def distribution_focal(logits: Tensor, distances: Tensor) -> Tensor:
    """Distribution focal loss (Li et al. 2020): cross-entropy with the two bins around the truth.

    Args:
        logits: [N, 4, R] over the bins 0..R-1.
        distances: [N, 4] in bins, clamped to 0..R-1.

    Returns:
        [N], the mean over the four sides.
    """
    bins = logits.shape[-1]
    distances = distances.clamp(0, bins - 1 - 1e-3)
    lower = distances.floor()
    upper_weight = distances - lower
    log_p = F.log_softmax(logits, -1)
    at_lower = log_p.gather(-1, lower.long()[..., None])[..., 0]
    at_upper = log_p.gather(-1, lower.long()[..., None] + 1)[..., 0]
    return -(at_lower * (1 - upper_weight) + at_upper * upper_weight).mean(-1)


def smooth_offsets(found: Tensor, wanted: Tensor) -> Tensor:
    """Smooth L1 loss (Girshick 2015) of offsets [..., 4], summed over the four, [...]."""
    return F.smooth_l1_loss(found, wanted, reduction="none", beta=SMOOTH).sum(-1)


def soft_bce(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy with soft targets, summed. Shapes alike."""
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="sum")
