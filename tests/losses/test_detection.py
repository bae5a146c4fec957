"""Losses against figures worked out by hand."""

import math

import pytest
import torch

from visionkit.losses.detection import distribution_focal, smooth_offsets, soft_bce


def test_dfl_shares_the_weight_between_two_bins():
    logits = torch.tensor([0.0, 1.0, 2.0, 0.0]).expand(1, 4, 4)
    total = 2 + math.e + math.e**2
    at_1, at_2 = 1 - math.log(total), 2 - math.log(total)
    loss = distribution_focal(logits, torch.tensor([[1.0, 1.25, 2.0, 1.5]]))
    expected = -(at_1 + 0.75 * at_1 + 0.25 * at_2 + at_2 + 0.5 * at_1 + 0.5 * at_2) / 4
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_dfl_is_least_where_the_expectation_is_the_truth():
    logits = torch.zeros(1, 4, 8, requires_grad=True)
    for _ in range(300):
        (gradient,) = torch.autograd.grad(
            distribution_focal(logits, torch.full((1, 4), 2.3)).sum(), logits
        )
        logits = (logits - 5 * gradient).detach().requires_grad_()
    mean = logits.softmax(-1) @ torch.arange(8.0)
    assert mean.flatten().tolist() == pytest.approx([2.3] * 4, abs=0.02)


@pytest.mark.parametrize("distance", [-3.0, 0.0, 6.9999, 7.0, 100.0])
def test_dfl_takes_distances_beyond_its_bins(distance):
    logits = torch.randn(2, 4, 8, requires_grad=True)
    loss = distribution_focal(logits, torch.full((2, 4), distance)).sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


def test_dfl_of_nothing():
    assert distribution_focal(torch.zeros(0, 4, 8), torch.zeros(0, 4)).sum().item() == 0


def test_soft_bce_by_hand():
    logits, wanted = torch.tensor([0.0, 2.0]), torch.tensor([0.25, 1.0])
    expected = math.log(2) + math.log(1 + math.exp(-2))
    assert soft_bce(logits, wanted).item() == pytest.approx(expected)


def test_offsets_cost_their_square_up_to_a_ninth_and_then_their_size():
    found = torch.tensor([[0.0, 1.0, -2.0, 0.05], [0.0, 0.0, 0.0, 0.0]])
    cost = smooth_offsets(found, torch.zeros(2, 4))
    line = 1 - 1 / 18 + 2 - 1 / 18
    assert cost.tolist() == pytest.approx([line + 0.05**2 / 2 * 9, 0.0])
