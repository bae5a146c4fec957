"""Losses of GANs: figures by hand, and what they ask of gradients."""

import math

import pytest
import torch
from torch.nn.functional import softplus

from visionkit.losses.adversarial import (
    between,
    critic_loss,
    generator_loss,
    gradient_square,
    lipschitz_penalty,
    path_lengths,
)

REAL = [torch.tensor([2.0, -1.0])]
FAKE = [torch.tensor([0.5, -3.0])]


def log1p_exp(x: float) -> float:
    return math.log1p(math.exp(x))


CRITIC = {
    "logistic": (log1p_exp(-2) + log1p_exp(1) + log1p_exp(0.5) + log1p_exp(-3)) / 2,
    "hinge": (0 + 2 + 1.5 + 0) / 2,
    "wasserstein": (0.5 - 3.0) / 2 - (2.0 - 1.0) / 2,
    "least_squares": ((1 + 4) / 2 + (0.25 + 9) / 2) / 2,
    "relativistic": (log1p_exp(-1.5) + log1p_exp(-2)) / 2,
}
GENERATOR = {
    "logistic": (log1p_exp(-0.5) + log1p_exp(3)) / 2,
    "hinge": (-0.5 + 3.0) / 2,
    "wasserstein": (-0.5 + 3.0) / 2,
    "least_squares": (0.25 + 16) / 2,
    "relativistic": (log1p_exp(1.5) + log1p_exp(2)) / 2,
}


@pytest.mark.parametrize("kind", list(CRITIC))
def test_losses_by_hand(kind):
    assert critic_loss(kind, REAL, FAKE).item() == pytest.approx(CRITIC[kind], rel=1e-6)
    assert generator_loss(kind, FAKE, REAL).item() == pytest.approx(GENERATOR[kind], rel=1e-6)


@pytest.mark.parametrize("kind", list(CRITIC))
def test_a_loss_is_the_mean_over_places_and_the_sum_over_discriminators(kind):
    """A discriminator that says the same everywhere counts as one that says it once."""
    wide = [[x[0][:, None, None].expand(-1, 3, 5)] for x in (REAL, FAKE)]
    one, other = critic_loss(kind, REAL, FAKE), critic_loss(kind, FAKE, REAL)
    torch.testing.assert_close(critic_loss(kind, *wide), one)
    both = critic_loss(kind, [*wide[0], *FAKE], [*wide[1], *REAL])
    torch.testing.assert_close(both, one + other)
    twice = generator_loss(kind, [*wide[1], *FAKE], [*wide[0], *REAL])
    torch.testing.assert_close(twice, 2 * generator_loss(kind, FAKE, REAL))


@pytest.mark.parametrize("kind", list(CRITIC))
def test_critic_and_generator_pull_made_pictures_apart(kind):
    """Far from both aims, each can do better in the direction that its docstring says."""
    real, fake = torch.tensor([-0.5]).requires_grad_(), torch.tensor([0.5]).requires_grad_()
    critic_loss(kind, [real], [fake]).backward()
    assert real.grad < 0 < fake.grad
    fake = torch.tensor([0.5]).requires_grad_()
    generator_loss(kind, [fake], [real.detach()]).backward()
    assert fake.grad < 0


def test_the_relativistic_loss_is_the_same_seen_from_the_other_side():
    torch.testing.assert_close(
        critic_loss("relativistic", REAL, FAKE), generator_loss("relativistic", REAL, FAKE)
    )
    shifted = [[x[0] + 7] for x in (REAL, FAKE)]
    torch.testing.assert_close(
        critic_loss("relativistic", *shifted), critic_loss("relativistic", REAL, FAKE)
    )


def test_as_many_discriminators_on_both_sides():
    with pytest.raises(ValueError, match="zip"):
        critic_loss("hinge", REAL, [*FAKE, *FAKE])


def test_the_squared_gradient_of_a_linear_critic_is_that_of_its_weights():
    weights = torch.randn(2, 3, 4, 5)
    images = torch.randn(6, 3, 4, 5, requires_grad=True)
    # two discriminators, one of them with a logit for each column
    first = (images * weights[0]).sum((1, 2, 3))
    second = (images * weights[1]).sum((1, 2))
    found = gradient_square([first, second], images)
    torch.testing.assert_close(found, weights.sum(0).square().sum().expand(6))


def test_the_squared_gradient_can_be_differentiated():
    """Of a logit ``w x^2``, the square is ``4 w^2 x^2``, and that rises by ``8 w x^2`` with w."""
    w = torch.tensor(3.0, requires_grad=True)
    images = torch.tensor([1.0, 2.0]).view(2, 1, 1, 1).requires_grad_()
    found = gradient_square([(w * images.square()).flatten()], images)
    assert found.tolist() == [36.0, 144.0]
    found.sum().backward()
    assert w.grad.item() == 8 * 3 * 1 + 8 * 3 * 4


def test_places_between_real_and_made_pictures():
    torch.manual_seed(0)
    real, fake = torch.zeros(500, 3, 2, 2), torch.ones(500, 3, 2, 2, requires_grad=True)
    images = between(real, fake)
    assert images.requires_grad
    assert images.is_leaf
    where = images[:, 0, 0, 0]
    assert torch.equal(images, where[:, None, None, None].expand_as(images))
    assert 0 <= where.min() < 0.02
    assert 0.98 < where.max() < 1


def test_the_penalty_wants_gradients_of_length_one():
    assert lipschitz_penalty(torch.tensor([1.0, 4.0, 9.0])).item() == pytest.approx((0 + 1 + 4) / 3)
    none = torch.zeros(2, requires_grad=True)
    lipschitz_penalty(none).backward()
    assert torch.isfinite(none.grad).all()


def test_path_lengths_of_a_linear_synthesis():
    """Pictures ``M s``: the gradient is ``M`` transposed times the noise, whatever the styles."""
    matrix = torch.randn(3 * 4 * 5, 2 * 7)
    styles = torch.randn(6, 2, 7, requires_grad=True)
    images = (styles.flatten(1) @ matrix.T).view(6, 3, 4, 5)
    torch.manual_seed(0)
    found = path_lengths(images, styles)
    torch.manual_seed(0)
    noise = torch.randn(6, 3, 4, 5).flatten(1) / math.sqrt(4 * 5)
    gradient = (noise @ matrix).view(6, 2, 7)
    torch.testing.assert_close(found, gradient.square().sum(2).mean(1).sqrt())


def test_path_lengths_teach_the_synthesis():
    scale = torch.tensor(2.0, requires_grad=True)
    styles = torch.ones(4, 1, 3, requires_grad=True)
    images = (scale * styles).view(4, 3, 1, 1).expand(-1, -1, 8, 8)
    torch.manual_seed(0)
    lengths = path_lengths(images, styles)
    lengths.sum().backward()
    # lengths are proportional to the scale
    torch.testing.assert_close(scale.grad * 2, lengths.sum())


def test_logits_that_are_far_off_are_finite():
    far = [torch.tensor([1e4, -1e4])]
    for kind in CRITIC:
        assert torch.isfinite(critic_loss(kind, far, [-far[0]]))
        assert torch.isfinite(generator_loss(kind, far, [-far[0]]))
    assert softplus(far[0]).tolist() == [1e4, 0]
