"""Losses over pixels: by hand, and against slow loops that follow the papers word by word."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from loss_cases import ALL, NAMES, example, two_pixels, value

from visionkit.losses.classification import categorical, weigh
from visionkit.losses.segmentation import SegmentationLoss, hardest
from visionkit.results import VOID


def pixels(logits, labels):
    """The labelled pixels' probabilities [N, K], in float64, and labels."""
    p = logits.double().softmax(1).permute(0, 2, 3, 1).reshape(-1, logits.shape[1]).numpy()
    flat = labels.flatten().numpy()
    return p[flat != VOID], flat[flat != VOID]


def test_cross_entropy_by_hand():
    logits, labels = two_pixels(0, 1, VOID)
    costs = -math.log(3 / 4), -math.log(1 / 4)
    assert value("cross_entropy", logits, labels).item() == pytest.approx(sum(costs) / 2)
    weighted = value("cross_entropy", logits, labels, torch.tensor([1.0, 3.0]))
    assert weighted.item() == pytest.approx((costs[0] + 3 * costs[1]) / 4)


def test_dice_by_hand():
    logits, labels = two_pixels(0, 1, VOID)
    first = 2 * (3 / 4) / (2 * (3 / 4) ** 2 + 1)
    second = 2 * (1 / 4) / (2 * (1 / 4) ** 2 + 1)
    assert value("dice", logits, labels).item() == pytest.approx(1 - (first + second) / 2)
    logits, labels = two_pixels(0, 0)  # the second class isn't there, and isn't counted
    assert value("dice", logits, labels).item() == pytest.approx(1 - 3 / (2 * (9 / 16) + 2))


def test_lovasz_by_hand():
    """Class 0: errors 3/4 (wrong) and 1/4, each costs half of the IoU; class 1: 3/4 costs all."""
    logits, labels = two_pixels(0, 1, VOID)
    expected = ((3 / 4 + 1 / 4) / 2 + 3 / 4) / 2
    assert value("lovasz", logits, labels).item() == pytest.approx(expected)


def test_focal_by_hand():
    logits, labels = two_pixels(0, 1, VOID)
    right, wrong = -math.log(3 / 4), -math.log(1 / 4)
    for gamma in (0.5, 2.0):
        expected = ((1 / 4) ** gamma * right + (3 / 4) ** gamma * wrong) / 2
        found = value("focal", logits, labels, focal_gamma=gamma)
        assert found.item() == pytest.approx(expected)
    plain = value("focal", logits, labels, torch.tensor([1.0, 3.0]), focal_gamma=0.0)
    assert plain.item() == pytest.approx((right + 3 * wrong) / 4)


def test_ohem_by_hand():
    logits, labels = two_pixels(0, 0, 1, VOID)  # 3/4, 3/4 and 1/4
    right, wrong = -math.log(3 / 4), -math.log(1 / 4)
    options = {"ohem_threshold": 0.7, "ohem_kept": 0.0}
    assert value("ohem", logits, labels, **options).item() == pytest.approx(wrong)
    # a half of three is two; the second hardest is as hard as the third
    options["ohem_kept"] = 0.5
    assert value("ohem", logits, labels, **options).item() == pytest.approx((2 * right + wrong) / 3)
    options = {"ohem_threshold": 0.2, "ohem_kept": 0.0}  # none is hard
    assert value("ohem", logits, labels, **options).item() == 0
    options["ohem_kept"] = 1 / 3
    assert value("ohem", logits, labels, **options).item() == pytest.approx(wrong)


def test_the_hardest_pixels_are_so_many():
    nll = torch.rand(2, 10, 10, generator=torch.Generator().manual_seed(0))
    labelled = torch.ones(2, 10, 10, dtype=torch.bool)
    labelled[0, :5] = False  # 150 are left
    for part, count in ((0.1, 15), (0.5, 75), (1.0, 150)):
        kept = hardest(nll, labelled, 0.0, part)
        assert kept.sum() == count
        assert not kept[~labelled].any()
        assert nll[kept].min() >= nll[labelled & ~kept].max() if part < 1 else True
    kept = hardest(nll, labelled, 0.6, 0.01)  # more are hard than must be kept
    assert torch.equal(kept, labelled & ((-nll).exp() < 0.6))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_is_that_of_pictures_for_each_pixel(smoothing):
    logits, labels, weights = example()
    flat = logits.permute(0, 2, 3, 1).reshape(-1, 4)[labels.flatten() != VOID]
    targets = F.one_hot(labels[labels != VOID].long(), 4).float()
    wanted = weigh(targets, weights, smoothing, exclusive=True)
    expected = categorical(flat, wanted).sum() / wanted.total
    found = value("cross_entropy", logits, labels, weights, label_smoothing=smoothing)
    torch.testing.assert_close(found, expected)
    whole = value("ohem", logits, labels, weights, label_smoothing=smoothing, ohem_threshold=1.0)
    torch.testing.assert_close(whole, expected)


