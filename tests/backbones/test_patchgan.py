"""The critic that looks at patches, with its head."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from visionkit.backbones.patch_layers import InstanceNorm, make_norm
from visionkit.backbones.patchgan import PatchGan
from visionkit.errors import ConfigError
from visionkit.heads.patch import PatchDiscriminator


@pytest.mark.parametrize(("stages", "side"), [(1, 16), (2, 34), (3, 70)])
def test_a_logit_sees_the_papers_patch(stages, side):
    torch.manual_seed(0)
    critic = PatchGan(width=2, stages=stages, norm="none")
    images = torch.randn(1, 3, 160, 160, requires_grad=True)
    (logits,) = PatchDiscriminator(critic.features)(critic(images))
    assert logits.shape == (1, 160 // 2**stages, 160 // 2**stages)
    logits[0, logits.shape[1] // 2, logits.shape[2] // 2].backward()
    seen = images.grad.abs().sum((0, 1)) > 0
    assert seen.any(0).sum() == seen.any(1).sum() == side


@pytest.mark.parametrize(("channels", "size"), [(6, 2.769e6), (3, 2.765e6)])
def test_its_size_is_the_papers(channels, size):
    with torch.device("meta"):
        critic = PatchGan(norm="batch", in_channels=channels)
        head = PatchDiscriminator(critic.features)
    count = sum(p.numel() for p in [*critic.parameters(), *head.parameters()])
    assert count == pytest.approx(size, abs=1e3)


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize("canvas", [(28, 28), (97, 131), (3, 8)])
def test_its_maps_lie_on_the_grid(canvas, norm):
    torch.manual_seed(0)
    critic = PatchGan(width=2, norm=norm, spectral=norm == "none")
    assert [(f.stride, f.channels) for f in critic.features] == [(2, 2), (4, 4), (8, 16)]
    head = PatchDiscriminator(critic.features, spectral=norm == "none")
    images = torch.randn(2, 3, *canvas)
    maps = critic(images)
    for f in critic.features:
        assert maps[f.name].shape[1:] == (f.channels, *(-(-s // f.stride) for s in canvas))
    (logits,) = head(maps)
    assert logits.shape == (2, *maps["stride8"].shape[2:])
    logits.square().sum().backward()
    parameters = [*critic.named_parameters(), *head.named_parameters()]
    assert [n for n, p in parameters if p.grad is None] == []


def test_options_do_what_they_say():
    six = PatchGan(width=4, in_channels=6, stages="auto")
    assert six.in_channels == 6 and len(six.features) == 3
    assert six(torch.randn(1, 6, 32, 32))["stride2"].shape == (1, 4, 16, 16)
    assert PatchGan(width=4, in_channels="auto").in_channels == 3
    assert six.mean == six.std == (0.5, 0.5, 0.5)
    spectral = PatchGan(width=4, spectral=True)
    assert all(parametrize.is_parametrized(stage[1], "weight") for stage in spectral.stages)
    frozen = PatchGan(width=4, frozen_stages=1)
    assert [n for n, p in frozen.named_parameters() if not p.requires_grad] == [
        "stages.0.1.weight",
        "stages.0.1.bias",
    ]
    with pytest.raises(ConfigError, match=r"backbone\.weights: patchgan has no published"):
        PatchGan(weights="default")


def test_instance_norm_by_hand():
    norm = make_norm("instance", 2)
    assert isinstance(norm, nn.InstanceNorm2d)
    x = torch.tensor([[[[1.0, 3.0]], [[0.0, 4.0]]]])
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 2.0]))
        norm.bias.copy_(torch.tensor([0.0, 1.0]))
    expected = torch.tensor([[[[-1.0, 1.0]], [[-1.0, 3.0]]]])
    torch.testing.assert_close(norm(x), expected, atol=1e-4, rtol=0)
    # a single cell is scaled alone
    cell = torch.tensor([[[[5.0]], [[7.0]]]])
    torch.testing.assert_close(norm(cell), torch.tensor([[[[5.0]], [[15.0]]]]))
    assert isinstance(InstanceNorm(3).weight, nn.Parameter)
