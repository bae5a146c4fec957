"""Batch norms that take the mean and deviation of the pictures of all ranks."""

from typing import Any

from lightning.pytorch.plugins.layer_sync import LayerSync
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class SyncNorm(nn.SyncBatchNorm):
    """A norm over all ranks in another's place, with its parameters and with what it holds.

    Some networks' norms have dropout and activation within (timm's ``drop`` and ``act``); torch's
    own conversion would lose them.

    Args:
        norm: whose place it takes.
    """

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__(
            norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats
        )
        self._parameters = dict(norm._parameters)
        self._buffers = dict(norm._buffers)
        self.within = list(norm._modules)
        for name, module in norm.named_children():
            self.add_module(name, module)
        self.train(norm.training)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise [B, C, ...], then do what the norm holds."""
        x = super().forward(x)
        for name in self.within:
            x = self._modules[name](x)  # type: ignore[misc]
        return x


class SyncNorms(LayerSync):
    """Puts a :class:`SyncNorm` in the place of every batch norm, and takes it back."""

    def __init__(self) -> None:
        self._replaced: list[tuple[nn.Module, str, _BatchNorm]] = []

    def apply(self, model: nn.Module) -> nn.Module:
        """Exchange the norms within ``model``; names and parameters stay."""
        for parent in list(model.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, _BatchNorm) and not isinstance(child, nn.SyncBatchNorm):
                    setattr(parent, name, SyncNorm(child))
                    self._replaced.append((parent, name, child))
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        """Put the norms of before in place, with what was learned meanwhile."""
        for parent, name, norm in self._replaced:
            made: Any = getattr(parent, name)
            norm._parameters, norm._buffers = made._parameters, made._buffers
            norm.train(made.training)
            setattr(parent, name, norm)
        self._replaced = []
        return model
