"""Losses over pixels, and small batches for them."""

import math

import torch

from visionkit.losses.segmentation import SegmentationLoss
from visionkit.results import VOID

NAMES = ("cross_entropy", "dice", "lovasz", "focal", "ohem")
ALL = dict.fromkeys(NAMES, 1.0)
ONES = torch.ones(2)
LN3 = math.log(3)


def only(name: str, **options) -> SegmentationLoss:
    return SegmentationLoss(**{"cross_entropy": 0.0, name: 1.0}, **options)


def value(name: str, logits, labels, weights=ONES, **options):
    return only(name, **options)(logits, labels, weights)[name]


def two_pixels(*labels: int):
    """Pixels that say the first of two classes with 3/4, and their labels, in one row."""
    logits = torch.tensor([LN3, 0.0]).view(1, 2, 1, 1).expand(1, 2, 1, len(labels)).contiguous()
    return logits, torch.tensor(labels, dtype=torch.uint8).view(1, 1, -1)


def example(k=4, size=(2, 5, 6), seed=0, dtype=torch.float32):
    """Random scores, labels of which some are void and class 1 has none, and weights."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(size[0], k, *size[1:], generator=generator, dtype=dtype)
    labels = torch.randint(0, k + 1, size, generator=generator)
    labels = torch.where((labels == k) | (labels == 1), VOID, labels).to(torch.uint8)
    return logits, labels, torch.rand(k, generator=generator, dtype=dtype) + 0.5
