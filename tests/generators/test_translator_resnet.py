"""The generator of CycleGAN."""

import pytest
import torch

from visionkit.errors import ConfigError
from visionkit.generators.translator_resnet import ResnetTranslator


@pytest.mark.parametrize(
    ("canvas", "blocks"), [((128, 128), 6), ((256, 256), 9), ((128, 160), 9), ((28, 28), 6)]
)
def test_blocks_by_size(canvas, blocks):
    assert len(ResnetTranslator(canvas, width=1).blocks) == blocks
    assert len(ResnetTranslator(canvas, width=1, blocks=0).blocks) == 0


def test_its_size_is_the_papers():
    with torch.device("meta"):
        made = ResnetTranslator((256, 256))
    normed = 64 + 128 + 256 + 18 * 256 + 128 + 64  # a scale more for each of their channels
    count = sum(p.numel() for p in made.parameters())
    assert count - normed == pytest.approx(11.378e6, abs=1e3)


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize("canvas", [(28, 28), (97, 131), (5, 6), (32, 48)])
def test_pictures_of_any_size(canvas, norm):
    torch.manual_seed(0)
    translate = ResnetTranslator(canvas, width=4, blocks=1, norm=norm)
    made = translate(torch.rand(2, 3, *canvas) * 2 - 1)
    assert made.shape == (2, 3, *canvas)
    assert made.abs().max() <= 1
    made.square().sum().backward()
    assert [n for n, p in translate.named_parameters() if p.grad is None] == []


def test_what_is_made_lies_where_the_picture_does():
    """The pixels that one depends on lie around it: nothing is shifted on the way."""
    torch.manual_seed(0)
    translate = ResnetTranslator((97, 97), width=4, blocks=1, norm="none")
    images = torch.rand(1, 3, 97, 97, requires_grad=True)
    translate(images)[0, :, 48, 48].sum().backward()
    seen = images.grad.abs().sum((0, 1)) > 0
    rows = seen.any(1).nonzero()[:, 0]
    assert abs((rows[0] + rows[-1]) / 2 - 48) <= 2
    assert rows[-1] - rows[0] > 20


@torch.no_grad()
def test_pictures_of_a_batch_leave_each_other_alone():
    torch.manual_seed(0)
    translate = ResnetTranslator((16, 16), width=4, blocks=1)
    images = torch.rand(3, 3, 16, 16)
    torch.testing.assert_close(translate(images)[1:2], translate(images[1:2]))
    grey = ResnetTranslator((16, 16), channels=1, width=4, blocks=1)(images)
    assert (grey[:, :1] == grey).all()


def test_pictures_too_small_are_told():
    with pytest.raises(ConfigError, match=r"data\.image_size: .* 5 pixels .* got 4 x 16"):
        ResnetTranslator((4, 16))
