"""Backbones: what they state is what they give, freezing, weights from files."""

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from tiny import CSP, make_model

from visionkit.backbones.base import IMAGENET_MEAN, Norm, pick
from visionkit.backbones.csp import CspBackbone
from visionkit.backbones.timm import TimmBackbone
from visionkit.backbones.torchvision import TorchvisionBackbone
from visionkit.backbones.weights import load_weights
from visionkit.build import build
from visionkit.checkpoint import FORMAT
from visionkit.errors import CheckpointError, ConfigError

MAKERS = {
    "resnet18": lambda **k: TorchvisionBackbone("resnet18", **k),
    "mobilenet_v3_large": lambda **k: TorchvisionBackbone("mobilenet_v3_large", **k),
    "convnext_tiny": lambda **k: TorchvisionBackbone("convnext_tiny", **k),
    "lite0": lambda **k: TimmBackbone("tf_efficientnet_lite0", **k),
    "convnext_atto": lambda **k: TimmBackbone("convnext_atto", **k),
    "swin": lambda **k: TimmBackbone("swinv2_cr_tiny_ns_224", **k),
    "csp": lambda **k: CspBackbone(0.125, 0.1, **k),
}
ANY_SIZE = sorted(MAKERS.keys() - {"swin"})


def trainable(backbone):
    return {n for n, p in backbone.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("name", ANY_SIZE)
def test_stated_maps_are_the_real_ones_and_train_every_parameter(name):
    backbone = MAKERS[name]()
    strides = [f.stride for f in backbone.features]
    assert strides == sorted(set(strides))
    assert strides[-3:] == [8, 16, 32]
    maps = backbone(torch.randn(2, 3, 97, 131))
    for feature in backbone.features:
        height, width = maps[feature.name].shape[-2:]
        assert maps[feature.name].shape[:2] == (2, feature.channels)
        for side, cells in ((97, height), (131, width)):
            assert abs(side / feature.stride - cells) < 1, feature
            if "convnext" not in name:  # whose patches leave a rest over
                assert cells == -(-side // feature.stride)
    # strides 8 to 32 reach every parameter: plain DDP can train it under any of our detectors
    sum(maps[f.name].square().mean() for f in pick(backbone.features, [8, 16, 32], "")).backward()
    unused = [n for n, p in backbone.named_parameters() if p.grad is None]
    assert unused == []


def test_a_missing_stride_is_named_with_those_there_are():
    backbone = MAKERS["convnext_atto"]()
    assert [f.stride for f in backbone.features] == [4, 8, 16, 32]
    with pytest.raises(ConfigError, match=r"neck: .*stride 2; there are strides 4, 8, 16, 32"):
        pick(backbone.features, [2, 8], "neck")


@pytest.mark.parametrize("name", ["resnet18", "lite0", "csp"])
def test_frozen_stages_are_what_the_maps_are_made_from(name):
    backbone = MAKERS[name](frozen_stages=3).train()
    images = torch.randn(2, 3, 64, 64)
    early = [f.name for f in backbone.features[:3]]
    late = [f.name for f in backbone.features[3:]]
    maps = backbone(images)
    assert not any(maps[n].requires_grad for n in early)
    sum(maps[n].square().mean() for n in late).backward()
    assert trainable(backbone) == {n for n, p in backbone.named_parameters() if p.grad is not None}
    # the first maps never change, whatever training does
    before = {n: maps[n].clone() for n in early}
    with torch.no_grad():
        for parameter in backbone.parameters():
            if parameter.requires_grad:
                parameter.add_(1.0)
    after = backbone(torch.cat([images, 9 * images]))
    assert all(torch.equal(before[n], after[n][:2]) for n in early)
    live = [m for m in backbone.modules() if isinstance(m, Norm) and m.training]
    assert live
    assert all(next(m.parameters()).requires_grad for m in live)


def test_frozen_stages_are_bounded():
    with pytest.raises(ConfigError, match=r"frozen_stages: 6 .* give 0 to 5"):
        MAKERS["csp"](frozen_stages=6)
    assert trainable(MAKERS["csp"](frozen_stages=5)) == set()


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto"])
def test_frozen_norms(name):
    backbone = MAKERS[name](frozen_norm=True).train()
    norms = [m for m in backbone.modules() if isinstance(m, Norm)]
    assert norms
    assert not any(m.training or any(p.requires_grad for p in m.parameters()) for m in norms)
    assert trainable(backbone)
    assert backbone.training


def test_unsuitable_networks_are_refused_in_one_line():
    for make in (
        lambda: TorchvisionBackbone("resnet17"),
        lambda: TorchvisionBackbone("vit_b_32"),
        lambda: TorchvisionBackbone("swin_t"),
        lambda: TimmBackbone("resnet17"),
        lambda: CspBackbone(weights="default"),
    ):
        with pytest.raises(ConfigError, match="backbone") as caught:
            make()
        assert "\n" not in str(caught.value)


def test_weights_of_torchvision_in_every_wrapping(tmp_path):
    net = torchvision.models.resnet18()
    state = net.state_dict()
    files = {
        "plain.pth": state,
        "module.pth": {f"module.{k}": v for k, v in state.items()},
        "nested.pth": {"state_dict": state, "epoch": 3},
        "backbone.pt": {f"backbone.{k}": v for k, v in state.items()},
    }
    for name, content in files.items():
        torch.save(content, tmp_path / name)
    save_file(state, tmp_path / "plain.safetensors")
    for name in (*files, "plain.safetensors"):
        backbone = TorchvisionBackbone("resnet18", weights=str(tmp_path / name))
        own = backbone.state_dict()
        assert all(torch.equal(v, state[k.removeprefix("net.")]) for k, v in own.items()), name
    learned = [k for k in own if not k.endswith("num_batches_tracked")]
    assert load_weights(backbone, tmp_path / "plain.pth") == len(learned) == 100


def test_a_visionkit_checkpoint_gives_its_backbone_mean_and_std(tmp_path):
    model = make_model()
    state = {f"model.{k}": v for k, v in model.state_dict().items()}
    about = {"format": FORMAT, "preprocess": {"mean": [0.5, 0.4, 0.3], "std": [0.1, 0.2, 0.3]}}
    file = tmp_path / "a.ckpt"
    torch.save({"state_dict": state, "visionkit": about}, file)
    backbone = build(CSP | {"weights": str(file)}, "backbone")
    own, theirs = backbone.state_dict(), model.backbone.state_dict()
    assert all(torch.equal(v, theirs[k]) for k, v in own.items())
    assert (backbone.mean, backbone.std) == ((0.5, 0.4, 0.3), (0.1, 0.2, 0.3))
    assert model.backbone.mean == IMAGENET_MEAN


def test_mean_and_std_follow_the_network():
    assert TimmBackbone("tf_efficientnet_lite0").mean == (0.5, 0.5, 0.5)
    assert TorchvisionBackbone("resnet18").mean == IMAGENET_MEAN


def test_unfit_weight_files_are_refused_in_one_line(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "none.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "resnet18.pth")
    (tmp_path / "garbage.pth").write_bytes(b"\x00garbage" * 9)
    (tmp_path / "garbage.safetensors").write_bytes(b"\x00garbage" * 9)
    (tmp_path / "empty.pth").touch()
    torch.save({"visionkit": {}}, tmp_path / "damaged.pth")
    for name, words in {
        "none.pth": "none of its 1 tensors",
        "list.pth": "holds no state dict",
        "resnet18.pth": "other shapes",
        "garbage.pth": "not a weight file",
        "garbage.safetensors": "not a weight file",
        "empty.pth": "not a weight file",
        "damaged.pth": "damaged",
        "absent.pth": "no such weight file",
    }.items():
        with pytest.raises(CheckpointError, match=words) as caught:
            TorchvisionBackbone("resnet50", weights=str(tmp_path / name))
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


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
