"""From logits to probabilities of classes: turned, averaged, calibrated."""

import math
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

LEAST, MOST = 0.05, 20.0
"""Bounds of a temperature."""


def probabilities(logits: Tensor, exclusive: bool, binary: bool) -> Tensor:
    """Turn logits into probabilities.

    Args:
        logits: [..., K] float32 or float64.
        exclusive: whether a picture has one class, so that probabilities sum to 1.
        binary: whether each logit was trained by itself (a sigmoid) instead of against the others
            (a softmax). If the classes are exclusive nevertheless, the sigmoids are divided by
            their sum.

    Returns:
        [..., K].
    """
    if not binary:
        return logits.softmax(-1)
    # by their logarithms: far below zero all sigmoids are 0, and their sum too
    return F.logsigmoid(logits).softmax(-1) if exclusive else logits.sigmoid()


def mean_logits(logits: Tensor, binary: bool) -> Tensor:
    """The logits of the mean probabilities.

    Args:
        logits: [V, ..., K] float32, of V views.
        binary: see :func:`probabilities`; then it is the sigmoids that are averaged.

    Returns:
        [..., K]. Of one view, what stands for the same probabilities.
    """
    # sums instead of means: neither a softmax nor odds know the difference
    if not binary:
        return logits.log_softmax(-1).logsumexp(0)
    return F.logsigmoid(logits).logsumexp(0) - F.logsigmoid(-logits).logsumexp(0)


def likelihood_loss(
    logits: Tensor, targets: Tensor, exclusive: bool, binary: bool, temperature: float = 1.0
) -> float:
    """Mean negative log-likelihood of N pictures in float64, with logits over ``temperature``.

    Args:
        logits: [N, K].
        targets: [N, K] in 0..1.
        exclusive: see :func:`probabilities`.
        binary: likewise.
        temperature: above 0.
    """
    total, rows = 0.0, max(1, (1 << 22) // logits.shape[1])  # at most 32 MiB at a time
    for start in range(0, len(logits), rows):
        part = slice(start, start + rows)
        z, t = logits[part].double() / temperature, targets[part].double()
        if exclusive:
            log_p = (F.logsigmoid(z) if binary else z).log_softmax(1)
            total -= float((t * log_p).sum())
        else:
            total += float((F.softplus(z) - t * z).sum())
    return total / len(logits)


def fit_temperature(logits: Tensor, targets: Tensor, exclusive: bool, binary: bool) -> float:
    """Find the temperature that makes probabilities most likely (Guo et al. 2017).

    The search's targets are a little softer than the true ones, as if one more picture had been of
    any class (Platt 1999): a small split without a single mistake says that mistakes are rare, not
    that there are none.

    Args:
        logits: [N, K].
        targets: [N, K]; where exclusive, rows of zeros (unlabelled pictures) are left out.
        exclusive: see :func:`probabilities`.
        binary: likewise.

    Returns:
        The temperature, 0.05..20. 1 where nothing else makes the true targets more likely, or there
        are no pictures.
    """
    if exclusive:
        labelled = targets.sum(1) > 0
        logits, targets = logits[labelled], targets[labelled]
    if not len(logits) or not logits.isfinite().all():
        return 1.0
    count, classes = targets.shape
    chance = 1 / classes if exclusive else 1 / 2
    soft = (targets.double() * count + chance) / (count + 1)

    def cost(log_t: float) -> float:
        return likelihood_loss(logits, soft, exclusive, binary, math.exp(log_t))

    found = math.exp(_minimum(cost, math.log(LEAST), math.log(MOST)))
    before, after = (likelihood_loss(logits, targets, exclusive, binary, t) for t in (1.0, found))
    return found if after < before else 1.0


def _minimum(cost: Callable[[float], float], low: float, high: float) -> float:
    """Where ``cost`` is least, to a ten-thousandth: on a grid, then by golden section."""
    step = (high - low) / 12
    best = min((low + i * step for i in range(13)), key=cost)
    low, high = max(low, best - step), min(high, best + step)
    golden = (math.sqrt(5) - 1) / 2
    left, right = high - golden * (high - low), low + golden * (high - low)
    at_left, at_right = cost(left), cost(right)
    for _ in range(20):
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - golden * (high - low)
            at_left = cost(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + golden * (high - low)
            at_right = cost(right)
    return (low + high) / 2
