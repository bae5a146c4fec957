"""What every generator from noise promises."""

import pytest
import torch

from visionkit.errors import ConfigError
from visionkit.generators.base import halvings, start_of, truncated
from visionkit.generators.dcgan import DcganGenerator
from visionkit.generators.resnet import ResnetGenerator
from visionkit.generators.stylegan2 import StyleGenerator

GENERATORS = {
    "dcgan": lambda *a, **k: DcganGenerator(*a, latent=6, width=4, **k),
    "resnet": lambda *a, **k: ResnetGenerator(*a, latent=6, width=4, **k),
    "stylegan2": lambda *a, **k: StyleGenerator(*a, latent=6, style=8, width=4, **k),
}


@pytest.fixture(params=GENERATORS)
def make(request):
    torch.manual_seed(0)
    return GENERATORS[request.param]


def trained(generator):
    """One whose every layer counts: some begin at zero."""
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return generator


@pytest.mark.parametrize(
    ("canvas", "count"),
    [((28, 28), 2), ((32, 32), 3), ((64, 64), 4), ((128, 128), 5), ((32, 48), 3), ((10, 8), 1)],
)
def test_halvings(canvas, count):
    assert halvings(canvas) == count
    assert start_of(canvas) == ((canvas[0] >> count, canvas[1] >> count), count)


def test_a_canvas_that_cannot_be_halved_is_refused_in_one_line():
    assert halvings((7, 9)) == halvings((33, 64)) == 0
    for canvas in ((33, 33), (32, 100), (62, 62)):
        with pytest.raises(ConfigError, match=r"^data.image_size: generator=mine ") as caught:
            start_of(canvas, "generator=mine")
        assert "\n" not in str(caught.value)
        assert "28, 32, 48" in str(caught.value)


def test_truncated_noise():
    torch.manual_seed(0)
    z = torch.randn(1, 50_000)
    assert torch.equal(truncated(z, 1.0), z)
    for limit in (0.1, 0.5, 0.9):
        cut = truncated(z, limit)
        assert cut.dtype == z.dtype
        assert cut.abs().max() <= 2 * limit
        order = z[0].argsort()
        assert (cut[0][order].diff() >= 0).all()
    # of a normal distribution that is cut at -1 and 1
    assert truncated(z, 0.5).std().item() == pytest.approx(0.5396, abs=0.005)
    assert truncated(torch.zeros(1, 1), 0.3).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("canvas", [(28, 28), (32, 32), (64, 64), (16, 24)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("classes", [0, 3])
def test_pictures_and_gradients(make, canvas, channels, classes):
    generator = trained(make(canvas, channels, classes))
    labels = torch.eye(classes)[[0, 2]] if classes else None
    images = generator(torch.randn(2, generator.latent), labels)
    assert images.shape == (2, channels, *canvas)
    assert images.dtype == torch.float32
    images.square().sum().backward()
    unused = [n for n, p in generator.named_parameters() if p.grad is None]
    assert unused == [], "ranks would wait for these"


@torch.no_grad()
def test_a_picture_depends_on_its_own_noise_and_class_alone(make):
    generator = trained(make((16, 16), 3, 2)).train()
    z, labels = torch.randn(4, generator.latent), torch.eye(2)[[0, 1, 0, 1]]
    generator(z, labels)
    generator.eval()
    images = generator(z, labels)
    state = torch.get_rng_state()
    torch.testing.assert_close(generator(z[1:2], labels[1:2])[0], images[1], rtol=1e-4, atol=1e-5)
    assert torch.equal(generator(z, labels), images)
    assert torch.equal(torch.get_rng_state(), state)
    assert (images[0] - images[2]).abs().max() > 0.01  # of one class
    other = generator(z, labels.flip(1))
    assert (other - images).abs().amax((1, 2, 3)).min() > 0.01


@torch.no_grad()
def test_truncation_makes_pictures_alike(make):
    generator = trained(make((16, 16))).train()
    for _ in range(3):
        generator(torch.randn(16, generator.latent))
    generator.eval()
    z = torch.randn(16, generator.latent)
    spread = [generator(z, None, t).std(0).mean().item() for t in (0.001, 0.3, 1.0)]
    assert spread[0] < 0.01 * spread[2]
    assert spread[0] < spread[1] < spread[2]


@torch.no_grad()
def test_weights_come_back_from_a_state_dict(make):
    generator = trained(make((16, 16))).train()
    z = torch.randn(4, generator.latent)
    generator(z)
    other = make((16, 16))
    assert not torch.equal(other.eval()(z), generator.eval()(z))
    other.load_state_dict(generator.state_dict())
    assert torch.equal(other(z), generator(z))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_mixed_precision_and_memory_formats(make, layout):
    generator = trained(make((16, 16), 3, 2)).to(memory_format=layout)
    z, labels = torch.randn(4, generator.latent), torch.eye(2)[[0, 1, 0, 1]]
    with torch.autocast("cpu", torch.bfloat16):
        generator.train()(z, labels).float().square().sum().backward()
        with torch.no_grad():
            rough = generator.eval()(z, labels, 0.7).float()
    assert all(p.grad.isfinite().all() for p in generator.parameters())
    with torch.no_grad():
        exact = generator(z, labels, 0.7)
    assert (rough - exact).abs().mean() < 0.05 * exact.abs().mean()
