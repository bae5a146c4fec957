"""Fully sharded training: each rank keeps a part of weights, gradients and optimizer states."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from visionkit.models.base import Network
from visionkit.ops.distributed import placed
from visionkit.ops.nested import map_tensors
from visionkit.tasks.base import Task


class ShardedStrategy(DDPStrategy):
    """Data parallel training of one network that is cut up over the ranks (Zhao et al. 2023).

    Every weight is gathered for a step and dropped after it. Checkpoints are the same single files
    as elsewhere, and can be resumed by any strategy and number of ranks. It runs on GPUs and,
    slowly, on processors.
    """

    def configure_ddp(self) -> None:
        """Cut the network up, from the first rank's weights on."""
        network = self._network
        with torch.no_grad():
            for tensor in (*network.parameters(), *network.buffers()):
                dist.broadcast(tensor, 0)
        self._statistics = [b for b in network.buffers() if b.is_floating_point()]
        fully_shard(network, mesh=init_device_mesh(self.root_device.type, (self.world_size,)))

    @property
    def _network(self) -> Network:
        assert isinstance(self.lightning_module, Task)
        return self.lightning_module.model

    @torch.no_grad()
    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        """One step; norms have the first rank's statistics, as elsewhere."""
        self._share_statistics()
        with torch.enable_grad():
            return super().training_step(*args, **kwargs)

    @torch.no_grad()
    def on_validation_start(self) -> None:
        """Validate with the first rank's statistics, or averages of them, which it will save."""
        super().on_validation_start()
        self._share_statistics()

    def _share_statistics(self) -> None:
        if self._statistics:
            flat = torch.cat([b.flatten() for b in self._statistics])
            dist.broadcast(flat, 0)
            parts = torch.split(flat, [b.numel() for b in self._statistics])
            whole = [p.view_as(b) for p, b in zip(parts, self._statistics, strict=True)]
            torch._foreach_copy_(self._statistics, whole)

    def validation_step(self, *args: Any, **kwargs: Any) -> Any:
        """One step, after which weights are in parts again: without gradients nobody drops them."""
        found = super().validation_step(*args, **kwargs)
        self._network.reshard()  # type: ignore[operator]
        return found

    def save_checkpoint(
        self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any | None = None
    ) -> None:
        """Gather what is in parts, and save it whole."""
        super().save_checkpoint(map_tensors(checkpoint, gathered), filepath, storage_options)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Load whole states, and keep this rank's part of each."""
        super().load_optimizer_state_dict(checkpoint)
        for optimizer in self.optimizers:
            for parameter, state in optimizer.state.items():
                for name, value in state.items():
                    if isinstance(value, Tensor) and value.shape == parameter.shape:
                        state[name] = placed(value, parameter)


def gathered(tensor: Tensor) -> Tensor:
    """The whole of a tensor that is in parts; every rank has to ask for it."""
    return tensor.full_tensor().detach().cpu() if isinstance(tensor, DTensor) else tensor
