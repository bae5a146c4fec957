"""torchvision's classifiers: every family, at any size, with its published state dicts."""

import math

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models import VisionTransformer, get_model
from torchvision.models.maxvit import PartitionAttentionLayer
from torchvision.ops import StochasticDepth

from visionkit.backbones import torchvision as module
from visionkit.backbones.base import IMAGENET_MEAN
from visionkit.backbones.torchvision import TorchvisionBackbone
from visionkit.backbones.trunks import _AnySizeAttention
from visionkit.backbones.vit import VisionTransformerTrunk, resized_embedding
from visionkit.backbones.weights import load_weights
from visionkit.errors import ConfigError

ALL, NO_2, LIGHT = (2, 4, 8, 16, 32), (4, 8, 16, 32), (2, 4, 8, 16)
SMALLEST = {
    "alexnet": NO_2,
    "vgg11_bn": (1, *ALL),
    "googlenet": ALL,
    "inception_v3": ALL,
    "resnet18": ALL,
    "resnext50_32x4d": ALL,
    "wide_resnet50_2": ALL,
    "densenet121": ALL,
    "mobilenet_v2": ALL,
    "mobilenet_v3_small": ALL,
    "efficientnet_b0": ALL,
    "efficientnet_v2_s": ALL,
    "regnet_y_400mf": ALL,
    "shufflenet_v2_x0_5": ALL,
    "squeezenet1_1": LIGHT,
    "mnasnet0_5": ALL,
    "convnext_tiny": NO_2,
    "vit_b_32": (32,),
    "swin_t": NO_2,
    "maxvit_t": ALL,
}
"""The smallest member of each family, with its strides."""


@pytest.fixture(scope="module", params=SMALLEST)
def backbone(request):
    torch.manual_seed(0)
    return TorchvisionBackbone(request.param)


