"""Layers that learn at the same pace."""

import copy

import pytest
import torch
from torch import nn

from visionkit.backbones.equalised import equalised, leaky


def test_the_weight_is_a_parameter_of_deviation_1_times_a_constant():
    torch.manual_seed(0)
    layer = equalised(nn.Conv2d(8, 64, 3), gain=2.0)
    raw = layer.parametrizations.weight.original
    assert raw.std().item() == pytest.approx(1, abs=0.02)
    torch.testing.assert_close(layer.weight, raw * 2 / (8 * 9) ** 0.5)
    assert not layer.bias.any()
    out = layer(torch.randn(8, 8, 10, 10))
    assert out.std().item() == pytest.approx(2, abs=0.1)


def test_the_pace_changes_what_a_step_does_and_not_what_the_layer_is():
    steps = {}
    for pace in (1.0, 0.01):
        torch.manual_seed(0)
        layer = equalised(nn.Linear(100, 100), pace=pace)
        assert layer.weight.std().item() == pytest.approx(0.1, abs=0.01)
        before, lr = layer.weight.detach().clone(), 0.002
        optimizer = torch.optim.Adam(layer.parameters(), lr=lr, betas=(0.0, 0.99))
        layer(torch.ones(1, 100)).sum().backward()
        optimizer.step()
        steps[pace] = (before - layer.weight).mean().item()
        # Adam's first step is lr in each parameter
        assert layer.bias.mean().item() == pytest.approx(-lr * pace, rel=1e-3)
        assert steps[pace] == pytest.approx(lr * pace / 10, rel=1e-2)
    assert steps[1.0] == pytest.approx(100 * steps[0.01], rel=0.02)


def test_a_layer_without_a_bias_and_copies():
    layer = equalised(nn.Linear(4, 3, bias=False), pace=0.5)
    other = copy.deepcopy(layer)
    x = torch.randn(2, 4)
    assert torch.equal(other(x), layer(x))
    fresh = equalised(nn.Linear(4, 3, bias=False), pace=0.5)
    assert not torch.equal(fresh(x), layer(x))
    fresh.load_state_dict(layer.state_dict())
    assert torch.equal(fresh(x), layer(x))


def test_the_activation_keeps_the_mean_square():
    torch.manual_seed(0)
    values = leaky(torch.randn(200_000))
    # (1 + .2 ** 2) / 2 of it is left, times 2
    assert values.square().mean().item() == pytest.approx(1.04, abs=0.02)
    torch.testing.assert_close(leaky(torch.tensor([-5.0, 5.0])), torch.tensor([-1.0, 5.0]) * 2**0.5)
