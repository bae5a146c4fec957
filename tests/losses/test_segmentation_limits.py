"""Losses over pixels: void ones, extremes, several ranks, weights, and what is refused."""

import math

import pytest
import torch
from loss_cases import ALL, NAMES, example, only, value

from visionkit.build import build
from visionkit.errors import ConfigError
from visionkit.losses import segmentation
from visionkit.losses.classification import balance
from visionkit.losses.segmentation import SegmentationLoss
from visionkit.ops import distributed
from visionkit.results import VOID


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_differences(name):
    logits, labels, weights = example(k=3, size=(2, 2, 3), seed=1, dtype=torch.float64)
    loss = only(name, focal_gamma=1.5)
    torch.autograd.gradcheck(
        lambda x: loss(x, labels, weights)[name], logits.requires_grad_(), eps=1e-7
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("name", NAMES)
def test_void_pixels_have_no_say_and_no_gradient(name, smoothing):
    logits, labels, weights = example()
    void = (labels == VOID)[:, None].expand_as(logits)
    loss = only(name, label_smoothing=smoothing)
    values, gradients = [], []
    for high in (0.0, 1e4, 1e38):
        anything = torch.linspace(-high, high, 4).view(1, 4, 1, 1)
        x = torch.where(void, anything, logits).requires_grad_()
        found = loss(x, labels, weights)[name]
        found.backward()
        assert x.grad[void].eq(0).all()
        assert x.grad[~void].ne(0).any()
        values.append(found.detach())
        gradients.append(x.grad)
    assert all(torch.equal(v, values[0]) for v in values)
    assert all(torch.equal(g, gradients[0]) for g in gradients)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("name", NAMES)
def test_a_batch_without_a_labelled_pixel_costs_exactly_nothing(name, smoothing):
    logits, labels, weights = example()
    logits.requires_grad_()
    found = only(name, label_smoothing=smoothing)(logits, torch.full_like(labels, VOID), weights)
    assert found[name].item() == 0
    found[name].backward()
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_pixels_and_pictures_does_not_matter(name):
    logits, labels, weights = example(size=(2, 6, 6))
    order = torch.randperm(labels.numel(), generator=torch.Generator().manual_seed(3))

    def shuffled(x):
        return x.flatten()[order].view(3, 4, 6)

    mixed = torch.stack([shuffled(logits[:, k]) for k in range(4)], 1)
    plain, other = logits.requires_grad_(), mixed.detach().requires_grad_()
    first = value(name, plain, labels, weights)
    second = value(name, other, shuffled(labels), weights)
    torch.testing.assert_close(first, second)
    first.backward()
    second.backward()
    moved = torch.stack([shuffled(plain.grad[:, k]) for k in range(4)], 1)
    torch.testing.assert_close(moved, other.grad)


@pytest.mark.parametrize("name", NAMES)
def test_extreme_scores_stay_finite(name):
    logits, labels, weights = example()
    for scale in (0.0, 1e4):
        x = (logits * scale).requires_grad_()
        found = value(name, x, labels, weights, focal_gamma=0.5)
        found.backward()
        assert found.isfinite()
        assert x.grad.isfinite().all()


def test_as_many_classes_as_there_are_labels():
    logits = torch.zeros(1, 255, 1, 3)
    labels = torch.tensor([[[0, 254, VOID]]], dtype=torch.uint8)
    found = SegmentationLoss(**ALL)(logits, labels, torch.ones(255))
    assert found["cross_entropy"].item() == pytest.approx(math.log(255))
    assert all(v.isfinite() for v in found.values())


@pytest.mark.parametrize("name", ["cross_entropy", "dice", "focal", "ohem"])
def test_on_two_ranks_it_is_the_loss_of_all_their_pixels(name, monkeypatch):
    """As DDP does it: each rank's gradients by means over all, then the mean of the gradients."""
    logits, labels, weights = example()
    labels[1, 1:] = VOID  # so that the ranks have different numbers of pixels
    loss = only(name, ohem_kept=0.0)
    whole = logits.clone().requires_grad_()
    expected = loss(whole, labels, weights)[name]
    expected.backward()

    def exchange(by):
        for module in (segmentation, distributed):
            monkeypatch.setattr(module, "mean_over_ranks", by)

    seen: list = []
    exchange(lambda x: seen.append(x.detach()) or x)
    for rank in (0, 1):
        loss(logits[rank : rank + 1], labels[rank : rank + 1], weights)
    assert len(seen) == 2  # one exchange for each rank
    exchange(lambda x: (seen[0] + seen[1]) / 2)
    values, gradients = [], []
    for rank in (0, 1):
        x = logits[rank : rank + 1].clone().requires_grad_()
        values.append(loss(x, labels[rank : rank + 1], weights)[name])
        values[-1].backward()
        gradients.append(x.grad)
    torch.testing.assert_close(torch.cat(gradients) / 2, whole.grad)
    torch.testing.assert_close((values[0] + values[1]) / 2, expected)


def test_weights_by_hand():
    counts = [30, 10, 0]
    assert SegmentationLoss().weights(counts).tolist() == [1, 1, 1]
    log = SegmentationLoss(class_weights="log").weights(counts)
    expected = [1 / math.log(1.02 + p) for p in (0.75, 0.25, 0.0)]
    assert log.tolist() == pytest.approx(expected)
    assert log.dtype == torch.float32
    for how in ("balanced", "effective"):
        found = SegmentationLoss(class_weights=how).weights(counts)
        assert torch.equal(found, balance(counts, how))
    empty = SegmentationLoss(class_weights="log").weights([0, 0])
    assert empty[0] == empty[1]
    assert empty.isfinite().all()


def test_only_weights_need_counts():
    assert not SegmentationLoss().weighs
    assert all(SegmentationLoss(class_weights=h).weighs for h in ("balanced", "effective", "log"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cross_entropy": 0}, "head.loss: every gain is 0"),
        ({"cross_entropy": -1}, "head.loss.cross_entropy: must be at least 0, got -1"),
        ({"cross_entropy": 0, "dice": 1, "class_weights": "log"}, "head.loss.class_weights: log"),
        ({"class_weights": "logs"}, "head.loss.class_weights: 'logs' is not one of"),
        ({"ohem": 1, "ohem_threshold": 0, "ohem_kept": 0}, "head.loss.ohem_kept: no pixel"),
        ({"ohem_kept": 2}, "head.loss.ohem_kept: must be between 0 and 1, got 2"),
        ({"label_smoothing": 1}, "head.loss.label_smoothing: must be between 0 and 0.95"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(options, said):
    spec = {"_target_": "visionkit.losses.segmentation.SegmentationLoss", **options}
    with pytest.raises(ConfigError) as error:
        build(spec, "head.loss")
    assert str(error.value).startswith(said)
    assert len(error.value.problems) == 1
