"""Losses over the classes of whole pictures, for hard and soft targets."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

EFFECTIVE_BETA = 0.9999
"""Of the effective number of samples: from about 10 000 pictures on, more add little."""


class Wanted(NamedTuple):
    """Targets with weights and smoothing worked in.

    Attributes:
        present: [B, K] weight of "the picture shows the class".
        absent: [B, K] weight of "it doesn't".
        total: [], what a loss summed over pictures is divided by.
    """

    present: Tensor
    absent: Tensor
    total: Tensor


def weigh(targets: Tensor, weights: Tensor, smoothing: float, exclusive: bool) -> Wanted:
    """Work class weights and label smoothing (Szegedy et al. 2016) into targets.

    Every loss is linear in them, so that a mixture of two pictures costs what the two would cost,
    each with the weight of its own class, in the proportion of the mixture.

    With exclusive classes a picture has the weight of its class, and smoothing shares a part of
    that weight among all classes. (Smoothing first, as torch's ``cross_entropy`` does, would give
    a picture of a common class most of its loss by the weights of the rare ones.) ``total`` is the
    sum of the pictures' weights.

    Where a picture may have several, the weight is the class's own, for presence and absence alike,
    relative to the classes' mean, and smoothing draws towards 1/2. ``total`` is B.

    Args:
        targets: [B, K] in 0..1; where exclusive, rows sum to 1, or to 0 for an unlabelled picture.
        weights: [K].
        smoothing: 0..1.
        exclusive: whether a picture has one class.
    """
    if exclusive:
        present = targets * weights
        whole = present.sum(1, keepdim=True)
        present = (1 - smoothing) * present + smoothing / targets.shape[1] * whole
        return Wanted(present, whole - present, whole.sum())
    weights = weights / weights.mean()
    present = weights * ((1 - smoothing) * targets + smoothing / 2)
    return Wanted(present, weights - present, targets.new_full((), len(targets)))


def categorical(logits: Tensor, wanted: Wanted, gamma: float = 0.0) -> Tensor:
    """Cross-entropy of a softmax over classes; with ``gamma`` focal (Lin et al. 2017).

    Args:
        logits: [B, K] float32.
        wanted: see :func:`weigh`.
        gamma: power of (1 - p), by which classes that are already probable count less.

    Returns:
        [B], not divided by ``wanted.total``.
    """
    log_p = logits.log_softmax(1)
    cost = -log_p
    if gamma:
        # below the bound a power under 1 would have an infinite slope
        cost = cost * (-log_p.expm1()).clamp(min=1e-6) ** gamma
    return (wanted.present * cost).sum(1)


def binary(logits: Tensor, wanted: Wanted, gamma: float = 0.0) -> Tensor:
    """Binary cross-entropy of a sigmoid for each class; with ``gamma`` focal (Lin et al. 2017).

    Summed over classes, so that it is the likelihood of a picture's whole answer and doesn't fade
    with the number of classes.

    Args:
        logits: [B, K] float32.
        wanted: see :func:`weigh`.
        gamma: power of the probability of the wrong answer.

    Returns:
        [B], not divided by ``wanted.total``.
    """
    log_yes, log_no = F.logsigmoid(logits), F.logsigmoid(-logits)
    yes, no = -log_yes, -log_no
    if gamma:
        yes, no = yes * (gamma * log_no).exp(), no * (gamma * log_yes).exp()
    return (wanted.present * yes + wanted.absent * no).sum(1)


def balance(counts: Sequence[int], how: Literal["balanced", "effective"]) -> Tensor:
    """Weights by which rare classes count more, with mean 1 over the pictures.

    Args:
        counts: pictures of each class. A class without any gets the largest weight of the others.
        how: ``balanced``: 1 / n; ``effective``: 1 / effective number of samples (Cui et al. 2019),
            which is nearly the same while classes have far fewer than 10 000 pictures.

    Returns:
        [K] float32; ones if there is no picture at all.
    """
    n = torch.tensor(counts, dtype=torch.float64)
    some = n > 0
    if not some.any():
        return torch.ones(len(n))
    number = n if how == "balanced" else -(n * math.log(EFFECTIVE_BETA)).expm1()
    weights = 1 / torch.where(some, number, number[some].min())
    return (weights * n.sum() / (weights * n).sum()).float()
