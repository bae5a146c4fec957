"""What every backbone promises: stated maps, freezing, learning rates by layer, advice."""

import pytest
import torch
from torch import Tensor, nn

from visionkit.backbones.base import Backbone, FeatureSpec, Norm, pick
from visionkit.backbones.csp import CspBackbone
from visionkit.backbones.known import STRIDES, having
from visionkit.backbones.lenet import LeNet
from visionkit.backbones.probing import dependencies
from visionkit.backbones.timm import TimmBackbone
from visionkit.backbones.torchvision import TorchvisionBackbone
from visionkit.build import build
from visionkit.compose import config_dir, groups
from visionkit.errors import ConfigError
from visionkit.listing import option_node

MAKERS = {
    "resnet18": lambda **k: TorchvisionBackbone("resnet18", **k),
    "lite0": lambda **k: TimmBackbone("tf_efficientnet_lite0", **k),
    "convnext_atto": lambda **k: TimmBackbone("convnext_atto", **k),
    "csp": lambda **k: CspBackbone(0.125, 0.1, **k),
    "lenet": lambda **k: LeNet(**k),
}


class Fixed(Backbone):
    """Takes 224 pixels, or any with ``open``; its first map is short by two cells for a stride."""

    def __init__(self, open_size: bool = False) -> None:
        super().__init__()
        self.open_size = open_size
        self.stem = nn.Conv2d(3, 4, 4, stride=4)
        self.down = nn.Conv2d(4, 5, 2, stride=2)
        self.finish(["fine", "coarse"], 0, False)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        x = self.padded(images)
        assert self.open_size or x.shape[-2:] == (224, 224), "one size only"
        fine = self.stem(x)
        return self.on_grid({"fine": fine, "coarse": self.down(fine)}, images.shape[-2:])


def trainable(backbone):
    return {n for n, p in backbone.named_parameters() if p.requires_grad}


def test_a_missing_stride_is_named_with_those_there_are_and_with_backbones_that_have_it():
    features = [FeatureSpec(f"s{s}", 8, s) for s in (4, 8, 16, 32)]
    with pytest.raises(ConfigError) as caught:
        pick(features, [2, 8], "neck")
    line = str(caught.value)
    assert line.startswith("neck: no feature map at stride 2; there are strides 4, 8, 16, 32; ")
    assert "backbones that have it: csp, resnet18, " in line
    assert "\n" not in line
    with pytest.raises(ConfigError, match=r"stride 1, 64; .* 32; choose other strides$"):
        pick(features, [1, 64], "head")
    with pytest.raises(ConfigError, match="ascending"):
        pick(features, [8, 4], "head")


def test_advice_names_backbones_with_all_the_strides():
    assert having([1, 32]) == "vgg16_bn"
    assert having([3]) == ""
    names, more = having([4]).rsplit(" and ", 1)
    assert len(names.split(", ")) == 8
    assert more == f"{sum(4 in s for s in STRIDES.values()) - 8} more"


def test_known_strides_are_those_of_conf():
    options = groups([config_dir()])["backbone"]
    assert sorted(STRIDES) == options
    for option in options:
        spec = option_node("backbone", option)
        try:
            with torch.device("meta"):  # no arithmetic: shapes are enough
                backbone = build(spec, "backbone")
        except NotImplementedError:  # RegNet computes its widths with tensors
            backbone = build(spec, "backbone")
        assert tuple(f.stride for f in backbone.features) == STRIDES[option], option


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


@pytest.mark.parametrize("name", ["resnet18", "lite0", "csp"])
def test_a_frozen_backbone_is_a_function_that_gradients_pass(name):
    backbone = MAKERS[name](frozen_stages="all").train()
    assert trainable(backbone) == set()
    assert not any(m.training for m in backbone.modules())
    images = torch.randn(2, 3, 64, 64, requires_grad=True)
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    sum(x.sum() for x in backbone(images).values()).backward()
    assert images.grad.abs().sum() > 0
    assert all(torch.equal(before[k], v) for k, v in backbone.state_dict().items())
    backbone.freeze(0, norm=False)
    assert backbone.train().training


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto"])
def test_frozen_norms(name):
    backbone = MAKERS[name](frozen_norm=True).train()
    norms = [m for m in backbone.modules() if isinstance(m, Norm)]
    assert norms
    assert not any(m.training or any(p.requires_grad for p in m.parameters()) for m in norms)
    assert trainable(backbone)
    assert backbone.training


