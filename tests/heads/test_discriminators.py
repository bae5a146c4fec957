"""Heads of critics: what they add up, on maps of any size."""

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from visionkit.backbones.base import FeatureSpec
from visionkit.backbones.csp import CspBackbone
from visionkit.backbones.norms import tolerate_single
from visionkit.errors import ConfigError
from visionkit.heads.discriminator import Discriminator, with_deviation
from visionkit.heads.projected import ProjectedDiscriminator
from visionkit.models.critic import Critic
from visionkit.necks.random_projection import RandomProjection

FEATURES = tuple(FeatureSpec(f"s{s}", 4 + s, s) for s in (4, 8, 16))
LABELS = torch.eye(3)[[2, 0]]


def maps(height=64, width=64, count=2):
    torch.manual_seed(0)
    return {
        f.name: torch.randn(count, f.channels, -(-height // f.stride), -(-width // f.stride))
        for f in FEATURES
    }


def plain(head: Discriminator) -> Discriminator:
    """Let the logit be the sum of what is pooled."""
    nn.init.ones_(head.logit.weight)
    nn.init.zeros_(head.logit.bias)
    return head


def test_what_is_pooled_by_hand():
    given = maps()
    x = given["s16"]  # 4 x 4 cells
    for pool, expected in (
        ("sum", x.sum((1, 2, 3))),
        ("mean", x.mean((2, 3)).sum(1)),
        ("grid", x.sum((1, 2, 3))),
    ):
        (logits,) = plain(Discriminator(FEATURES, pool=pool))(given)
        torch.testing.assert_close(logits, expected)


def test_a_grid_knows_places_and_a_sum_does_not():
    given = maps()
    mirrored = {k: v.flip(3) for k, v in given.items()}
    for pool, same in (("grid", False), ("sum", True), ("mean", True)):
        head = Discriminator(FEATURES, pool=pool)
        assert torch.allclose(head(given)[0], head(mirrored)[0], atol=1e-5) == same


@pytest.mark.parametrize("pool", ["sum", "mean", "grid"])
def test_a_class_adds_the_product_of_its_embedding_and_what_is_pooled(pool):
    given = maps()
    head = Discriminator(FEATURES, 3, pool=pool)
    (logits,) = head(given, LABELS)
    x = given["s16"]
    pooled = {"sum": x.sum((2, 3)), "mean": x.mean((2, 3)), "grid": x.flatten(1)}[pool]
    embedding = head.classes.weight[:, [2, 0]].T
    expected = head.logit(pooled)[:, 0] + (embedding * pooled).sum(1)
    torch.testing.assert_close(logits, expected)


def test_the_map_of_a_stride():
    given = maps()
    head = plain(Discriminator(FEATURES, stride=8, pool="sum"))
    assert [f.name for f in head.used] == ["s8"]
    torch.testing.assert_close(head(given)[0], given["s8"].sum((1, 2, 3)))
    with pytest.raises(ConfigError, match="stride 32"):
        Discriminator(FEATURES, stride=32)


def test_deviations_of_groups_by_hand():
    x = torch.tensor([0.0, 10, 2, 30]).view(4, 1, 1, 1).expand(-1, 2, 3, 3)
    told = with_deviation(x, 2)
    assert told.shape == (4, 3, 3, 3)
    assert torch.equal(told[:, :2], x)
    # the first with the third, the second with the fourth
    expected = torch.tensor([1.0, 10, 1, 10]).view(4, 1, 1).expand(-1, 3, 3)
    torch.testing.assert_close(told[:, 2], expected)


def test_deviations_are_means_over_places():
    x = torch.zeros(2, 1, 1, 2)
    x[1, 0, 0, 1] = 8
    told = with_deviation(x, 2)[:, 1]
    torch.testing.assert_close(told, torch.full((2, 1, 2), 2.0), rtol=0, atol=1e-4)


def test_groups_take_in_those_left_over():
    x = torch.tensor([0.0, 0, 3, 2, 6]).view(5, 1, 1, 1)
    told = with_deviation(x, 2)[:, 1].flatten()
    # 0, 3 and 6 in one group, 0 and 2 in the other
    odd = torch.tensor([6.0, 1, 6, 1, 6])
    odd[::2] = 6.0**0.5
    torch.testing.assert_close(told, odd)
    alone = with_deviation(x[:1], 4)[:, 1]
    assert alone.item() == pytest.approx(1e-4)


def test_deviations_keep_their_digits_in_mixed_precision():
    torch.manual_seed(0)
    x = 100 + 0.1 * torch.randn(8, 4, 3, 3)
    expected = with_deviation(x, 4)[:, 4:]
    with torch.autocast("cpu", torch.bfloat16):
        told = with_deviation(x, 4)[:, 4:]
    torch.testing.assert_close(told, expected)
    assert expected.mean().item() == pytest.approx(0.09, abs=0.02)


def test_alike_pictures_have_a_gradient():
    x = torch.ones(4, 2, 2, 2, requires_grad=True)
    with_deviation(x, 4)[:, 2:].sum().backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("options", [{"hidden": 6, "deviation": 2}, {"spectral": True}])
def test_every_parameter_is_used(options):
    head = Discriminator(FEATURES, 3, **options).train()
    (logits,) = head(maps(), LABELS)
    assert logits.shape == (2,)
    logits.square().sum().backward()
    assert [n for n, p in head.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(
    ("stride", "grids"),
    [(None, [(4, 4)] * 3), (16, [(4, 4)] * 3), (32, [(2, 2)] * 3), (8, [(8, 8), (8, 8), (4, 4)])],
)
def test_all_logits_lie_on_the_grid_of_a_stride(stride, grids):
    head = ProjectedDiscriminator(FEATURES, stride=stride, width=8)
    assert [x.shape for x in head(maps())] == [(2, *grid) for grid in grids]


@pytest.mark.parametrize("size", [(97, 131), (16, 48), (3, 3)])
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_projected_maps_of_any_size(size, norm):
    head = ProjectedDiscriminator(FEATURES, 3, width=8, norm=norm, stride=64).train()
    tolerate_single(head)
    for count in (1, 2):
        said = head(maps(*size, count), LABELS[:count])
        expected = (count, *(-(-side // 64) for side in size))
        assert [x.shape for x in said] == [expected] * 3
        assert all(torch.isfinite(x).all() for x in said)


def test_every_parameter_of_a_projected_head_is_used_and_bounded():
    head = ProjectedDiscriminator(FEATURES, 3, width=8).train()
    for _ in range(30):
        said = head(maps(), LABELS)
    sum(x.square().sum() for x in said).backward()
    assert [n for n, p in head.named_parameters() if p.grad is None] == []
    layers = [m for m in head.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == (2 + 1 + 0) + 3 + 3 + 3
    for layer in layers:
        largest = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
        assert largest.item() == pytest.approx(1, abs=0.05)


def test_a_class_adds_to_each_cell_the_product_of_its_embedding():
    head = ProjectedDiscriminator(FEATURES[-1:], 3, width=8).eval()
    given = maps()
    part = head.parts[0]
    x = part.last(given["s16"])
    embedding = part.classes.weight[:, [2, 0]].T
    expected = part.logit(x)[:, 0] + torch.einsum("bc,bchw->bhw", embedding, x)
    torch.testing.assert_close(head(given, LABELS)[0], expected)


def projected(norm="batch"):
    torch.manual_seed(0)
    backbone = CspBackbone(width=0.125, depth=0.1)
    for module in backbone.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = None  # a mean over all that it sees
    with torch.no_grad():
        for _ in range(3):
            backbone(torch.randn(4, 3, 64, 64))
    backbone.freeze("all", norm=False)
    neck = RandomProjection(backbone.features, width=8)
    return Critic(backbone, neck, ProjectedDiscriminator(neck.features, width=32, norm=norm), 64)


def hinge(critic, real, fake):
    pairs = zip(*critic.compare(real, fake), strict=True)
    return sum((1 - r).relu().mean() + (1 + f).relu().mean() for r, f in pairs)


@pytest.mark.parametrize(("norm", "left"), [("none", 0.3), ("batch", 0.9)])
def test_a_projected_critic_learns_and_its_features_stay(norm, left):
    """Bright noise from dark noise; batch norms, which see each by itself, slow it down."""
    critic = projected(norm).train()
    assert not any(m.training for m in critic.backbone.modules())
    fixed = {k: v.clone() for k, v in critic.state_dict().items() if not k.startswith("head.")}
    trained = [p for p in critic.parameters() if p.requires_grad]
    assert {id(p) for p in trained} == {id(p) for p in critic.head.parameters()}
    optimizer = torch.optim.Adam(trained, 2e-3, (0.0, 0.99))
    for _ in range(20):
        real = torch.rand(8, 3, 32, 32)
        loss = hinge(critic, real, -real)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < left * 8  # of a critic that knows nothing
    for name, tensor in fixed.items():
        assert torch.equal(critic.state_dict()[name], tensor), name


def test_a_critic_without_batch_norms_judges_all_at_once():
    """What it says of a picture is the same beside others, so real and made ones go together."""
    assert projected("batch").train().batched
    assert not projected("batch").eval().batched
    critic = projected("none").eval()
    assert not projected("none").train().batched
    real, fake = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    for together, apart in zip(
        critic.compare(real, fake), (critic(real), critic(fake)), strict=True
    ):
        for one, other in zip(together, apart, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_pictures_have_gradients_through_frozen_features(norm):
    critic = projected(norm).train().requires_grad_(False)
    images = torch.zeros(2, 3, 28, 28, requires_grad=True)
    sum(x.sum() for x in critic(images)).backward()
    assert images.grad.abs().flatten(1).sum(1).min() > 0


def test_a_projected_critic_in_mixed_precision_and_channels_last():
    critic = projected().eval()
    images = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        expected = critic(images)
        critic = critic.to(memory_format=torch.channels_last)
        said = critic(images.to(memory_format=torch.channels_last))
        with torch.autocast("cpu", torch.bfloat16):
            mixed = critic(images)
    for a, b, c in zip(expected, said, mixed, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
        assert c.dtype == torch.float32
        torch.testing.assert_close(a, c, rtol=0.1, atol=0.1)
