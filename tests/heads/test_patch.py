"""Logits of patches."""

import pytest
import torch
import torch.nn.functional as F

from visionkit.backbones.base import FeatureSpec
from visionkit.errors import ConfigError
from visionkit.heads.patch import PatchDiscriminator

FEATURES = (FeatureSpec("fine", 2, 4), FeatureSpec("coarse", 3, 8))


@torch.no_grad()
def test_a_logit_for_each_cell_by_hand():
    torch.manual_seed(0)
    head = PatchDiscriminator(FEATURES)
    maps = {"fine": torch.randn(2, 2, 8, 8), "coarse": torch.randn(2, 3, 4, 5)}
    (logits,) = head(maps)
    assert logits.shape == (2, 4, 5)
    # the cell and one before it, and two behind it
    patch = F.pad(maps["coarse"], (1, 2, 1, 2))[0, :, 1:5, 2:6]
    expected = (patch * head.logit.weight[0]).sum() + head.logit.bias[0]
    torch.testing.assert_close(logits[0, 1, 2], expected)
    assert [f.name for f in head.used] == ["coarse"]
    fine = PatchDiscriminator(FEATURES, stride=4)
    assert fine(maps)[0].shape == (2, 8, 8)


@torch.no_grad()
def test_a_class_adds_its_projection():
    torch.manual_seed(0)
    head = PatchDiscriminator(FEATURES, num_classes=4)
    maps = {"coarse": torch.randn(2, 3, 1, 2)}
    labels = F.one_hot(torch.tensor([3, 0]), 4).float()
    (logits,) = head(maps, labels)
    (plain,) = head(maps, torch.zeros(2, 4))
    expected = (maps["coarse"][0, :, 0, 1] * head.classes.weight[:, 3]).sum()
    torch.testing.assert_close((logits - plain)[0, 0, 1], expected)


def test_a_map_that_is_not_there_is_told():
    with pytest.raises(ConfigError, match="no feature map at stride 16"):
        PatchDiscriminator(FEATURES, stride=16)


def test_spectral_norms_bound_it():
    torch.manual_seed(0)
    head = PatchDiscriminator(FEATURES, 2, spectral=True)
    with torch.no_grad():
        head.logit.parametrizations.weight.original.mul_(100)
        for _ in range(20):
            head({"coarse": torch.randn(1, 3, 2, 2)}, torch.eye(2)[:1])
    assert head.logit.weight.norm().item() == pytest.approx(1.0, abs=1e-3)
