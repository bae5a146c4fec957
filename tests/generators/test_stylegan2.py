"""StyleGAN2's generator against the equations of the papers."""

import pytest
import torch
import torch.nn.functional as F

from visionkit.generators.layers import ModulatedConv
from visionkit.generators.stylegan2 import CENTRE_RATE, StyleGenerator
from visionkit.losses.adversarial import path_lengths
from visionkit.ops.filters import Blur


def make(canvas=(16, 16), channels=3, classes=0, seed=0, **options):
    torch.manual_seed(seed)
    options = {"latent": 6, "style": 8, "width": 4} | options
    return StyleGenerator(canvas, channels, classes, **options)


@torch.no_grad()
@pytest.mark.parametrize("doubles", [False, True])
@pytest.mark.parametrize("demodulates", [False, True])
def test_each_picture_has_weights_of_its_own(doubles, demodulates):
    torch.manual_seed(0)
    layer = ModulatedConv(4, 6, 3, 5, doubles, demodulates)
    x, style = torch.randn(3, 4, 5, 5), torch.randn(3, 5)
    found = layer(x, style)
    for i in range(3):
        scale = F.linear(style[i], layer.scales.weight, layer.scales.bias)
        weight = layer.conv.weight * scale[None, :, None, None]
        if demodulates:
            weight = weight / weight.square().sum((1, 2, 3), keepdim=True).sqrt()
        if doubles:
            spread = F.conv_transpose2d(x[i : i + 1], weight.transpose(0, 1), stride=2)
            expected = Blur(1, gain=4.0)(spread)
        else:
            expected = F.conv2d(x[i : i + 1], weight, padding=1)
        torch.testing.assert_close(found[i : i + 1], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_demodulation_keeps_the_size_whatever_the_style():
    torch.manual_seed(0)
    layer = ModulatedConv(32, 32, 3, 8)
    x = torch.randn(2, 32, 24, 24)
    for factor in (0.01, 1.0, 100.0):
        inside = layer(x, factor * torch.randn(2, 8))[:, :, 2:-2, 2:-2]
        assert inside.std().item() == pytest.approx(1, abs=0.1)


@torch.no_grad()
def test_the_length_of_noise_says_nothing():
    generator = make().eval()
    z = torch.randn(3, 6)
    torch.testing.assert_close(generator.styles(5 * z), generator.styles(z), rtol=1e-3, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize(("canvas", "layers"), [((28, 28), 6), ((32, 32), 8), ((64, 64), 10)])
def test_each_layer_has_a_style(canvas, layers):
    generator = make(canvas).eval()
    assert generator.layers == layers
    styles = generator.styles(torch.randn(2, 6))
    assert styles.shape == (2, layers, 8)
    assert torch.equal(styles, styles[:, :1].expand_as(styles))
    images = generator.synthesise(styles)
    for layer in range(layers):  # and each of them counts
        changed = styles.clone()
        changed[0, layer] += 1
        others = generator.synthesise(changed)
        assert not torch.equal(others[0], images[0])
        torch.testing.assert_close(others[1], images[1])


@torch.no_grad()
def test_styles_mix_in_training_picture_by_picture():
    generator = make((32, 32), mixing=1.0).train()
    z = torch.randn(64, 6)
    plain = generator.eval().styles(z)
    styles = generator.train().styles(z)
    own = (styles == plain).all(2)
    assert own[:, 0].all()
    assert not own[:, -1].any()
    assert (own.int().diff(dim=1) <= 0).all()  # once another's, always another's
    assert set(own.sum(1).tolist()) == set(range(1, 8))
    for row, mine in zip(styles, own, strict=True):
        other = row[~mine]
        assert torch.equal(other, other[:1].expand_as(other))
    half = make((32, 32), mixing=0.5).train()
    torch.manual_seed(1)  # the other noise isn't to be this one
    mixed = ~(half.styles(z) == half.eval().styles(z)).all(2).all(1)
    assert 16 < mixed.sum() < 48
    never = make((32, 32), mixing=0.0).train()
    assert torch.equal(never.styles(z), never.eval().styles(z))


@torch.no_grad()
def test_noise_is_fresh_in_training_and_fixed_in_evaluation():
    generator = make(mixing=0.0)
    z = torch.randn(2, 6)
    styles = generator.eval().styles(z)
    quiet = generator.train().synthesise(styles)
    torch.testing.assert_close(generator.synthesise(styles), quiet)  # its strength begins at 0
    for name, parameter in generator.named_parameters():
        if name.endswith("strength"):
            parameter.fill_(0.5)
    first, second = generator.synthesise(styles), generator.synthesise(styles)
    assert (first - second).abs().max() > 0.01
    generator.eval()
    assert torch.equal(generator.synthesise(styles), generator.synthesise(styles))
    same = generator.synthesise(styles[:1].expand(2, -1, -1))
    torch.testing.assert_close(same[0], same[1])


@torch.no_grad()
def test_the_centre_is_a_running_mean_and_truncation_goes_towards_it():
    generator = make(mixing=0.0).train()
    z = torch.randn(10, 6)
    styles = generator.styles(z)[:, 0]
    torch.testing.assert_close(generator.centres, CENTRE_RATE * styles.mean(0, keepdim=True))
    generator.centres.copy_(torch.randn(1, 8))
    generator.eval()
    kept = generator.centres.clone()
    closer = torch.lerp(kept[:, None].expand(10, 6, 8), generator.styles(z), 0.3)
    torch.testing.assert_close(generator(z, None, 0.3), generator.synthesise(closer))
    assert torch.equal(generator.centres, kept)  # evaluation leaves it


@torch.no_grad()
def test_each_class_has_a_centre():
    generator = make(classes=3, mixing=0.0).train()
    generator.centres.copy_(torch.eye(3, 8))
    z, labels = torch.randn(4, 6), torch.eye(3)[[0, 0, 2, 0]]
    styles = generator.styles(z, labels)[:, 0]
    expected = torch.eye(3, 8)
    expected[0] += CENTRE_RATE * (styles[[0, 1, 3]].mean(0) - expected[0])
    expected[2] += CENTRE_RATE * (styles[2] - expected[2])
    torch.testing.assert_close(generator.centres, expected)
    generator.eval()
    found = generator(z, labels, 1e-6)
    at = generator.synthesise(generator.centres[[0, 0, 2, 0]][:, None].expand(4, 6, 8))
    torch.testing.assert_close(found, at, rtol=1e-3, atol=1e-4)


def test_lengths_of_paths_can_be_trained():
    generator = make(classes=2, mixing=0.9).train()
    styles = generator.styles(torch.randn(4, 6), torch.eye(2)[[0, 1, 0, 1]])
    lengths = path_lengths(generator.synthesise(styles), styles)
    assert lengths.shape == (4,)
    assert (lengths > 0).all()
    lengths.square().mean().backward()
    weights = [p for n, p in generator.named_parameters() if "weight" in n]
    assert all(p.grad.isfinite().all() for p in weights)
    assert sum(bool(p.grad.any()) for p in weights) > 0.8 * len(weights)


def test_it_learns_a_picture():
    generator = make(channels=1, width=8).train()
    optimizer = torch.optim.Adam(generator.parameters(), lr=0.01, betas=(0.0, 0.99))
    target = torch.zeros(1, 1, 16, 16)
    target[:, :, 4:12, 2:9] = 1.0
    errors = []
    for _ in range(100):
        error = (generator(torch.randn(8, 6)) - target).square().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    assert errors[-1] < 0.05 * errors[0]
    assert errors[-1] < 0.08
