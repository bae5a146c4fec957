"""The trunks that are made for critics of GANs."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from visionkit.backbones.dcgan import DcganCritic
from visionkit.backbones.norms import tolerate_single
from visionkit.backbones.resnet_critic import Block, ResnetCritic
from visionkit.backbones.stylegan2 import StyleCritic
from visionkit.errors import ConfigError

CRITICS = {
    "dcgan": lambda **k: DcganCritic(width=4, norm="batch", **k),
    "dcgan, spectral": lambda **k: DcganCritic(width=4, spectral=True, **k),
    "resnet": lambda **k: ResnetCritic(width=4, **k),
    "resnet, spectral": lambda **k: ResnetCritic(width=4, spectral=True, **k),
    "resnet, layer": lambda **k: ResnetCritic(width=4, norm="layer", flat=1, **k),
    "stylegan2": lambda **k: StyleCritic(width=4, **k),
}


@pytest.fixture(params=CRITICS)
def make(request):
    torch.manual_seed(0)
    return CRITICS[request.param]


def test_maps_halve_and_widen(make):
    assert [f.stride for f in make(stages=4).features] == [2, 4, 8, 16]
    assert [f.stride for f in make(stages="auto").features] == [2, 4, 8]
    channels = [f.channels for f in make(stages=2).features]
    assert channels[1] == 2 * channels[0]
    assert make(stages=1).mean == make(stages=1).std == (0.5, 0.5, 0.5)


def test_channels_grow_up_to_a_bound():
    assert [f.channels for f in ResnetCritic(8, 2, stages=3).features] == [8, 16, 16]
    assert [f.channels for f in StyleCritic(8, 4, stages=4).features] == [16, 32, 32, 32]
    assert [f.channels for f in DcganCritic(8, stages=5).features] == [8, 16, 32, 64, 64]


@pytest.mark.parametrize("size", [(32, 32), (28, 44), (19, 33)])
def test_maps_lie_on_the_grid_and_every_weight_counts(make, size):
    critic = make(stages=3)
    maps = critic(torch.randn(2, 3, *size))
    for f in critic.features:
        cells = tuple(-(-side // f.stride) for side in size)
        assert maps[f.name].shape == (2, f.channels, *cells)
    maps[critic.features[-1].name].square().sum().backward()
    unused = [n for n, p in critic.named_parameters() if p.grad is None or not p.grad.any()]
    # a bias before a batch norm has no slope, and DCGAN's have none
    assert unused == []


def test_two_pictures_at_once(make):
    critic = make(stages=2, in_channels=6)
    assert critic.in_channels == 6
    images = torch.randn(2, 6, 16, 16)
    before = critic.eval()(images)["stride4"]
    images[:, 5] += 1
    assert not torch.equal(critic(images)["stride4"], before)


def test_the_gradient_has_a_gradient(make):
    critic = make(stages=2).eval()
    images = torch.randn(2, 3, 16, 16, requires_grad=True)
    (slope,) = torch.autograd.grad(critic(images)["stride4"].sum(), images, create_graph=True)
    slope.square().sum().backward()
    slopes = [p.grad for p in critic.parameters() if p.grad is not None]
    assert slopes
    assert all(g.isfinite().all() for g in slopes)
    assert sum(float(g.abs().sum()) for g in slopes) > 0


@pytest.mark.parametrize("critic", [DcganCritic, ResnetCritic, StyleCritic])
def test_none_has_published_weights(critic):
    with pytest.raises(ConfigError, match=r"^backbone\.weights: .* give none or"):
        critic(width=4, weights="default")


def test_stages_freeze(make):
    critic = make(stages=2, frozen_stages=1)
    kept = [n for n, p in critic.named_parameters() if not p.requires_grad]
    assert kept
    images = torch.randn(2, 3, 16, 16)
    maps = critic.train()(images)
    assert not maps["stride2"].requires_grad
    assert maps["stride4"].requires_grad


def test_weights_come_from_a_file(make, tmp_path):
    source = make(stages=2).eval()
    file = tmp_path / "critic.pt"
    torch.save(source.state_dict(), file)
    other = make(stages=2, weights=str(file)).eval()
    images = torch.randn(1, 3, 16, 16)
    assert torch.equal(other(images)["stride4"], source(images)["stride4"])


@pytest.mark.parametrize("critic", [ResnetCritic, StyleCritic])
def test_nobody_publishes_weights(critic):
    with pytest.raises(ConfigError, match=r"^backbone.weights: .* give none or a file$"):
        critic(weights="default")


@pytest.mark.parametrize("name", ["dcgan, spectral", "resnet, spectral"])
def test_spectral_norms_hold_every_weight(name):
    torch.manual_seed(0)
    critic = CRITICS[name](stages=2).train()
    for _ in range(30):  # of the power iteration, one in each pass
        critic(torch.randn(1, 3, 16, 16))
    weights = [m.weight for m in critic.eval().modules() if isinstance(m, nn.Conv2d)]
    assert len(weights) >= 2
    for weight in weights:
        largest = torch.linalg.svdvals(weight.detach().flatten(1))[0]
        assert largest.item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("name", [n for n in CRITICS if n != "dcgan"])
def test_batch_mates_have_no_influence_in_training(name):
    torch.manual_seed(0)
    critic = CRITICS[name](stages=2)
    tolerate_single(critic)
    images = torch.randn(3, 3, 16, 16)
    for _ in range(20):  # settles the power iteration
        critic(images)
    together, alone = critic(images)["stride4"][:1], critic(images[:1])["stride4"]
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-4)


def test_sngans_critic_has_the_papers_size():
    critic = ResnetCritic(128, widest=1, stages=2, flat=2)
    first = (27 * 128 + 128) + (1152 * 128 + 128) + (3 * 128 + 128)
    halving = 2 * (1152 * 128 + 128) + (128 * 128 + 128)
    flat = 2 * (1152 * 128 + 128)
    assert sum(p.numel() for p in critic.parameters()) == first + halving + 2 * flat == 1_053_696


@torch.no_grad()
@pytest.mark.parametrize("norm", ["none", "layer"])
def test_a_block_is_what_the_paper_draws(norm):
    torch.manual_seed(0)
    x = torch.randn(2, 4, 8, 8)
    block = Block(4, 6, norm, spectral=False)

    def normed(y):
        return F.layer_norm(y, y.shape[1:]) if norm == "layer" else y

    y = block.conv2(normed(block.conv1(normed(x).relu())).relu())
    expected = F.avg_pool2d(y + block.shortcut(x), 2)
    torch.testing.assert_close(block(x), expected, rtol=1e-4, atol=1e-5)
    first = Block(4, 6, "none", spectral=False, first=True)
    expected = F.avg_pool2d(first.conv2(first.conv1(x).relu()) + first.shortcut(x), 2)
    torch.testing.assert_close(first(x), expected, rtol=1e-4, atol=1e-5)
    flat = Block(4, 4, norm, spectral=False, halves=False)
    expected = x + flat.conv2(normed(flat.conv1(normed(x).relu())).relu())
    torch.testing.assert_close(flat(x), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_residual_critic_ends_with_a_relu():
    maps = ResnetCritic(4, stages=2)(torch.randn(2, 3, 16, 16))
    assert maps["stride4"].min() == 0 < maps["stride4"].max()
    assert maps["stride2"].min() < 0


@torch.no_grad()
def test_stylegan2s_maps_keep_their_size():
    torch.manual_seed(0)
    smooth = F.interpolate(torch.randn(8, 3, 3, 3), (64, 64), mode="bicubic")
    for m in StyleCritic(64, 2, stages=4)(smooth).values():
        assert 0.5 < m.square().mean().sqrt().item() < 1.5
