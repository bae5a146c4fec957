"""Probabilities, their mean, and the temperature that makes them honest."""

import math

import pytest
import torch
import torch.nn.functional as F

from visionkit.ops.confidence import (
    fit_temperature,
    likelihood_loss,
    mean_logits,
    probabilities,
)

WAYS = [(True, False), (True, True), (False, True)]


def logits_of(count: int, classes: int = 5, scale: float = 2.0, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, classes, generator=torch.Generator().manual_seed(seed)) * scale


def test_probabilities_by_hand():
    z = torch.tensor([[0.0, math.log(3.0)]])
    assert probabilities(z, True, False).tolist()[0] == pytest.approx([1 / 4, 3 / 4])
    assert probabilities(z, False, True).tolist()[0] == pytest.approx([1 / 2, 3 / 4])
    assert probabilities(z, True, True).tolist()[0] == pytest.approx([2 / 5, 3 / 5])


def test_far_away_logits_still_sum_to_one():
    z = torch.tensor([[-300.0, -301.0], [300.0, -300.0]])
    for binary in (False, True):
        p = probabilities(z, True, binary)
        assert p.sum(1).tolist() == pytest.approx([1, 1])
        assert p[0].tolist() == pytest.approx([1 / (1 + math.exp(-1)), 1 / (1 + math.e)])


@pytest.mark.parametrize(("exclusive", "binary"), WAYS)
def test_the_mean_of_one_view_says_the_same(exclusive, binary):
    z = logits_of(7, scale=6.0)
    p = probabilities(mean_logits(z[None], binary), exclusive, binary)
    torch.testing.assert_close(p, probabilities(z, exclusive, binary), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("exclusive", "binary"), [(True, False), (False, True)])
def test_views_are_averaged_as_probabilities(exclusive, binary):
    z = torch.stack([logits_of(7, seed=1), logits_of(7, seed=2), logits_of(7, seed=3)])
    p = probabilities(mean_logits(z, binary), exclusive, binary)
    torch.testing.assert_close(p, probabilities(z, exclusive, binary).mean(0))


def test_certain_views_stay_finite():
    z = torch.tensor([[[100.0, -100.0]], [[-100.0, 100.0]]])
    for binary in (False, True):
        p = probabilities(mean_logits(z, binary), True, binary)
        assert p.tolist()[0] == pytest.approx([0.5, 0.5])


def test_likelihood_loss_is_torchs():
    z, labels = logits_of(50), torch.arange(50) % 5
    targets = F.one_hot(labels, 5).float()
    assert likelihood_loss(z, targets, True, False) == pytest.approx(
        F.cross_entropy(z, labels).item(), rel=1e-5
    )
    expected = F.binary_cross_entropy_with_logits(z / 2, targets, reduction="sum").item() / 50
    assert likelihood_loss(z, targets, False, True, 2.0) == pytest.approx(expected, rel=1e-5)
    expected = -probabilities(z, True, True)[torch.arange(50), labels].log().mean().item()
    assert likelihood_loss(z, targets, True, True) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("true", [0.3, 1.0, 2.5, 10.0])
@pytest.mark.parametrize(("exclusive", "binary"), WAYS)
def test_a_known_temperature_is_found(exclusive, binary, true):
    """With the true probabilities as targets, their own temperature is the most likely."""
    z = logits_of(20_000, 3) * true
    targets = probabilities(z.double() / true, exclusive, binary)
    assert fit_temperature(z, targets, exclusive, binary) == pytest.approx(true, rel=0.01)


def test_sampled_labels_give_nearly_the_temperature():
    z = logits_of(4000)
    labels = torch.multinomial(z.softmax(1), 1, generator=torch.Generator().manual_seed(4))[:, 0]
    targets = F.one_hot(labels, 5).float()
    found = fit_temperature(z * 3, targets, True, False)
    assert found == pytest.approx(3, rel=0.05)
    best = likelihood_loss(z * 3, targets, True, False, found)
    for factor in (0.8, 1.2):
        assert best < likelihood_loss(z * 3, targets, True, False, found * factor)


def test_a_small_split_without_a_mistake_is_no_proof_of_certainty():
    labels = torch.arange(40) % 2
    z = torch.stack([-(labels * 2.0 - 1), labels * 2.0 - 1], 1)  # always right, p = 0.88
    targets = F.one_hot(labels, 2).float()
    found = fit_temperature(z, targets, True, False)
    # one of 41 pictures might have been of either class
    assert 1 / (1 + math.exp(-2 / found)) == pytest.approx(1 - 0.5 / 41, abs=1e-4)


def test_it_never_makes_the_true_classes_less_likely():
    """Right throughout and surer than so few pictures can prove: it stays as it is."""
    labels = torch.arange(10) % 2
    z = torch.stack([-(labels * 20.0 - 10), labels * 20.0 - 10], 1)
    assert fit_temperature(z, F.one_hot(labels, 2).float(), True, False) == 1.0


def test_wrong_certainty_ends_at_the_bound():
    labels = torch.arange(100) % 4
    targets = F.one_hot(labels, 4).float()
    found = fit_temperature(-1000 * targets, targets, True, False)
    assert found == pytest.approx(20.0, rel=1e-3)


@pytest.mark.parametrize(("exclusive", "binary"), WAYS)
def test_nothing_to_learn_from_leaves_one(exclusive, binary):
    assert fit_temperature(torch.zeros(0, 3), torch.zeros(0, 3), exclusive, binary) == 1.0
    broken = torch.tensor([[math.nan, 0.0]])
    assert fit_temperature(broken, torch.tensor([[1.0, 0.0]]), exclusive, binary) == 1.0


def test_unlabelled_pictures_are_left_out():
    z, labels = logits_of(500) * 3, torch.arange(500) % 5
    z[torch.arange(500), labels] += 4
    targets = F.one_hot(labels, 5).float()
    more = torch.cat([z, logits_of(100)]), torch.cat([targets, torch.zeros(100, 5)])
    found = fit_temperature(z, targets, True, False)
    assert found > 1.1
    assert fit_temperature(*more, True, False) == found
    assert fit_temperature(logits_of(9), torch.zeros(9, 5), True, False) == 1.0
