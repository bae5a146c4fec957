"""Group norms in the place of batch norms: where, with which weights, and in checkpoints."""

import pytest
import torch
from tiny import CSP, NECK
from torch import nn

from visionkit.backbones.base import Norm
from visionkit.backbones.norms import group_norms
from visionkit.backbones.timm import TimmBackbone
from visionkit.checkpoint import PARTS, entry, start_from
from visionkit.models.model import build_model

LOSS = {"_target_": "visionkit.losses.segmentation.SegmentationLoss"}
FPN = {"_target_": "visionkit.heads.segmentation.fpn.FpnHead", "loss": LOSS, "width": 16}
SPEC = {"backbone": CSP, "neck": NECK, "head": FPN}
GROUPED = SPEC | {"model": {"norm": "group"}}


def norms(module):
    return {type(m) for m in module.modules() if isinstance(m, Norm)}


def checkpoint_entry(model, spec):
    return entry("segmentation", spec, model, ("a", "b"), (64, 64), {}, None, {})


def test_every_part_is_exchanged_and_no_batch_is_seen():
    model = build_model(GROUPED, 2)
    assert norms(model) == {nn.GroupNorm}
    assert model.grouped == ("backbone", "neck", "head")
    images = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    model.train()
    model.head.dropout.p = 0.0
    together = model(images).logits.detach()
    alone = torch.cat([model(one[None]).logits for one in images])
    assert torch.allclose(together, alone, atol=1e-5)
    model.eval()
    assert torch.allclose(together, model(images).logits, atol=1e-5)
    assert norms(build_model(SPEC, 2)) == {nn.BatchNorm2d}


@pytest.mark.parametrize(("channels", "groups"), [(64, 8), (24, 4), (12, 2), (6, 1), (7, 1)])
def test_groups_have_four_channels_or_more(channels, groups):
    model = nn.Sequential(nn.BatchNorm2d(channels))
    group_norms(model)
    assert model[0].num_groups == groups
    assert model(torch.randn(1, channels, 1, 1)).shape == (1, channels, 1, 1)


def test_what_is_frozen_stays_frozen_and_activations_within_norms_stay():
    model = nn.Sequential(nn.BatchNorm2d(8).requires_grad_(False))
    group_norms(model)
    assert not model[0].weight.requires_grad
    backbone = TimmBackbone("tf_efficientnet_lite0").eval()
    images = torch.randn(1, 3, 64, 64)
    before = sum(isinstance(m, nn.ReLU6) for m in backbone.modules())
    group_norms(backbone)
    assert norms(backbone) == {nn.GroupNorm}
    assert sum(isinstance(m, nn.ReLU6) for m in backbone.modules()) == before > 0
    assert [f.name for f in backbone.features] == list(backbone(images))


def test_a_checkpoint_says_which_parts(tmp_path):
    model = build_model(GROUPED, 2).eval()
    about = checkpoint_entry(model, GROUPED)
    assert about["spec"]["grouped"] == ["backbone", "neck", "head"]
    again = build_model(about["spec"], 2, packages=PARTS).eval()
    again.load_state_dict(model.state_dict())
    images = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    assert torch.equal(model(images).logits, again(images).logits)
    del about["spec"]["grouped"]  # as older checkpoints have it
    assert norms(build_model(about["spec"], 2)) == {nn.BatchNorm2d}


@pytest.mark.parametrize("first", [SPEC, GROUPED])
@pytest.mark.parametrize("then", [SPEC, GROUPED])
def test_a_backbone_with_weights_keeps_its_norms(tmp_path, first, then):
    one = build_model(first, 2)
    file = tmp_path / "first.ckpt"
    state = {f"model.{k}": v for k, v in one.state_dict().items()}
    torch.save({"state_dict": state, "visionkit": checkpoint_entry(one, first)}, file)
    spec = then | {"backbone": {**CSP, "weights": str(file)}}
    other = build_model(spec, 2)
    assert norms(other.backbone) == norms(one.backbone)
    assert norms(other.head) == ({nn.GroupNorm} if then is GROUPED else {nn.BatchNorm2d})
    mine, theirs = one.backbone.state_dict(), other.backbone.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(v, theirs[k]) for k, v in mine.items())
    about = checkpoint_entry(other, spec)
    again = build_model(about["spec"], 2, packages=PARTS)
    assert again.state_dict().keys() == other.state_dict().keys()


@pytest.mark.parametrize("first", [SPEC, GROUPED])
@pytest.mark.parametrize("then", ["batch", "group"])
def test_a_model_with_weights_keeps_its_norms(tmp_path, first, then):
    one = build_model(first, 2).eval()
    file = tmp_path / "first.ckpt"
    state = {f"model.{k}": v for k, v in one.state_dict().items()}
    torch.save({"state_dict": state, "visionkit": checkpoint_entry(one, first)}, file)
    other = build_model(SPEC | {"model": {"norm": then, "weights": str(file)}}, 2)
    start_from(other, file)
    assert norms(other) == norms(one)
    assert other.grouped == one.grouped
    images = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    assert torch.equal(other.eval()(images).logits, one(images).logits)


def test_a_random_backbone_with_frozen_norms_is_told(caplog):
    spec = GROUPED | {"backbone": {**CSP, "frozen_norm": True}}
    model = build_model(spec, 2)
    assert "backbone.frozen_norm: the backbone starts at random" in caplog.text
    caplog.clear()
    build_model(checkpoint_entry(model, spec)["spec"], 2)
    assert caplog.text == ""