def check_sizes(backbone, maps, batch, height, width):
    assert list(maps) == [f.name for f in backbone.features]
    for f in backbone.features:
        cells = (-(-height // f.stride), -(-width // f.stride))
        assert maps[f.name].shape == (batch, f.channels, *cells), f


def test_odd_maps_are_the_stated_ones_and_train_every_parameter(backbone):
    assert tuple(f.stride for f in backbone.features) == SMALLEST[backbone.name]
    maps = backbone.train()(torch.randn(2, 3, 97, 131))
    check_sizes(backbone, maps, 2, 97, 131)
    sum(m.square().mean() for m in maps.values()).backward()
    assert [n for n, p in backbone.named_parameters() if p.grad is None] == []
    backbone.zero_grad()


@torch.no_grad()
def test_even_maps_are_the_stated_ones_and_certain_in_evaluation(backbone):
    images = torch.randn(1, 3, 80 if backbone.name == "inception_v3" else 64, 96)
    backbone.eval()
    maps, again = backbone(images), backbone(images)
    check_sizes(backbone, maps, 1, *images.shape[-2:])
    assert all(torch.equal(m, again[n]) for n, m in maps.items())
    assert all(torch.isfinite(m).all() for m in maps.values())


LOGITS = {
    "googlenet": lambda net, x: net.fc(net.avgpool(x).flatten(1)),
    "densenet121": lambda net, x: net.classifier(x.mean((2, 3))),
    "mnasnet0_5": lambda net, x: net.classifier(x.mean((2, 3))),
    "shufflenet_v2_x0_5": lambda net, x: net.fc(x.mean((2, 3))),
    "swin_t": lambda net, x: net.head(x.mean((2, 3))),
}


@pytest.mark.parametrize("name", LOGITS)
def test_the_last_map_gives_the_classifiers_logits_from_its_state_dict(name, tmp_path):
    torch.manual_seed(1)
    more = {"init_weights": False, "aux_logits": True} if name == "googlenet" else {}
    net = get_model(name, **more).eval()
    state = net.state_dict()
    if name == "densenet121":  # the published file is older than these names
        state = {
            k.replace("norm1", "norm.1").replace("conv2", "conv.2") if "denselayer" in k else k: v
            for k, v in state.items()
        }
    torch.save(dict(state), tmp_path / "net.pth")
    backbone = TorchvisionBackbone(name, weights=str(tmp_path / "net.pth")).eval()
    assert not any("aux" in n for n, _ in backbone.named_parameters())
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        logits = LOGITS[name](net, backbone(images)[backbone.features[-1].name])
        torch.testing.assert_close(logits, net(images), rtol=1e-4, atol=1e-5)


def test_padding_leaves_every_cell_where_it_is():
    """A VGG would drop the last column of 97; what is left must not move for it."""
    torch.manual_seed(0)
    backbone = TorchvisionBackbone("vgg11_bn").eval()
    images = torch.randn(1, 3, 32, 97)
    with torch.no_grad():
        odd, even = backbone(images), backbone(nn.functional.pad(images, (0, 31)))
    for f in backbone.features:
        torch.testing.assert_close(odd[f.name], even[f.name][..., : -(-97 // f.stride)])


def test_small_pictures():
    for name in ("vgg11_bn", "densenet121"):
        with torch.no_grad():
            backbone = TorchvisionBackbone(name).eval()
            check_sizes(backbone, backbone(torch.randn(1, 3, 28, 28)), 1, 28, 28)
    with pytest.raises(ConfigError, match=r"data.image_size: .*at least 63 pixels.*got 28 x 64"):
        TorchvisionBackbone("alexnet")(torch.zeros(1, 3, 28, 64))


def test_a_vgg_without_its_classifier_begins_as_the_whole_one():
    torch.manual_seed(0)
    convs = [m for m in TorchvisionBackbone("vgg11_bn").modules() if isinstance(m, nn.Conv2d)]
    assert len(convs) == 8
    for conv in convs:
        assert conv.weight.std().item() == pytest.approx(
            math.sqrt(2 / (9 * conv.out_channels)), rel=0.1
        )
        assert conv.bias.eq(0).all()


def test_mean_and_deviation_follow_the_published_weights():
    assert TorchvisionBackbone("resnet18").mean == IMAGENET_MEAN
    backbone = TorchvisionBackbone("googlenet")
    assert backbone.mean == backbone.std == (0.5, 0.5, 0.5)


def test_drop_path_is_the_last_blocks_rate():
    backbone = TorchvisionBackbone("efficientnet_b0", drop_path=0.4)
    rates = [m.p for m in backbone.modules() if isinstance(m, StochasticDepth)]
    assert rates[-1] == pytest.approx(0.4)
    assert rates == sorted(rates)
    assert rates[0] == 0
    own = [m.p for m in TorchvisionBackbone("efficientnet_b0").modules() if hasattr(m, "p")]
    assert max(own) == pytest.approx(0.2 * 15 / 16)
    TorchvisionBackbone("shufflenet_v2_x0_5", drop_path=0.0)
    with pytest.raises(ConfigError, match=r"^backbone.drop_path: .*shufflenet_v2_x0_5 has no"):
        TorchvisionBackbone("shufflenet_v2_x0_5", drop_path=0.1)


def test_published_weights_are_told_by_whether_they_are_at_hand(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    backbone = TorchvisionBackbone("shufflenet_v2_x0_5")
    assert backbone.published() == "torchvision"
    (tmp_path / "checkpoints").mkdir()
    url = torchvision.models.get_model_weights("shufflenet_v2_x0_5").DEFAULT.url
    (tmp_path / "checkpoints" / url.rpartition("/")[2]).touch()
    assert backbone.published() == "torchvision, downloaded"


def small_vit(image_size=32, patch_size=16):
    return VisionTransformer(image_size, patch_size, 3, 2, 16, 32, num_classes=5)


@pytest.fixture
def vit(monkeypatch):
    monkeypatch.setattr(module, "_build", lambda name, weights: small_vit())
    return lambda **options: TorchvisionBackbone("vit_b_16", **options)


def test_a_transformers_map_is_its_tokens():
    net = small_vit().eval()
    nn.init.normal_(net.heads.head.weight)
    images = torch.randn(2, 3, 32, 32)
    tokens = []
    net.encoder.register_forward_hook(lambda _, __, out: tokens.append(out))
    with torch.no_grad():
        net(images)
        (found,) = VisionTransformerTrunk(net)(images).values()
    expected = tokens[0][:, 1:].reshape(2, 2, 2, 16).permute(0, 3, 1, 2)
    torch.testing.assert_close(found, expected)


def test_a_transformer_takes_any_size(vit):
    backbone = vit()
    check_sizes(backbone, backbone(torch.randn(1, 3, 97, 131)), 1, 97, 131)
    assert [f.stride for f in backbone.features] == [16]


def test_a_patch_that_is_no_power_of_two_has_the_nearest_stride(monkeypatch):
    monkeypatch.setattr(module, "_build", lambda name, weights: small_vit(28, 14))
    backbone = TorchvisionBackbone("vit_h_14")
    assert [f.stride for f in backbone.features] == [16]
    check_sizes(backbone, backbone(torch.randn(1, 3, 112, 130)), 1, 112, 130)


def test_embeddings_are_interpolated_and_the_class_tokens_is_kept():
    embedding = torch.cat([torch.full((1, 1, 3), 9.0), torch.full((1, 4, 3), 2.0)], 1)
    assert resized_embedding(embedding, 2, 2) is embedding
    larger = resized_embedding(embedding, 3, 5)
    assert larger.shape == (1, 16, 3)
    assert larger[0, 0].eq(9).all()
    torch.testing.assert_close(larger[0, 1:], torch.full((15, 3), 2.0))
    rising = torch.tensor([0.0, 0, 1, 1]).view(1, 4, 1)  # down the rows
    taller = resized_embedding(torch.cat([torch.zeros(1, 1, 1), rising], 1), 4, 2)[0, 1:, 0]
    assert taller.view(4, 2).diff(dim=0).min() > 0
    assert taller.view(4, 2).diff(dim=1).abs().max() < 1e-6


def test_a_transformers_layers_are_its_blocks(vit):
    backbone = vit(layer_decay=0.5, lr_multiplier=0.1)
    found = backbone.multipliers()
    by_name = {n: found[id(p)] for n, p in backbone.named_parameters()}
    expected = {
        "net.class_token": 0.1 / 8,
        "net.conv_proj.weight": 0.1 / 8,
        "net.encoder.pos_embedding": 0.1 / 8,
        "net.encoder.layers.encoder_layer_0.ln_1.weight": 0.1 / 4,
        "net.encoder.layers.encoder_layer_1.mlp.0.weight": 0.1 / 2,
        "net.encoder.layers.encoder_layer_2.mlp.3.bias": 0.1,
        "net.encoder.ln.weight": 0.1,
    }
    assert {n: by_name[n] for n in expected} == pytest.approx(expected)
    assert len(set(by_name.values())) == 4


def test_a_transformers_weights_of_another_canvas_and_of_older_names_load(vit, tmp_path):
    net = small_vit(image_size=64)
    state = {
        k.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): v
        for k, v in net.state_dict().items()
    }
    torch.save(state, tmp_path / "vit.pth")
    backbone = vit()
    assert load_weights(backbone, tmp_path / "vit.pth") == len(backbone.state_dict())
    loaded = backbone.state_dict()
    key = "encoder.layers.encoder_layer_1.mlp.3.weight"
    assert torch.equal(loaded[f"net.{key}"], net.state_dict()[key])
    expected = resized_embedding(net.encoder.pos_embedding, 2, 2)
    assert torch.equal(loaded["net.encoder.pos_embedding"], expected)


@pytest.mark.parametrize("kind", ["window", "grid"])
def test_attention_for_any_size_is_the_original_where_that_works(kind):
    torch.manual_seed(0)
    options = (8, 4, 2, kind, (6, 6), 2, nn.GELU, nn.LayerNorm, 0.0, 0.0, 0.0)
    layer = PartitionAttentionLayer(*options).eval()
    images = torch.randn(1, 8, 6, 6)
    with torch.no_grad():
        expected = layer(images)
        layer.__class__ = _AnySizeAttention
        torch.testing.assert_close(layer(images), expected)
        assert layer(torch.randn(2, 8, 5, 7)).shape == (2, 8, 5, 7)
