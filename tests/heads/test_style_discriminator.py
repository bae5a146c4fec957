"""The last layers of StyleGAN2's critic."""

import pytest
import torch

from visionkit.backbones.base import FeatureSpec
from visionkit.heads.style_discriminator import StyleDiscriminator

FEATURES = (FeatureSpec("fine", 4, 4), FeatureSpec("coarse", 6, 8))


def maps(count=4, side=4):
    torch.manual_seed(1)
    return {
        "fine": torch.randn(count, 4, 2 * side, 2 * side),
        "coarse": torch.randn(count, 6, side, side),
    }


@pytest.mark.parametrize("side", [1, 4, 7])
@pytest.mark.parametrize("options", [{}, {"deviation": 0}, {"hidden": 5}])
def test_a_logit_for_each_picture_from_the_coarsest_map(side, options):
    head = StyleDiscriminator(FEATURES, **options)
    assert [f.name for f in head.used] == ["coarse"]
    (logits,) = head(maps(side=side))
    assert logits.shape == (4,)
    logits.square().sum().backward()
    assert [n for n, p in head.named_parameters() if p.grad is None] == []


@torch.no_grad()
def test_the_deviation_tells_pictures_that_are_alike():
    torch.manual_seed(0)
    head = StyleDiscriminator(FEATURES)
    alike = {k: v[:1].repeat(4, 1, 1, 1) for k, v in maps().items()}
    (said,) = head(alike)
    torch.testing.assert_close(said, said[:1].expand(4))
    mixed = {k: torch.cat([v[:1], maps()[k][1:]]) for k, v in alike.items()}
    assert abs(head(mixed)[0][0] - said[0]) > 1e-3
    blind = StyleDiscriminator(FEATURES, deviation=0)
    torch.testing.assert_close(blind(mixed)[0][0], blind(alike)[0][0])


@torch.no_grad()
def test_the_class_adds_an_inner_product():
    torch.manual_seed(0)
    head = StyleDiscriminator(FEATURES, num_classes=3, hidden=8)
    labels = torch.eye(3)[[0, 1, 2, 0]]
    (told,), (untold,) = head(maps(), labels), head(maps(), torch.zeros(4, 3))
    assert (told - untold).abs().min() > 0
    (double,) = head(maps(), 2 * labels)
    torch.testing.assert_close(double - untold, 2 * (told - untold), rtol=1e-4, atol=1e-5)
    assert head.classes.weight.std().item() == pytest.approx(8**-0.5, rel=0.4)


def test_the_penalty_on_its_slope_has_a_slope():
    head = StyleDiscriminator(FEATURES)
    given = {k: v.requires_grad_() for k, v in maps().items()}
    (slope,) = torch.autograd.grad(head(given)[0].sum(), given["coarse"], create_graph=True)
    slope.square().sum().backward()
    assert head.dense.parametrizations.weight.original.grad.abs().sum() > 0
