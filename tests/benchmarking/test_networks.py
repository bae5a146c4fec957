"""Parameters and operations of what predicts."""

from pathlib import Path

import pytest
import torch
from bench_cases import pictures
from tiny import make_model
from torch import nn

from visionkit.benchmarking.networks import (
    compile_network,
    count_flops,
    count_parameters,
    predicting,
)
from visionkit.checkpoint import Loaded


def test_the_operations_of_a_network(tmp_path: Path) -> None:
    model = make_model().eval()
    loaded = Loaded(model, ("a", "b"), (64, 64), "detection", {}, None, {})
    files = pictures(tmp_path, 1)
    counted = count_flops(loaded, (64, 64), files)
    # every layer is a convolution
    products: list[int] = []

    def note(layer, _, out) -> None:
        products.append(layer.weight.numel() * out[0, 0].numel())

    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    with torch.no_grad():
        model(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    for hook in hooks:
        hook.remove()
    assert counted == 2 * sum(products) > 0
    assert count_flops(loaded, (128, 64), files) == pytest.approx(2 * counted, rel=0.01)


def test_a_critic_does_not_predict() -> None:
    class Gan(nn.Module):
        def __init__(self, generator: nn.Module) -> None:
            super().__init__()
            self.generator, self.critic = generator, nn.Linear(100, 100)

    assert count_parameters(Gan(nn.Linear(2, 3))) == 9
    both = nn.ModuleDict({"a_to_b": nn.Linear(2, 3), "b_to_a": nn.Linear(1, 1)})
    assert count_parameters(Gan(both)) == 11
    assert predicting(Gan(both)) == list(both.values())
    model = make_model()
    assert count_parameters(model) == sum(p.numel() for p in model.parameters())


def test_the_layers_are_compiled_for_one_size_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(nn.Module, "compile", lambda self, **how: seen.append((self, how)))
    model = make_model()
    compile_network(model)
    assert seen == [(model, {"dynamic": False})]
