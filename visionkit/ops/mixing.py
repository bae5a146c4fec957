"""Pictures of a batch mixed with each other, and their classes with them."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from visionkit.batch import Batch, LabelTargets


def mixup(images: Tensor, targets: Tensor, ratio: float, order: Tensor) -> tuple[Tensor, Tensor]:
    """Blend each picture with another (mixup, Zhang et al. 2018).

    Args:
        images: [B, C, H, W] of any type; whole numbers are rounded to.
        targets: [B, K] float.
        ratio: the part of the picture itself, 0..1; the rest is the other's.
        order: [B] int64, the position of each picture's other.

    Returns:
        Images and targets, of the types given.
    """
    other = images[order].float()
    mixed = other.lerp(images.float(), ratio)
    if not images.is_floating_point():
        mixed = mixed.round_()
    return mixed.to(images.dtype), _shared(targets, ratio, order)


def cutmix(
    images: Tensor, targets: Tensor, box: tuple[int, int, int, int], order: Tensor
) -> tuple[Tensor, Tensor]:
    """Put a rectangle of another picture into each (CutMix, Yun et al. 2019).

    Targets are shared in the proportion of the areas.

    Args:
        images: [B, C, H, W] of any type.
        targets: [B, K] float.
        box: ``x1 y1 x2 y2`` in pixels, within the pictures.
        order: [B] int64, the position of each picture's other.

    Returns:
        Images and targets, of the types given.
    """
    x1, y1, x2, y2 = box
    mixed = images.clone()
    mixed[..., y1:y2, x1:x2] = images[..., y1:y2, x1:x2][order]
    whole = images.shape[-2] * images.shape[-1]
    return mixed, _shared(targets, 1 - (x2 - x1) * (y2 - y1) / whole, order)


def _shared(targets: Tensor, ratio: float, order: Tensor) -> Tensor:
    return targets * ratio + targets[order] * (1 - ratio)


def draw_ratio(rng: np.random.Generator, alpha: float) -> float:
    """Draw from Beta(alpha, alpha); ``alpha`` above 0. Small ones leave pictures nearly whole."""
    return float(rng.beta(alpha, alpha))


def draw_box(
    rng: np.random.Generator, size: tuple[int, int], ratio: float
) -> tuple[int, int, int, int]:
    """Draw a rectangle that leaves about ``ratio`` of a picture.

    Its sides have the picture's proportion and its centre lies anywhere, so that what reaches
    beyond the border is cut off.

    Args:
        rng: the source of chance.
        size: height and width in pixels.
        ratio: 0..1.

    Returns:
        ``x1 y1 x2 y2`` in pixels; may be empty.
    """
    part = np.sqrt(1 - ratio)
    y1, y2 = _span(rng, size[0], part)
    x1, x2 = _span(rng, size[1], part)
    return x1, y1, x2, y2


def _span(rng: np.random.Generator, side: int, part: float) -> tuple[int, int]:
    length, centre = round(side * part), int(rng.integers(side))
    start = centre - length // 2
    return max(0, start), min(side, start + length)


def mix_labels(
    batch: Batch,
    rng: np.random.Generator,
    mixup_alpha: float = 0.0,
    cutmix_alpha: float = 0.0,
    probability: float = 1.0,
) -> Batch:
    """Mix the pictures of a batch, whose targets are classes, by mixup or CutMix.

    Every picture is mixed with the one a drawn number of places before it; all with one ratio. If
    both ways are open, each batch takes either with equal chance. A batch of one stays as it is.

    Args:
        batch: with :class:`visionkit.batch.LabelTargets`.
        rng: the source of chance.
        mixup_alpha: of the Beta distribution of mixup's ratio; 0 for no mixup.
        cutmix_alpha: likewise of CutMix.
        probability: of mixing a batch at all.
    """
    alphas = [("mixup", mixup_alpha), ("cutmix", cutmix_alpha)]
    ways = [(way, alpha) for way, alpha in alphas if alpha > 0]
    if not ways or len(batch) < 2 or rng.random() >= probability:
        return batch
    way, alpha = ways[int(rng.integers(len(ways)))]
    shift = int(rng.integers(1, len(batch)))
    order = torch.arange(len(batch), device=batch.images.device).roll(shift)
    ratio, values = draw_ratio(rng, alpha), batch.labels.values
    if way == "mixup":
        images, values = mixup(batch.images, values, ratio, order)
    else:
        box = draw_box(rng, batch.canvas, ratio)
        images, values = cutmix(batch.images, values, box, order)
    return replace(batch, images=images, targets=LabelTargets(values))
