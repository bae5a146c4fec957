"""visionkit's own trunk and its options."""

import pytest
import torch
from torch import nn

from visionkit.backbones.attention import (
    ConvBlockAttention,
    EfficientChannelAttention,
    SqueezeExcitation,
    make_attention,
)
from visionkit.backbones.csp import CspBackbone
from visionkit.backbones.layers import Bottleneck, DropPath
from visionkit.backbones.weights import load_weights


def make(**options):
    torch.manual_seed(0)
    return CspBackbone(0.125, 0.67, **options)


def test_odd_maps_are_the_stated_ones_and_train_every_parameter():
    backbone = make().train()
    maps = backbone(torch.randn(2, 3, 97, 131))
    assert [f.stride for f in backbone.features] == [2, 4, 8, 16, 32]
    for f in backbone.features:
        cells = (-(-97 // f.stride), -(-131 // f.stride))
        assert maps[f.name].shape == (2, f.channels, *cells)
    sum(maps[f.name].square().mean() for f in backbone.features[2:]).backward()
    assert [n for n, p in backbone.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("kind", ["se", "eca", "cbam"])
def test_attention_adds_parameters_behind_each_block_and_renames_none(kind, tmp_path):
    plain, backbone = make(), make(attention=kind)
    names = set(plain.state_dict())
    assert not any("attention" in n for n in names)
    assert {"stem.0.weight", "stages.0.1.mix.0.weight", "stages.3.2.reduce.0.weight"} <= names
    added = set(backbone.state_dict()) - names
    assert {n.partition(".attention.")[0] for n in added} == {f"stages.{k}.1" for k in range(4)}
    backbone(torch.randn(2, 3, 64, 64))["stride32"].square().mean().backward()
    assert [n for n, p in backbone.named_parameters() if p.grad is None] == []
    torch.save(plain.state_dict(), tmp_path / "plain.pth")
    load_weights(backbone, tmp_path / "plain.pth")
    assert torch.equal(backbone.state_dict()["stem.0.weight"], plain.stem[0].weight)


@pytest.mark.parametrize("kind", ["se", "eca", "cbam"])
@torch.no_grad()
def test_attention_without_weights_halves_each_of_its_steps(kind):
    block = make_attention(kind, 32)
    for parameter in block.parameters():
        parameter.zero_()
    x = torch.randn(2, 32, 5, 7)
    torch.testing.assert_close(block(x), x / (4 if kind == "cbam" else 2))


@torch.no_grad()
def test_squeeze_and_excitation_weighs_channels_by_their_means():
    block = SqueezeExcitation(4, reduction=1)
    for layer in (block.weigh[0], block.weigh[2]):
        layer.weight.copy_(torch.eye(4).view(4, 4, 1, 1))
        layer.bias.zero_()
    x = torch.tensor([[1.0, 3.0], [-1.0, -3.0], [0.0, 0.0], [2.0, 2.0]]).view(1, 4, 1, 2)
    gates = torch.sigmoid(torch.tensor([2.0, 0.0, 0.0, 2.0])).view(1, 4, 1, 1)
    torch.testing.assert_close(block(x), x * gates)


@torch.no_grad()
def test_efficient_channel_attention_sees_neighbouring_channels():
    kernels = {8: 3, 64: 3, 128: 5, 256: 5, 512: 5, 1024: 5}
    for channels, kernel in kernels.items():
        assert EfficientChannelAttention(channels).weigh.kernel_size == (kernel,)
    block = EfficientChannelAttention(8)
    block.weigh.weight.copy_(torch.tensor([1.0, 0.0, 0.0]).view(1, 1, 3))  # the one before
    means = torch.arange(8.0)
    x = means.view(1, 8, 1, 1).expand(1, 8, 2, 2)
    gates = torch.sigmoid(torch.tensor([0.0, 0, 1, 2, 3, 4, 5, 6]))
    torch.testing.assert_close(block(x)[0, :, 0, 0], means * gates)


@torch.no_grad()
def test_block_attention_weighs_places_by_mean_and_maximum():
    block = ConvBlockAttention(4)
    for layer in (block.weigh[0], block.weigh[2]):
        layer.weight.zero_()
        layer.bias.zero_()
    block.look.weight.zero_()
    block.look.weight[0, :, 3, 3] = torch.tensor([1.0, 10.0])
    x = torch.rand(1, 4, 3, 3)
    half = x / 2
    place = half.mean(1, keepdim=True) + 10 * half.amax(1, keepdim=True)
    torch.testing.assert_close(block(x), half * torch.sigmoid(place))


def test_a_dropped_branch_is_dropped_for_whole_pictures_and_the_mean_stays():
    torch.manual_seed(0)
    drop = DropPath(0.25).train()
    x = torch.ones(4000, 2, 3, 3)
    y = drop(x)
    assert y.unique().tolist() == pytest.approx([0, 4 / 3])
    assert torch.equal(y, y[:, :1, :1, :1].expand_as(y))
    assert y.mean().item() == pytest.approx(1, abs=0.03)
    assert drop.eval()(x) is x


def test_drop_path_grows_with_depth():
    backbone = make(drop_path=0.3)
    rates = [m.drop_path.rate for m in backbone.modules() if isinstance(m, Bottleneck)]
    assert rates == pytest.approx([0.3 * k / 11 for k in range(12)])


def test_drop_path_none_changes_nothing_and_some_drops_only_in_training():
    images = torch.randn(2, 3, 64, 64)
    plain, none, much = make().train(), make(drop_path=0.0).train(), make(drop_path=0.9).train()
    torch.manual_seed(3)
    expected = plain(images)["stride32"]
    untouched = torch.get_rng_state()
    torch.manual_seed(3)
    assert torch.equal(none(images)["stride32"], expected)
    assert torch.equal(torch.get_rng_state(), untouched)
    assert not torch.equal(much(images)["stride32"], expected)
    for backbone in (plain, much):
        backbone.eval()
        for module in backbone.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
    assert torch.equal(much(images)["stride32"], plain(images)["stride32"])
