"""Batch norms that take a single value, and group norms in their place."""

import math
from typing import Any

from torch import Tensor, nn


def tolerate_single(model: nn.Module) -> None:
    """Let every batch norm in ``model`` train on a batch that has one value for each channel.

    That is one picture whose map has shrunk to a cell: it has no deviation, so torch refuses it. A
    norm uses its running mean and deviation for such a call, as in evaluation, and leaves them as
    they are.

    The hooks are functions of this module, which copies of the model share. A ``SyncBatchNorm`` in
    a norm's place has none and needs none: it counts the values of all ranks.
    """
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.register_forward_pre_hook(_before)
            module.register_forward_hook(_after, always_call=True)


def _before(norm: Any, inputs: tuple[Any, ...]) -> None:
    x = inputs[0]
    if norm.training and x.numel() == x.shape[1]:
        norm.training = False
        norm._single = True


def _after(norm: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    if getattr(norm, "_single", False):
        norm.training = True
        norm._single = False


def group_norms(module: nn.Module, groups: int = 8) -> None:
    """Put a group norm (Wu & He 2018) in the place of every batch norm in ``module``.

    It normalises each picture by itself, so that training and evaluation see the same, however
    small a batch is. What the batch norms have learned is lost.

    Args:
        module: may not be a norm itself.
        groups: of channels; fewer where they don't divide them, or would have less than four each.
    """
    for name, child in module.named_children():
        if not isinstance(child, nn.modules.batchnorm._BatchNorm):
            group_norms(child, groups)
            continue
        count = math.gcd(child.num_features, groups)
        while count > 1 and child.num_features // count < 4:
            count //= 2
        norm = nn.GroupNorm(count, child.num_features, eps=1e-5)
        trained = any(p.requires_grad for p in child.parameters())
        norm.requires_grad_(trained or child.weight is None)
        # timm's batch norms have their activation within
        within = list(child.children())
        setattr(module, name, nn.Sequential(norm, *within) if within else norm)