def test_focal_is_that_of_pictures_for_each_pixel():
    logits, labels, weights = example()
    flat = logits.permute(0, 2, 3, 1).reshape(-1, 4)[labels.flatten() != VOID]
    wanted = weigh(F.one_hot(labels[labels != VOID].long(), 4).float(), weights, 0.0, True)
    expected = categorical(flat, wanted, 1.5).sum() / wanted.total
    found = value("focal", logits, labels, weights, focal_gamma=1.5)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("seed", range(3))
def test_dice_against_a_loop(seed):
    logits, labels, weights = example(seed=seed)
    p, truth = pixels(logits, labels)
    scores = []
    for k in range(4):
        is_k = [float(t == k) for t in truth]
        if any(is_k):
            both = sum(2 * p[i, k] * t for i, t in enumerate(is_k))
            scores.append(both / sum(p[i, k] ** 2 + t**2 for i, t in enumerate(is_k)))
    assert len(scores) == 3
    assert value("dice", logits, labels, weights).item() == pytest.approx(1 - np.mean(scores))


@pytest.mark.parametrize("seed", range(3))
def test_lovasz_against_a_loop(seed):
    """The errors, largest first, each times what getting one more pixel wrong takes off the IoU."""
    logits, labels, weights = example(seed=seed)
    p, truth = pixels(logits, labels)
    costs = []
    for k in sorted({*truth.tolist()}):
        errors = [1 - p[i, k] if t == k else p[i, k] for i, t in enumerate(truth)]
        objects = {i for i, t in enumerate(truth) if t == k}
        said, before, cost = set(objects), 0.0, 0.0
        for i in np.argsort(errors)[::-1].tolist():
            said ^= {i}
            lost = 1 - len(said & objects) / len(said | objects)
            cost, before = cost + errors[i] * (lost - before), lost
        costs.append(cost)
    assert len(costs) == 3
    assert value("lovasz", logits, labels, weights).item() == pytest.approx(np.mean(costs))


def test_lovasz_and_dice_of_certain_answers_are_the_scores_themselves():
    _, labels, weights = example()
    said = torch.randint(0, 4, labels.shape, generator=torch.Generator().manual_seed(5))
    logits = 200.0 * F.one_hot(said, 4).permute(0, 3, 1, 2).float()
    known, said = labels[labels != VOID], said[labels != VOID]
    overlaps, scores = [], []
    for k in (0, 2, 3):
        both = int(((known == k) & (said == k)).sum())
        total = int((known == k).sum() + (said == k).sum())
        overlaps.append(both / (total - both))
        scores.append(2 * both / total)
    lost = 1 - np.mean(overlaps), 1 - np.mean(scores)
    assert value("lovasz", logits, labels, weights).item() == pytest.approx(lost[0], abs=1e-6)
    assert value("dice", logits, labels, weights).item() == pytest.approx(lost[1], abs=1e-6)


def test_a_perfect_answer_costs_nothing_and_its_opposite_much():
    _, labels, weights = example()
    truth = torch.where(labels == VOID, 0, labels).long()
    logits = 60.0 * F.one_hot(truth, 4).permute(0, 3, 1, 2).float()
    for name, found in SegmentationLoss(**ALL)(logits, labels, weights).items():
        assert found.item() == pytest.approx(0, abs=1e-6), name
    for name, found in SegmentationLoss(**ALL)(-logits, labels, weights).items():
        assert found.item() > 0.9, name


def test_gains_are_factors_and_names():
    logits, labels, weights = example()
    plain = SegmentationLoss(**ALL)(logits, labels, weights)
    assert set(plain) == set(NAMES)
    gained = SegmentationLoss(0.5, 2.0, 0.0, 3.0, 0.0)(logits, labels, weights)
    assert set(gained) == {"cross_entropy", "dice", "focal"}
    for name, gain in (("cross_entropy", 0.5), ("dice", 2.0), ("focal", 3.0)):
        torch.testing.assert_close(gained[name], gain * plain[name])
    nothing = torch.full_like(labels, VOID)
    assert set(SegmentationLoss(**ALL)(logits, nothing, weights)) == set(NAMES)


@pytest.mark.parametrize(("first", "second"), itertools.combinations(NAMES, 2))
def test_a_sum_has_the_gradient_of_its_parts(first, second):
    logits, labels, weights = example()
    gradients = []
    for gains in ({first: 1.0}, {second: 1.0}, {first: 1.0, second: 1.0}):
        x = logits.clone().requires_grad_()
        found = SegmentationLoss(**{"cross_entropy": 0.0} | gains)(x, labels, weights)
        torch.stack(list(found.values())).sum().backward()
        gradients.append(x.grad)
    torch.testing.assert_close(gradients[0] + gradients[1], gradients[2])
