"""The generator of pix2pix."""

import pytest
import torch
from torch import nn

from visionkit.errors import ConfigError
from visionkit.generators.unet import UnetTranslator


def test_its_size_is_the_papers():
    with torch.device("meta"):
        made = UnetTranslator((256, 256), norm="batch")
    # 54.414 M, and biases where no norm follows
    assert sum(p.numel() for p in made.parameters()) == pytest.approx(54.414e6, abs=2e3)
    assert made.largest == 256
    dropped = [stage[-1].p for stage in made.up]
    assert dropped == [0.5] * 3 + [0.0] * 5  # at 2, 4 and 8 cells


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize("canvas", [(28, 28), (32, 48), (97, 131), (1, 3), (2, 2)])
def test_pictures_of_any_size(canvas, norm):
    torch.manual_seed(0)
    translate = UnetTranslator(canvas, width=4, norm=norm)
    made = translate(torch.rand(2, 3, *canvas) * 2 - 1)
    assert made.shape == (2, 3, *canvas)
    assert made.abs().max() <= 1
    made.square().sum().backward()
    assert [n for n, p in translate.named_parameters() if p.grad is None] == []


def test_the_border_pixels_make_up_for_what_is_missing():
    torch.manual_seed(0)
    translate = UnetTranslator((12, 12), width=4, depth=3).eval()
    images = torch.rand(1, 3, 12, 10)
    wide = torch.cat([images, images[..., -1:].expand(-1, -1, -1, 6)], 3)
    tall = torch.cat([wide, wide[:, :, -1:].expand(-1, -1, 4, -1)], 2)
    torch.testing.assert_close(translate(images), translate(tall)[..., :12, :10])


def test_a_shortcut_carries_every_pixel():
    """A map of one cell can't say where anything is, shortcuts can."""
    torch.manual_seed(0)
    translate = UnetTranslator((8, 8), width=4, norm="none").eval()
    for stage in translate.up[:-1]:
        nn.init.zeros_(stage[1].weight)
    images = torch.rand(1, 3, 8, 8, requires_grad=True)
    translate(images)[0, 0, 4, 4].backward()
    seen = images.grad.abs().sum((0, 1)) > 0
    assert seen[3:6, 3:6].all()
    assert not seen[0].any()


def test_dropout_is_for_training_alone():
    torch.manual_seed(0)
    translate = UnetTranslator((64, 64), width=2)
    images = torch.rand(1, 3, 64, 64)
    assert not torch.equal(translate(images), translate(images))
    translate.eval()
    assert torch.equal(translate(images), translate(images))


@pytest.mark.parametrize("norm", ["instance", "batch"])
@torch.no_grad()
def test_pictures_of_a_batch_leave_each_other_alone(norm):
    torch.manual_seed(0)
    translate = UnetTranslator((16, 16), width=4, norm=norm).eval()
    images = torch.rand(3, 3, 16, 16)
    torch.testing.assert_close(translate(images)[1:2], translate(images[1:2]))


@torch.no_grad()
def test_grey_pictures_are_grey():
    torch.manual_seed(0)
    made = UnetTranslator((16, 16), channels=1, width=4)(torch.rand(2, 3, 16, 16))
    assert made.shape == (2, 3, 16, 16)
    assert (made[:, :1] == made).all()
    assert made.std() > 0


def test_too_many_halvings_are_told():
    with pytest.raises(ConfigError, match=r"generator\.depth: 6 .* 32 x 64 .* at most 5"):
        UnetTranslator((32, 64), depth=6)
    assert UnetTranslator((32, 64), width=1, depth=5).largest == 32
