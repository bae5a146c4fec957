"""timm's networks as backbones."""

import time

import huggingface_hub
import pytest
import timm
import torch

from visionkit.backbones import timm as module
from visionkit.backbones.timm import TimmBackbone
from visionkit.backbones.weights import load_weights
from visionkit.errors import CheckpointError, ConfigError

STRIDES = {
    "tf_efficientnet_lite0": [2, 4, 8, 16, 32],
    "convnext_atto": [4, 8, 16, 32],
    "vit_tiny_patch16_224": [16],
    "swin_tiny_patch4_window7_224": [4, 8, 16, 32],  # [B, H, W, C], and of one size
}


@pytest.mark.parametrize("name", STRIDES)
def test_odd_maps_are_the_stated_ones_and_train_every_parameter(name):
    backbone = TimmBackbone(name).train()
    assert [f.stride for f in backbone.features] == STRIDES[name]
    maps = backbone(torch.randn(2, 3, 97, 131))
    for f in backbone.features:
        cells = (-(-97 // f.stride), -(-131 // f.stride))
        assert maps[f.name].shape == (2, f.channels, *cells)
    sum(m.square().mean() for m in maps.values()).backward()
    assert [n for n, p in backbone.named_parameters() if p.grad is None] == []


def test_mean_and_std_follow_the_network():
    assert TimmBackbone("tf_efficientnet_lite0").mean == (0.5, 0.5, 0.5)


def test_drop_path_is_timms():
    backbone = TimmBackbone("convnext_atto", drop_path=0.3)
    rates = [m.drop_prob for m in backbone.modules() if hasattr(m, "drop_prob")]
    assert rates[-1] == pytest.approx(0.3)


def test_drop_path_is_refused_for_networks_without_it(monkeypatch):
    create = timm.create_model

    def without(*arguments, drop_path_rate=None, **options):
        if drop_path_rate is not None:  # as a VGG's constructor, which takes long to build
            raise TypeError("got an unexpected keyword argument 'drop_path_rate'")
        return create(*arguments, **options)

    monkeypatch.setattr(timm, "create_model", without)
    TimmBackbone("mobilenetv3_small_050", drop_path=0.0)
    with pytest.raises(ConfigError, match=r"^backbone.drop_path: timm's mobilenetv3_small_050"):
        TimmBackbone("mobilenetv3_small_050", drop_path=0.1)


def test_without_a_network_default_weights_give_one_line_soon(monkeypatch, tmp_path):
    class Unreachable:
        def head(self, *_, **__):
            raise ConnectionError("Name or service not known\nand more")

    monkeypatch.setattr(module, "get_session", Unreachable)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    start = time.monotonic()
    with pytest.raises(CheckpointError, match=r"resnet18.*\(Name or service not known\); go") as e:
        TimmBackbone("resnet18", weights="default")
    assert "\n" not in str(e.value)
    assert time.monotonic() - start < 5


@pytest.mark.real
def test_real_weights_of_timm_load_whole(shared_data):
    file = shared_data / "weights" / "tf_efficientnet_lite0_timm.pth"
    backbone = TimmBackbone("tf_efficientnet_lite0", weights=str(file)).eval()
    learned = [k for k in backbone.state_dict() if not k.endswith("num_batches_tracked")]
    assert load_weights(backbone, file) == len(learned)
    net = timm.create_model("tf_efficientnet_lite0").eval()
    net.load_state_dict(torch.load(file, weights_only=True), strict=False)
    images = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        theirs = net.forward_intermediates(images, intermediates_only=True)
        ours = list(backbone(images).values())
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_the_final_map_is_what_the_network_pools():
    torch.manual_seed(0)
    backbone = TimmBackbone("mobilenetv2_050", final=True).eval()
    plain = TimmBackbone("mobilenetv2_050").eval()
    assert [f.stride for f in backbone.features] == [f.stride for f in plain.features]
    assert backbone.features[-1].channels > plain.features[-1].channels
    net = timm.create_model("mobilenetv2_050").eval()
    backbone.net.load_state_dict(net.state_dict(), strict=False)
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        last = backbone(images)[backbone.features[-1].name]
        assert torch.equal(last, net.forward_features(images))
    with pytest.raises(ConfigError, match=r"backbone.final"):
        TimmBackbone("vit_tiny_patch16_224", final=True)
