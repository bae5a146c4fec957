"""Finding out what a network gives and what its maps depend on, by running it empty."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

CANVAS = 128
"""Side in pixels of the picture that shows what depends on what; Inception takes none below 75."""


def empty_run(network: nn.Module, side: int) -> dict[str, Tensor]:
    """Run a network in evaluation mode on an empty picture [1, C, side, side], where it is."""
    training = network.training
    network.eval()
    try:
        device = next(network.parameters()).device
        channels = next((c for m in network.modules() if (c := _channels(m))), 3)
        maps: dict[str, Tensor] = network(torch.zeros(1, channels, side, side, device=device))
    finally:
        network.train(training)
    return maps


def _channels(module: nn.Module) -> int | None:
    """How many channels a backbone says that its images have."""
    channels = getattr(module, "in_channels", None)
    return channels if isinstance(channels, int) else None


def dependencies(network: nn.Module, names: Sequence[str]) -> list[set[int]]:
    """Return, for each of the maps ``names``, the ids of the trainable parameters it depends on.

    Found by differentiating the maps, so it holds for any network.
    """
    parameters = [p for p in network.parameters() if p.requires_grad]
    if not parameters:
        return [set() for _ in names]
    found = []
    with torch.enable_grad():
        maps = empty_run(network, CANVAS)
        for name in names:
            gradients: Sequence[Tensor | None] = ()
            if maps[name].requires_grad:
                total = maps[name].float().square().sum()
                gradients = torch.autograd.grad(
                    total, parameters, retain_graph=True, allow_unused=True
                )
            pairs = zip(parameters, gradients, strict=False)
            found.append({id(p) for p, g in pairs if g is not None})
    return found


def parameters_behind(network: nn.Module, names: Sequence[str]) -> set[int]:
    """Return the ids of the trainable parameters that some of the maps ``names`` depend on."""
    return set().union(*dependencies(network, names))
