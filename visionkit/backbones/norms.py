"""Batch norms that take a single value."""

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
