"""DCGAN's generator against the paper."""

import torch
from torch import nn

from visionkit.generators.dcgan import DcganGenerator


def convolutions(generator):
    layers = [m for m in generator.modules() if isinstance(m, nn.ConvTranspose2d)]
    return [(m.in_channels, m.out_channels, *m.kernel_size) for m in layers]


def test_its_layers_are_the_papers_at_64_pixels():
    found = convolutions(DcganGenerator((64, 64), width=128))
    assert found == [
        (100, 1024, 4, 4),
        (1024, 512, 4, 4),
        (512, 256, 4, 4),
        (256, 128, 4, 4),
        (128, 3, 4, 4),
    ]


def test_small_and_oblong_pictures():
    found = convolutions(DcganGenerator((28, 28), channels=1, width=8))
    assert found == [(100, 16, 7, 7), (16, 8, 4, 4), (8, 1, 4, 4)]
    found = convolutions(DcganGenerator((32, 48), num_classes=3, width=8))
    assert found[0] == (103, 32, 4, 6)  # the class stands beside the noise


@torch.no_grad()
def test_pictures_are_bounded():
    torch.manual_seed(0)
    generator = DcganGenerator((16, 16), latent=4, width=4)
    generator.last.weight.mul_(1e4)
    images = generator(torch.randn(3, 4))
    assert images.abs().max() <= 1
    assert images.abs().max() > 0.99
