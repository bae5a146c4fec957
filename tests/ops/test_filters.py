"""Blurs and short cuts against plain convolutions."""

import pytest
import torch
import torch.nn.functional as F

from visionkit.ops.filters import Blur, doubled_conv, halved_conv


@pytest.mark.parametrize("size", [(4, 6), (2, 2)])
def test_short_cuts_are_the_convolutions_that_they_stand_for(size):
    torch.manual_seed(0)
    x, weight, bias = torch.randn(2, 3, *size), torch.randn(5, 3, 3, 3), torch.randn(5)
    larger = F.interpolate(x, scale_factor=2.0, mode="nearest")
    expected = F.conv2d(larger, weight, bias, padding=1)
    torch.testing.assert_close(doubled_conv(x, weight, bias), expected, rtol=1e-4, atol=1e-5)
    expected = F.avg_pool2d(F.conv2d(x, weight, bias, padding=1), 2)
    torch.testing.assert_close(halved_conv(x, weight, bias), expected, rtol=1e-4, atol=1e-5)


def test_a_point_is_blurred_to_the_filter():
    x = torch.zeros(1, 2, 7, 7)
    x[0, 1, 3, 3] = 64.0
    blurred = Blur(2)(x)
    assert blurred.shape == (1, 2, 8, 8)
    line = torch.tensor([0.0, 0, 1, 3, 3, 1, 0, 0])
    assert torch.equal(blurred[0, 1], torch.outer(line, line))
    assert not blurred[0, 0].any()
    assert torch.equal(Blur(1, gain=4.0)(x), 4 * blurred[:, :, 1:-1, 1:-1])
    assert torch.equal(Blur(2, stride=2)(x), blurred[:, :, ::2, ::2])


def test_an_even_map_stays_as_it_is_within():
    inside = Blur(2)(torch.ones(1, 1, 8, 8))[0, 0, 2:-2, 2:-2]
    torch.testing.assert_close(inside, torch.ones_like(inside))
    assert Blur(1).state_dict() == {}


@pytest.mark.parametrize(
    "filtered",
    [
        lambda x, w: Blur(1, stride=2).double()(x * w.sum()),
        lambda x, w: doubled_conv(x.tanh(), w),
        lambda x, w: halved_conv(x.tanh(), w),
    ],
)
def test_gradients_of_gradients(filtered):
    torch.manual_seed(0)
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    w = torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(filtered, (x, w))
