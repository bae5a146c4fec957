"""What a critic and a generator want of each other, and what is asked of them besides.

Logits come as lists, of each discriminator [B] or [B, h, w]; each loss is the mean over pictures
and places, summed over discriminators, in float32.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Kind = Literal["logistic", "hinge", "wasserstein", "least_squares", "relativistic"]
Logits = Sequence[Tensor]


def critic_loss(kind: Kind, real: Logits, fake: Logits) -> Tensor:
    """What the critic wants: large logits for real pictures, small ones for made ones.

    Args:
        kind: ``logistic`` (Goodfellow et al. 2014), ``hinge`` (Lim & Ye 2017), ``wasserstein``
            (Arjovsky et al. 2017), ``least_squares`` (Mao et al. 2017), ``relativistic``: each
            real picture above a made one (Jolicoeur-Martineau 2019).
        real: logits of real pictures.
        fake: logits of made ones, as many.
    """
    return sum((_CRITIC[kind](r, f) for r, f in zip(real, fake, strict=True)), torch.zeros(()))


def generator_loss(kind: Kind, fake: Logits, real: Logits | None = None) -> Tensor:
    """What the generator wants: large logits for what it made.

    Args:
        kind: see :func:`critic_loss`; ``logistic`` is the non-saturating one.
        fake: logits of made pictures.
        real: of real ones, which ``relativistic`` compares with.
    """
    pairs = zip(fake, fake if real is None else real, strict=True)
    return sum((_GENERATOR[kind](f, r) for f, r in pairs), torch.zeros(()))


def _squares(logits: Tensor, target: float) -> Tensor:
    return (logits - target).square().mean()


_CRITIC: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "logistic": lambda r, f: F.softplus(-r).mean() + F.softplus(f).mean(),
    "hinge": lambda r, f: F.relu(1 - r).mean() + F.relu(1 + f).mean(),
    "wasserstein": lambda r, f: f.mean() - r.mean(),
    "least_squares": lambda r, f: (_squares(r, 1) + _squares(f, 0)) / 2,
    "relativistic": lambda r, f: F.softplus(f - r).mean(),
}
_GENERATOR: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "logistic": lambda f, r: F.softplus(-f).mean(),
    "hinge": lambda f, r: -f.mean(),
    "wasserstein": lambda f, r: -f.mean(),
    "least_squares": lambda f, r: _squares(f, 1),
    "relativistic": lambda f, r: F.softplus(r - f).mean(),
}


def gradient_square(logits: Logits, images: Tensor) -> Tensor:
    """The squared length of the gradient of each picture's logits, [B]; differentiable.

    Half its mean over real pictures is R1, over made ones R2 (Mescheder et al. 2018).

    Args:
        logits: of ``images``, summed over places and discriminators.
        images: [B, C, H, W] that require a gradient.
    """
    total = torch.stack([part.sum() for part in logits]).sum()
    (gradient,) = torch.autograd.grad(total, images, create_graph=True)
    return gradient.float().square().sum((1, 2, 3))


def between(real: Tensor, fake: Tensor) -> Tensor:
    """Pictures at random places on the lines from real to made ones (Gulrajani et al. 2017)."""
    where = torch.rand(len(real), 1, 1, 1, device=real.device)
    return torch.lerp(real.detach(), fake.detach(), where).requires_grad_()


def lipschitz_penalty(squares: Tensor) -> Tensor:
    """How far the gradient's length is from 1: WGAN-GP's penalty (Gulrajani et al. 2017).

    Args:
        squares: from :func:`gradient_square`, [B].
    """
    return ((squares + 1e-12).sqrt() - 1).square().mean()


def path_lengths(images: Tensor, styles: Tensor) -> Tensor:
    """How far pictures move for a step of their styles, [B]; differentiable (Karras et al. 2020).

    Args:
        images: [B, C, H, W] that were made from ``styles``.
        styles: [B, L, D] that require a gradient.
    """
    noise = torch.randn_like(images) / math.sqrt(images.shape[2] * images.shape[3])
    (gradient,) = torch.autograd.grad((images * noise).sum(), styles, create_graph=True)
    return gradient.float().square().sum(2).mean(1).sqrt()
