"""Losses over classes: against torch's where it has them, else against figures by hand."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from visionkit.losses.classification import balance, binary, categorical, weigh

SOFT = torch.tensor([[0.7, 0.3, 0.0], [0.0, 0.0, 1.0]])
LOGITS = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]])
WEIGHTS = torch.tensor([0.5, 1.0, 4.0])


def one_hot(*labels: int) -> Tensor:
    return F.one_hot(torch.tensor(labels), 3).float()


def mean(loss, logits, targets, weights=None, smoothing=0.0, exclusive=True, gamma=0.0) -> Tensor:
    weights = torch.ones(targets.shape[1]) if weights is None else weights
    wanted = weigh(targets, weights, smoothing, exclusive)
    return loss(logits, wanted, gamma).sum() / wanted.total


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("targets", [SOFT, one_hot(2, 0)], ids=["soft", "hard"])
def test_categorical_is_torchs_cross_entropy(targets, smoothing):
    ours = mean(categorical, LOGITS, targets, smoothing=smoothing)
    torch.testing.assert_close(
        ours, F.cross_entropy(LOGITS, targets, label_smoothing=smoothing), rtol=1e-6, atol=0
    )


def test_class_weights_are_torchs_for_hard_targets():
    labels = torch.tensor([2, 0, 1, 0])
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    ours = mean(categorical, logits, one_hot(*labels.tolist()), WEIGHTS)
    torch.testing.assert_close(ours, F.cross_entropy(logits, labels, weight=WEIGHTS))


def test_class_weights_with_soft_targets_by_hand():
    """Logits of zero: each class costs log 3, so only the scale is left, and that stays."""
    assert mean(categorical, torch.zeros(2, 3), SOFT, WEIGHTS).item() == pytest.approx(math.log(3))
    log_p = LOGITS.log_softmax(1)
    costs = 0.5 * 0.7 * -log_p[0, 0] + 1.0 * 0.3 * -log_p[0, 1] + 4.0 * -log_p[1, 2]
    total = 0.5 * 0.7 + 0.3 + 4.0
    ours = mean(categorical, LOGITS, SOFT, WEIGHTS)
    torch.testing.assert_close(ours, costs / total)


@pytest.mark.parametrize("loss", [categorical, binary])
def test_a_picture_has_the_weight_of_its_class_when_smoothed(loss):
    """The rare class's weight mustn't reach pictures of the common one through the smoothing."""
    alone = mean(loss, LOGITS[:1], one_hot(0), smoothing=0.1)
    other = mean(loss, LOGITS[1:], one_hot(2), smoothing=0.1)
    both = mean(loss, LOGITS, one_hot(0, 2), torch.tensor([1.0, 1.0, 50.0]), smoothing=0.1)
    torch.testing.assert_close(both, (alone + 50 * other) / 51)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
@pytest.mark.parametrize("loss", [categorical, binary])
def test_a_mixture_costs_the_mixture_of_costs(loss, gamma):
    """As mixup is written: ratio times the one loss and the rest of the other."""

    def cost(target: Tensor) -> Tensor:
        return loss(LOGITS[:1], weigh(target, WEIGHTS, 0.1, True), gamma)[0]

    apart = 0.7 * cost(one_hot(0)) + 0.3 * cost(one_hot(1))
    torch.testing.assert_close(cost(SOFT[:1]), apart)


def test_binary_is_torchs_summed_over_classes():
    for targets, smoothed in ((SOFT, SOFT), (one_hot(1, 2), one_hot(1, 2))):
        expected = F.binary_cross_entropy_with_logits(LOGITS, smoothed, reduction="sum") / 2
        torch.testing.assert_close(mean(binary, LOGITS, targets), expected)
    smoothed = 0.9 * one_hot(1, 2) + 0.1 / 3
    expected = F.binary_cross_entropy_with_logits(LOGITS, smoothed, reduction="sum") / 2
    torch.testing.assert_close(mean(binary, LOGITS, one_hot(1, 2), smoothing=0.1), expected)


def test_several_classes_in_a_picture_by_hand():
    targets = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    plain = F.binary_cross_entropy_with_logits(LOGITS, targets, reduction="none")
    torch.testing.assert_close(mean(binary, LOGITS, targets, exclusive=False), plain.sum() / 2)
    weighted = (plain * WEIGHTS / WEIGHTS.mean()).sum() / 2
    torch.testing.assert_close(mean(binary, LOGITS, targets, WEIGHTS, exclusive=False), weighted)
    smoothed = F.binary_cross_entropy_with_logits(LOGITS, 0.8 * targets + 0.1, reduction="sum") / 2
    torch.testing.assert_close(
        mean(binary, LOGITS, targets, smoothing=0.2, exclusive=False), smoothed
    )


def test_focal_by_hand():
    logits = torch.tensor([[math.log(3.0), 0.0]])  # p = 3/4, 1/4
    first, second = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    assert mean(categorical, logits, first, gamma=2).item() == pytest.approx(
        (1 / 4) ** 2 * math.log(4 / 3)
    )
    assert mean(categorical, logits, second, gamma=2).item() == pytest.approx(
        (3 / 4) ** 2 * math.log(4)
    )
    # sigmoids 3/4 and 1/5: the first is to be there, the second not
    logits = torch.tensor([[math.log(3.0), -math.log(4.0)]])
    expected = (1 / 4) ** 2 * math.log(4 / 3) + (1 / 5) ** 2 * math.log(5 / 4)
    assert mean(binary, logits, first, gamma=2).item() == pytest.approx(expected)


@pytest.mark.parametrize("loss", [categorical, binary])
@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_focal_is_finite_where_the_answer_is_certain(loss, gamma):
    logits = torch.tensor([[200.0, -200.0, 0.0], [-200.0, 200.0, 200.0]], requires_grad=True)
    value = mean(loss, logits, one_hot(0, 0), gamma=gamma)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(logits.grad).all()


def test_a_tiny_gamma_is_nearly_none():
    for loss in (categorical, binary):
        plain = mean(loss, LOGITS, SOFT)
        torch.testing.assert_close(mean(loss, LOGITS, SOFT, gamma=1e-6), plain, rtol=1e-4, atol=0)
        assert mean(loss, LOGITS, SOFT, gamma=1.0) < plain


def test_pictures_without_a_label_cost_nothing():
    targets = torch.cat([SOFT, torch.zeros(1, 3)])
    logits = torch.cat([LOGITS, torch.full((1, 3), 5.0)])
    for loss in (categorical, binary):
        torch.testing.assert_close(mean(loss, logits, targets), mean(loss, LOGITS, SOFT))


def test_balanced_weights_by_hand():
    weights = balance([10, 30, 0], "balanced")
    # inverse frequencies 1/10 and 1/30 times 40/2; the class without pictures as the rarest
    assert weights.tolist() == pytest.approx([2.0, 2 / 3, 2.0])
    assert balance([7, 7], "balanced").tolist() == [1.0, 1.0]
    assert balance([0, 0], "balanced").tolist() == [1.0, 1.0]


def test_effective_weights_by_hand():
    counts = [1, 20_000, 2_000_000]
    weights = balance(counts, "effective")
    number = [(1 - 0.9999**n) / (1 - 0.9999) for n in counts]
    relative = [number[0] / n for n in number]
    assert (weights / weights[0]).tolist() == pytest.approx(relative, rel=1e-5)
    assert (weights * torch.tensor(counts)).sum() / sum(counts) == pytest.approx(1, rel=1e-5)
    # where pictures are few it is the inverse frequency; where they abound, more count no less
    few = balance([10, 100], "effective")
    assert (few[0] / few[1]).item() == pytest.approx(10, rel=0.01)
    assert (weights[1] / weights[2]).item() == pytest.approx(1 / (1 - math.exp(-2)), rel=1e-3)
