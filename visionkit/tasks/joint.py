"""Training of several heads on one backbone, with targets for all of them or for some in turn."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from visionkit.batch import Batch
from visionkit.models.joint import JointModel, flat
from visionkit.tasks.supervised import SupervisedTask


class JointTask(SupervisedTask):
    """One backbone, several heads, an evaluator for each.

    A batch may have targets for some of the parts, the same ones on every rank. The other necks and
    heads aren't run then, and the optimizer leaves their weights, and what weighs their losses, as
    they are: neither momentum nor decay moves what learned nothing in a step.

    The arguments are those of :class:`visionkit.tasks.supervised.SupervisedTask`; the model is a
    :class:`visionkit.models.joint.JointModel`.
    """

    model: JointModel  # type: ignore[assignment]

    def on_train_start(self) -> None:
        """Begin to note which parts learn."""
        self._learned: set[str] = set()

    def raw(self, batch: Batch) -> Any:
        """Run the backbone once, and the parts that the batch has targets for."""
        names = tuple(name for name in self.model.names if name in batch.parts)
        forward: Callable[..., Any] = self._forward[0]
        return forward(self._images(batch), names)

    def cost(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum of the parts' losses, and those with their learned weights."""
        each = self.model.losses(self.raw(batch), batch)
        sums = {name: torch.stack(list(losses.values())).sum() for name, losses in each.items()}
        total = torch.stack(list(self.model.weighting(sums).values())).sum()
        self._learned |= set(each)
        idle = self._idle(set(each))
        if idle:  # ranks wait for the gradient of every parameter
            total = total + 0 * torch.stack([p.sum() for p in idle]).sum()
        weights = {
            f"{name}/weight": value for name, value in self.model.weighting.learned().items()
        }
        return total, flat(each) | weights

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Take the gradients, all zero, from the parts that have learned nothing."""
        for parameter in self._idle(self._learned):
            parameter.grad = None
        self._learned.clear()

    def _idle(self, learned: set[str]) -> list[torch.nn.Parameter]:
        """The trainable parameters of the parts that aren't among ``learned``."""
        model = self.model
        return [
            parameter
            for name in model.names
            if name not in learned
            for parameter in (
                *model.necks[name].parameters(),
                *model.heads[name].parameters(),
                *model.weighting.of(name),
            )
            if parameter.requires_grad
        ]