def test_dependencies_are_found_map_by_map():
    backbone = LeNet()
    first, second = dependencies(backbone, ["stride2", "stride4"])
    assert first == {id(p) for p in backbone.c1.parameters()}
    assert second == {id(p) for p in backbone.parameters()}
    backbone.requires_grad_(False)
    assert dependencies(backbone, ["stride2"]) == [set()]


def test_learning_rates_fall_from_the_last_layer_to_the_first():
    backbone = MAKERS["resnet18"](layer_decay=0.5, lr_multiplier=0.2)
    found = backbone.multipliers()
    by_name = {n.split(".")[1]: found[id(p)] for n, p in backbone.named_parameters()}
    expected = {"conv1": 1 / 16, "bn1": 1 / 16, "layer1": 1 / 8, "layer2": 1 / 4, "layer3": 1 / 2}
    assert by_name == pytest.approx({k: 0.2 * v for k, v in expected.items()} | {"layer4": 0.2})
    assert len(found) == len(list(backbone.parameters()))
    even = MAKERS["resnet18"](lr_multiplier=0.2)
    assert set(even.multipliers().values()) == {0.2}


def test_a_map_without_parameters_of_its_own_is_no_layer():
    backbone = TorchvisionBackbone("alexnet", layer_decay=0.5)
    assert len(backbone.features) == 4  # the last is a pooling's
    found = backbone.multipliers()
    rates = [found[id(m.weight)] for m in backbone.modules() if isinstance(m, nn.Conv2d)]
    assert rates == [0.25, 0.5, 1.0, 1.0, 1.0]


def test_frozen_layers_need_no_learning_rate():
    backbone = MAKERS["csp"](layer_decay=0.5, frozen_stages=2)
    found = backbone.multipliers()
    rates = {found[id(p)] for p in backbone.parameters() if p.requires_grad}
    assert rates == {0.25, 0.5, 1.0}


def test_a_network_of_one_size_sees_smaller_pictures_padded():
    backbone = Fixed()
    assert [f.stride for f in backbone.features] == [4, 8]
    maps = backbone(torch.randn(1, 3, 97, 131))
    assert maps["fine"].shape == (1, 4, 25, 33)
    assert maps["coarse"].shape == (1, 5, 13, 17)
    with pytest.raises(ConfigError, match=r"^data.image_size: .*224 pixels .* got 225 x 97"):
        backbone(torch.zeros(1, 3, 225, 97))


def test_maps_that_would_lose_a_cell_get_it_by_padding():
    backbone = Fixed(open_size=True)
    images = torch.randn(1, 3, 97, 131)
    whole = nn.functional.pad(images, (0, 5, 0, 7))
    maps = backbone(images)
    torch.testing.assert_close(maps["fine"], backbone.stem(whole)[..., :25, :33])
    torch.testing.assert_close(maps["coarse"], backbone.down(backbone.stem(whole))[..., :13, :17])


def test_unsuitable_networks_are_refused_in_one_line():
    for make in (
        lambda: TorchvisionBackbone("resnet17"),
        lambda: TorchvisionBackbone("deeplabv3_resnet50"),
        lambda: TimmBackbone("resnet17"),
        lambda: CspBackbone(weights="default"),
        lambda: LeNet(weights="default"),
    ):
        with pytest.raises(ConfigError, match="backbone") as caught:
            make()
        assert "\n" not in str(caught.value)


def test_arguments_are_checked_by_range():
    node = {"_target_": "visionkit.backbones.csp.CspBackbone"}
    for key, value in {"layer_decay": 0.0, "drop_path": 1.0, "attention": "sse"}.items():
        with pytest.raises(ConfigError, match=rf"^backbone.{key}: "):
            build(node | {key: value}, "backbone")
