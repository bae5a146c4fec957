"""Weights of parts: fixed ones change nothing, learned ones settle where they should."""

import math

import pytest
import torch

from visionkit.losses.weighting import FixedWeights, UncertaintyWeights

LOSSES = {"boxes": torch.tensor(3.0), "masks": torch.tensor(0.2)}


def test_fixed_weights_leave_losses_alone():
    weighting = FixedWeights(("boxes", "masks"))
    assert weighting(LOSSES) == LOSSES
    assert weighting.learned() == {}
    assert list(weighting.parameters()) == []


def test_learned_weights_start_at_one():
    weighting = UncertaintyWeights(("boxes", "masks"))
    assert {k: float(v.detach()) for k, v in weighting(LOSSES).items()} == pytest.approx(
        {"boxes": 3.0, "masks": 0.2}
    )
    assert {k: float(v) for k, v in weighting.learned().items()} == {"boxes": 1.0, "masks": 1.0}


def test_by_hand():
    weighting = UncertaintyWeights(("boxes", "masks"))
    with torch.no_grad():
        weighting.log_variance["boxes"].fill_(math.log(4.0))
        weighting.log_variance["masks"].fill_(math.log(0.25))
    found = {k: float(v.detach()) for k, v in weighting(LOSSES).items()}
    # exp(-s) L + s / 2
    assert found == pytest.approx(
        {"boxes": 3.0 / 4 + math.log(4.0) / 2, "masks": 0.2 / 0.25 + math.log(0.25) / 2}
    )


def test_a_constant_loss_settles_at_its_own_noise():
    """The least of exp(-s) L + s / 2 is at s = log 2 L: every part comes to cost the same 1 / 2."""
    weighting = UncertaintyWeights(("boxes", "masks"))
    optimizer = torch.optim.SGD(weighting.parameters(), lr=0.5)
    for _ in range(200):
        optimizer.zero_grad()
        sum(weighting(LOSSES).values()).backward()
        optimizer.step()
    weights = {k: float(v) for k, v in weighting.learned().items()}
    assert weights == pytest.approx({"boxes": 1 / 6.0, "masks": 1 / 0.4}, rel=1e-3)


def test_a_part_without_a_loss_keeps_its_weight():
    weighting = UncertaintyWeights(("boxes", "masks"))
    optimizer = torch.optim.Adam(weighting.parameters(), lr=0.1)
    for losses in (LOSSES, {"masks": LOSSES["masks"]}):
        before = weighting.learned()
        optimizer.zero_grad()
        sum(weighting(losses).values()).backward()
        optimizer.step()
    after = weighting.learned()
    assert after["boxes"] == before["boxes"] != 1  # momentum doesn't move it
    assert after["masks"] != before["masks"]
