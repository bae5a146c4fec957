"""Parameter groups, learning-rate schedules, Muon."""

import math
import re
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from visionkit.argtypes import Amount, Part, Positive
from visionkit.backbones.base import Backbone, Norm

_EMBEDDING = re.compile(r"pos_embed|class_token|cls_token|relative_position_bias_table")


def parameter_groups(model: nn.Module, lr: float, weight_decay: float) -> list[dict[str, Any]]:
    """Split the trainable parameters by how they are to be optimised.

    Norms, biases and other vectors (a ConvNeXt's layer scale [C, 1, 1] too) are never decayed, nor
    are a transformer's embeddings of places; a backbone's learning rates are multiplied as it says
    (:meth:`Backbone.multipliers`). Each group says in ``matrix`` whether it holds weights that are
    neither.
    """
    multiplier: dict[int, float] = {}
    undecayed: set[int] = set()
    for module in model.modules():
        if isinstance(module, Backbone):
            multiplier |= module.multipliers()
        if isinstance(module, Norm):
            undecayed |= {id(p) for p in module.parameters(recurse=False)}
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            vector = (
                parameter.ndim < 2 or parameter[0].numel() == 1 or bool(_EMBEDDING.search(name))
            )
            matrix = not vector and id(parameter) not in undecayed
            groups.setdefault((multiplier.get(id(parameter), 1.0), matrix), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": lr * factor,
            "weight_decay": weight_decay if matrix else 0.0,
            "matrix": matrix,
        }
        for (factor, matrix), parameters in groups.items()
    ]


def warmup_cosine(
    optimizer: Optimizer, total_steps: int, warmup: Amount = 0.05, final: Part = 0.01
) -> LambdaLR:
    """Raise the learning rate linearly, then lower it along half a cosine (Loshchilov 2017).

    Args:
        optimizer: whose groups are scheduled, each from its own rate.
        total_steps: length of the schedule.
        warmup: steps of the rise: a part of the schedule below 1, a count from 1 on.
        final: what is left of the rate at the end.
    """
    rise = max(1, round(warmup * total_steps if warmup < 1 else min(warmup, total_steps / 2)))

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        progress = min(1.0, (step - rise) / max(1, total_steps - rise))
        return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2

    return LambdaLR(optimizer, factor)


def warmup_constant(optimizer: Optimizer, total_steps: int, warmup: Amount = 0.05) -> LambdaLR:
    """Raise the learning rate linearly, then keep it; see :func:`warmup_cosine`."""
    return warmup_cosine(optimizer, total_steps, warmup, final=1.0)


class Muon(Optimizer):
    """Momentum whose matrices are made orthogonal (Jordan et al. 2024), AdamW for the rest.

    A convolution's weight [out, in, h, w] is taken as the matrix [out, in * h * w]. Updates are
    scaled so that their size is like AdamW's (Liu et al. 2025), so one learning rate serves both.
    Depthwise convolutions, whose matrix has nothing to orthogonalise across channels, weights with
    fewer than 16 inputs or outputs, and vectors are left to AdamW.

    Args:
        params: parameters or groups.
        lr: learning rate.
        weight_decay: decoupled.
        momentum: of the matrices (Nesterov's).
        betas: of AdamW.
        eps: of AdamW.
        steps: Newton-Schulz iterations.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: Amount = 1e-3,
        weight_decay: Amount = 0.01,
        momentum: Part = 0.95,
        betas: tuple[Part, Part] = (0.9, 0.99),
        eps: Amount = 1e-8,
        steps: Positive = 5,
    ) -> None:
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "betas": tuple(map(float, betas)),
            "eps": eps,
            "steps": steps,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            rest = []
            for p in group["params"]:
                if p.grad is None:
                    continue
                if p.ndim > 1 and min(p.shape[0], p[0].numel()) >= 16 and p.shape[1] > 1:
                    self._orthogonal(p, group)
                else:
                    rest.append(p)
            if rest:
                self._adamw(rest, group)
        return loss

    def _orthogonal(self, p: Tensor, group: dict[str, Any]) -> None:
        state = self.state[p]
        assert p.grad is not None
        if not state:
            state["momentum"] = torch.zeros_like(p)
        state["momentum"].lerp_(p.grad, 1 - group["momentum"])
        direction = torch.lerp(p.grad, state["momentum"], group["momentum"])
        matrix = direction.reshape(len(p), -1)
        update = orthogonalise(matrix, group["steps"])
        scale = 0.2 * math.sqrt(max(matrix.shape))
        p.mul_(1 - group["lr"] * group["weight_decay"])
        p.add_(update.view_as(p), alpha=-group["lr"] * scale)

    def _adamw(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        first, second = group["betas"]
        for p in parameters:
            state = self.state[p]
            if not state:
                state["step"] = 0
                state["mean"] = torch.zeros_like(p)
                state["square"] = torch.zeros_like(p)
            state["step"] += 1
        grads = [p.grad for p in parameters if p.grad is not None]
        means = [self.state[p]["mean"] for p in parameters]
        squares = [self.state[p]["square"] for p in parameters]
        torch._foreach_lerp_(means, grads, 1 - first)
        torch._foreach_mul_(squares, second)
        torch._foreach_addcmul_(squares, grads, grads, 1 - second)
        torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        for p, mean, square in zip(parameters, means, squares, strict=True):
            step = self.state[p]["step"]
            root = (square / (1 - second**step)).sqrt_().add_(group["eps"])
            p.addcdiv_(mean, root, value=-group["lr"] / (1 - first**step))


def orthogonalise(matrix: Tensor, steps: int = 5) -> Tensor:
    """Bring the singular values of a matrix [M, N] close to 1 by a Newton-Schulz iteration.

    The quintic's coefficients are those of Jordan et al. (2024), which converge to about 0.7..1.2.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[0] > matrix.shape[1]
    x: Tensor = matrix.mT if tall else matrix
    x = x.bfloat16() if x.is_cuda else x.float()
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    x = x.to(matrix.dtype)
    return x.mT if tall else x
