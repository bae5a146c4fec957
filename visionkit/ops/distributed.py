"""The few collective operations that heads and evaluators need."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


def world_size() -> int:
    """Number of ranks, 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def mean_over_ranks(value: Tensor) -> Tensor:
    """Average a detached tensor over ranks, so that a loss's normaliser is that of all ranks.

    Without gradients (in validation, where ranks may have different numbers of batches) nothing is
    exchanged.
    """
    if world_size() > 1 and torch.is_grad_enabled():
        value = value.detach().clone()
        dist.all_reduce(value)
        value /= world_size()
    return value


def normaliser(total: Tensor, least: float) -> Tensor:
    """What a loss is divided by, so that batches on several ranks cost what one large one does.

    Args:
        total: of this rank, [].
        least: of all ranks together.

    Returns:
        [], the mean over ranks, as gradients are averaged too; see :func:`mean_over_ranks`.
    """
    ranks = world_size() if torch.is_grad_enabled() else 1
    return mean_over_ranks(total).clamp(min=least / ranks)


def gather_objects(value: T) -> list[T]:
    """Return the picklable ``value`` of every rank, on every rank."""
    if world_size() == 1:
        return [value]
    gathered: list[Any] = [None] * world_size()
    dist.all_gather_object(gathered, value)
    return gathered


def rank() -> int:
    """This process's number, 0 without a process group."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def from_first_rank(make: Callable[[], T]) -> T:
    """Call ``make`` on the first rank only, and return its picklable result on all."""
    if world_size() == 1:
        return make()
    made: list[Any] = [make() if rank() == 0 else None]
    dist.broadcast_object_list(made)
    return cast(T, made[0])


def placed(tensor: Tensor, like: Tensor) -> Tensor:
    """A whole tensor where another is: on its device, and in parts if that is."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    tensor = tensor.to(like.device)
    if isinstance(like, DTensor) and not isinstance(tensor, DTensor):
        return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)
    return tensor
