"""Necks: what they state is what they give, at any size."""

import pytest
import torch

from visionkit.backbones.base import FeatureSpec
from visionkit.errors import ConfigError
from visionkit.necks.fpn import FPN, PAFPN
from visionkit.necks.identity import Identity

FEATURES = tuple(FeatureSpec(f"s{s}", s + 4, s) for s in (4, 8, 16, 32))


def maps(height=97, width=131):
    return {
        f.name: torch.randn(2, f.channels, -(-height // f.stride), -(-width // f.stride))
        for f in FEATURES
    }


@pytest.mark.parametrize(
    "neck",
    [
        FPN(FEATURES, out_channels=16),
        FPN(FEATURES, (8, 16, 32, 64, 128), 16),
        FPN(FEATURES, (32, 64), 16),
        PAFPN(FEATURES, out_channels=16),
        PAFPN(FEATURES, (4, 8, 16, 32), (8, 16, 24, 32), depth=2),
        Identity(FEATURES),
    ],
)
def test_stated_maps_are_the_real_ones_and_every_parameter_is_used(neck):
    out = neck(maps())
    assert list(out) == [f.name for f in neck.features]
    for f in neck.features:
        expected = (2, f.channels, -(-97 // f.stride), -(-131 // f.stride))
        assert out[f.name].shape == expected
    sum(x.square().mean() for x in out.values()).backward() if list(neck.parameters()) else None
    assert [n for n, p in neck.named_parameters() if p.grad is None] == []


def test_sizes_that_were_rounded_down():
    ragged = {f.name: torch.randn(1, f.channels, 97 // f.stride, 131 // f.stride) for f in FEATURES}
    for neck in (FPN(FEATURES, out_channels=8), PAFPN(FEATURES, out_channels=8)):
        assert [x.shape[-2:] for x in neck(ragged).values()] == [(12, 16), (6, 8), (3, 4)]


def test_information_flows_both_ways_in_a_path_aggregation():
    neck = PAFPN(FEATURES, out_channels=8).eval()
    for source, target in (("s8", "p32"), ("s32", "p8")):
        x = maps()
        x[source].requires_grad_()
        neck(x)[target].sum().backward()
        assert x[source].grad.abs().sum() > 0


def test_missing_strides_are_named():
    for neck in (FPN, PAFPN):
        with pytest.raises(ConfigError, match="stride 2; there are strides 4, 8, 16, 32"):
            neck(FEATURES, (2, 8))
    with pytest.raises(ConfigError, match="stride 64"):
        PAFPN(FEATURES, (32, 64))


def test_channels_and_strides_must_match_in_number():
    with pytest.raises(ConfigError, match="out_channels"):
        PAFPN(FEATURES, (8, 16, 32), (8, 16))
