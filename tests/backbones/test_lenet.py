"""LeNet-5 against what the paper says of it."""

import pytest
import torch
from torch import nn

from visionkit.backbones.lenet import LeNet


def test_its_parameters_are_the_papers():
    backbone = LeNet()
    counts = [sum(p.numel() for p in m.parameters()) for m in (backbone.c1, backbone.c3)]
    assert counts == [6 * (3 * 25 + 1), 16 * (6 * 25 + 1)]
    assert sum(p.numel() for p in backbone.c5.parameters()) == 48_120  # as in the paper
    assert [(f.stride, f.channels) for f in backbone.features] == [(2, 6), (4, 120)]


@pytest.mark.parametrize("size", [(28, 28), (97, 131), (1, 5)])
def test_its_maps_lie_on_the_grid(size):
    backbone = LeNet(pooling="max", activation="relu")
    maps = backbone(torch.randn(2, 3, *size))
    for f in backbone.features:
        assert maps[f.name].shape[2:] == tuple(-(-side // f.stride) for side in size)
    sum(m.sum() for m in maps.values()).backward()
    assert [n for n, p in backbone.named_parameters() if p.grad is None] == []


@torch.no_grad()
def test_options_do_what_they_say():
    torch.manual_seed(0)
    images = torch.randn(1, 3, 8, 8)
    tanh = LeNet()
    for activation, pooling in (("relu", "average"), ("tanh", "max"), ("relu", "max")):
        other = LeNet(activation=activation, pooling=pooling)
        other.load_state_dict(tanh.state_dict())
        x = other.c1(images)
        x = x.relu() if activation == "relu" else x.tanh()
        pool = nn.functional.max_pool2d if pooling == "max" else nn.functional.avg_pool2d
        torch.testing.assert_close(other(images)["stride2"], pool(x, 2))
    assert [f.channels for f in LeNet(width=2.5).features] == [15, 300]
    assert [f.channels for f in LeNet(width=0.01).features] == [1, 1]
