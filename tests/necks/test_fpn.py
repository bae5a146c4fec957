"""The pyramid against torchvision's, with and without norms and further maps."""

from collections import OrderedDict

import pytest
import torch
from torch import nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from visionkit.backbones.base import FeatureSpec
from visionkit.necks.fpn import FPN

FEATURES = tuple(FeatureSpec(f"s{s}", s + 4, s) for s in (4, 8, 16, 32))
STRIDES = (4, 8, 16, 32, 64)


def maps(height=100, width=132):
    torch.manual_seed(0)
    return {
        f.name: torch.randn(2, f.channels, -(-height // f.stride), -(-width // f.stride))
        for f in FEATURES
    }


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_it_gives_what_torchvisions_pyramid_gives(norm):
    theirs = FeaturePyramidNetwork(
        [f.channels for f in FEATURES],
        12,
        extra_blocks=LastLevelMaxPool(),
        norm_layer=nn.BatchNorm2d if norm == "batch" else None,
    )
    for i, parameter in enumerate(theirs.parameters()):
        torch.manual_seed(i)
        nn.init.normal_(parameter)
    neck = FPN(FEATURES, STRIDES, 12, norm=norm, extra="pool")
    state = zip(neck.state_dict(), ordered(theirs), strict=True)
    neck.load_state_dict(dict(state))
    out = neck(maps())
    expected = list(theirs(OrderedDict(maps())).values())
    assert [f.stride for f in neck.features] == list(STRIDES)
    for mine, other in zip(out.values(), expected, strict=True):
        assert torch.equal(mine, other)


def ordered(theirs):
    """Torchvision's tensors, laterals first, as ours are."""
    state = theirs.state_dict()
    inner = [v for k, v in state.items() if k.startswith("inner")]
    return inner + [v for k, v in state.items() if k.startswith("layer")]


def test_a_pooled_map_is_every_second_cell():
    out = FPN(FEATURES, (16, 32, 64, 128), 8, extra="pool")(maps())
    assert torch.equal(out["p64"], out["p32"][..., ::2, ::2])
    assert torch.equal(out["p128"], out["p64"][..., ::2, ::2])


def test_norms_follow_every_convolution():
    neck = FPN(FEATURES, STRIDES, 8, norm="batch")
    convs = [m for m in neck.modules() if isinstance(m, nn.Conv2d)]
    assert len(convs) == 4 + 4 + 1
    assert all(c.bias is None for c in convs)
    assert sum(isinstance(m, nn.BatchNorm2d) for m in neck.modules()) == len(convs)
    neck.train()
    for x in neck(maps()).values():
        assert torch.allclose(x.mean((0, 2, 3)), torch.zeros(8), atol=1e-5)


def test_new_convolutions_keep_the_variance():
    torch.manual_seed(0)
    neck = FPN((FeatureSpec("s8", 256, 8),), (8,), 256)
    out = neck({"s8": torch.randn(1, 256, 24, 24)})["p8"][..., 1:-1, 1:-1]
    assert out.std().item() == pytest.approx(1, abs=0.05)
