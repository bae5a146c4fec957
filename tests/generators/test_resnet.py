"""The residual generator against what WGAN-GP and SNGAN say of it."""

import pytest
import torch
import torch.nn.functional as F

from visionkit.generators.layers import ClassNorm
from visionkit.generators.resnet import DoublingBlock, ResnetGenerator


def test_sngans_generator_has_the_papers_size():
    generator = ResnetGenerator((32, 32), width=256, widest=1)
    first = 128 * 4096 + 4096
    block = 2 * (2304 * 256 + 256) + (256 * 256 + 256) + 2 * 512
    last = 512 + (2304 * 3 + 3)
    count = sum(p.numel() for p in generator.parameters())
    assert count == first + 3 * block + last == 4_276_739


def test_widths_double_towards_the_noise_up_to_a_bound():
    generator = ResnetGenerator((64, 64), width=4, widest=4)
    found = [(b.conv1.in_channels, b.conv1.out_channels) for b in generator.blocks]
    assert found == [(16, 16), (16, 16), (16, 8), (8, 4)]
    assert generator.first.out_features == 16 * 4 * 4


@torch.no_grad()
def test_a_block_is_what_the_paper_draws():
    torch.manual_seed(0)
    block = DoublingBlock(4, 6, 0)
    x = torch.randn(3, 4, 5, 7)

    def larger(y):
        return F.interpolate(y, scale_factor=2.0, mode="nearest")

    y = block.conv1(larger(F.batch_norm(x, None, None, training=True).relu()))
    y = block.conv2(F.batch_norm(y, None, None, training=True).relu())
    expected = y + block.shortcut(larger(x))
    torch.testing.assert_close(block.train()(x, None), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_class_norm_scales_and_shifts_by_the_class():
    torch.manual_seed(0)
    norm = ClassNorm(2, 3).train()
    x = torch.randn(3, 2, 4, 4)
    labels = torch.eye(3)
    plain = F.batch_norm(x, None, None, training=True)
    torch.testing.assert_close(norm(x, labels), plain)  # before it has learned
    norm.classes.weight.copy_(torch.arange(12.0).reshape(4, 3))
    found = norm(x, labels)
    for i in range(3):
        scale = 1 + torch.tensor([0.0 + i, 3.0 + i])[:, None, None]
        shift = torch.tensor([6.0 + i, 9.0 + i])[:, None, None]
        torch.testing.assert_close(found[i], plain[i] * scale + shift)
    assert norm.norm.weight is None


@torch.no_grad()
def test_pictures_are_bounded_and_begin_within():
    torch.manual_seed(0)
    images = ResnetGenerator((32, 32), width=16).train()(torch.randn(8, 128))
    assert images.abs().max() <= 1
    assert 0.1 < images.std().item() < 0.9


@pytest.mark.parametrize("classes", [0, 2])
def test_every_weight_has_a_slope(classes):
    torch.manual_seed(0)
    generator = ResnetGenerator((8, 8), 3, classes, latent=4, width=4)
    labels = torch.eye(2)[[0, 1, 1]] if classes else None
    (generator(torch.randn(3, 4), labels) - 0.5).square().sum().backward()
    # what batch norms take away has none
    still = {n for n, p in generator.named_parameters() if not p.grad.any()}
    assert still == set()
