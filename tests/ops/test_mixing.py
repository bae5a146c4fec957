"""Mixed pictures: exact shares, the type they came in, and the same for the same chance."""

import numpy as np
import pytest
import torch

from visionkit.batch import Batch, LabelTargets
from visionkit.geometry import Letterbox
from visionkit.ops.mixing import cutmix, draw_box, draw_ratio, mix_labels, mixup
from visionkit.sample import ImageMeta

ORDER = torch.tensor([1, 0])
LABELS = torch.eye(2)


def flat(*values: int, size: tuple[int, int] = (4, 6)) -> torch.Tensor:
    """Pictures of one grey each."""
    return torch.tensor(values, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, *size).clone()


def make_batch(count: int, size: tuple[int, int] = (8, 10)) -> Batch:
    return Batch(
        images=flat(*(20 * i for i in range(count)), size=size),
        targets=LabelTargets(torch.eye(count)),
        meta=tuple(ImageMeta(i, "", Letterbox(size, size)) for i in range(count)),
    )


def test_mixup_blends_pictures_and_targets_alike():
    images, targets = mixup(flat(10, 210), LABELS, 0.75, ORDER)
    assert images.dtype == torch.uint8
    assert images[0].unique().tolist() == [60]
    assert images[1].unique().tolist() == [160]
    assert targets.tolist() == [[0.75, 0.25], [0.25, 0.75]]


def test_mixup_rounds_whole_numbers_and_leaves_the_rest():
    images, _ = mixup(flat(0, 3), LABELS, 0.75, ORDER)
    assert [images[0].unique().item(), images[1].unique().item()] == [1, 2]
    images, _ = mixup(flat(0, 3).float(), LABELS, 0.75, ORDER)
    assert [images[0].unique().item(), images[1].unique().item()] == [0.75, 2.25]
    images, targets = mixup(flat(7, 250), LABELS, 1.0, ORDER)
    assert torch.equal(images, flat(7, 250))
    assert torch.equal(targets, LABELS)


def test_mixup_and_cutmix_leave_what_they_are_given():
    images, labels = flat(0, 200), LABELS.clone()
    mixup(images, labels, 0.5, ORDER)
    cutmix(images, labels, (0, 0, 3, 3), ORDER)
    assert torch.equal(images, flat(0, 200))
    assert torch.equal(labels, LABELS)


def test_cutmix_shares_by_area():
    images, targets = cutmix(flat(10, 210), LABELS, (1, 0, 4, 2), ORDER)  # 3 x 2 of 24 pixels
    assert images.dtype == torch.uint8
    assert (images[0] == 210).sum().item() == 3 * 6
    assert (images[0, :, 0:2, 1:4] == 210).all()
    assert (images[1, :, 0:2, 1:4] == 10).all()
    assert (images[1] == 210).sum().item() == 3 * 18
    assert targets.tolist() == [[0.75, 0.25], [0.25, 0.75]]


def test_cutmix_of_nothing_and_of_everything():
    images, targets = cutmix(flat(10, 210), LABELS, (2, 2, 2, 4), ORDER)
    assert torch.equal(images, flat(10, 210))
    assert torch.equal(targets, LABELS)
    images, targets = cutmix(flat(10, 210), LABELS, (0, 0, 6, 4), ORDER)
    assert torch.equal(images, flat(210, 10))
    assert torch.equal(targets, LABELS[ORDER])


def test_drawn_boxes_lie_within_and_leave_the_ratio():
    rng = np.random.default_rng(0)
    areas = []
    for _ in range(500):
        x1, y1, x2, y2 = draw_box(rng, (30, 50), 0.75)
        assert 0 <= x1 <= x2 <= 50
        assert 0 <= y1 <= y2 <= 30
        areas.append((x2 - x1) * (y2 - y1))
    assert max(areas) == 15 * 25  # half of each side, where the border cuts nothing off
    assert min(areas) < 15 * 25
    x1, y1, x2, y2 = draw_box(rng, (30, 50), 1.0)
    assert (x2 - x1) * (y2 - y1) == 0


def test_drawn_ratios_follow_alpha():
    rng = np.random.default_rng(0)
    mild = np.array([draw_ratio(rng, 0.1) for _ in range(300)])
    even = np.array([draw_ratio(rng, 1.0) for _ in range(300)])
    assert ((mild >= 0) & (mild <= 1)).all()
    assert np.abs(mild - 0.5).mean() > 0.4
    assert np.abs(even - 0.5).mean() == pytest.approx(0.25, abs=0.03)


def test_a_batch_is_mixed_as_its_targets_say():
    """Each picture's grey is the mean of two pictures', in the proportion of its target."""
    batch = make_batch(6)
    greys = batch.images[:, 0, 0, 0].float()
    ways = set()
    for seed in range(30):
        mixed = mix_labels(batch, np.random.default_rng(seed), 0.8, 1.0)
        values = mixed.targets.values
        assert mixed.images.dtype == torch.uint8
        assert mixed.meta == batch.meta
        torch.testing.assert_close(values.sum(1), torch.ones(6))
        means = mixed.images.float().mean((1, 2, 3))
        torch.testing.assert_close(means, values @ greys, rtol=0, atol=0.51)
        ways.add(len(mixed.images[0].unique()))
    assert ways == {1, 2}, "a blend is of one grey, a cut of two"
    assert torch.equal(batch.images, make_batch(6).images)


@pytest.mark.parametrize(("mixup_alpha", "cutmix_alpha", "greys"), [(1, 0, 1), (0, 1, 2)])
def test_one_way_alone(mixup_alpha, cutmix_alpha, greys):
    found, changed = set(), 0
    for seed in range(20):
        batch = make_batch(3)
        mixed = mix_labels(batch, np.random.default_rng(seed), mixup_alpha, cutmix_alpha)
        found |= {len(image.unique()) for image in mixed.images}
        changed += not torch.equal(mixed.images, batch.images)
    assert max(found) == greys
    assert changed >= 15


def test_the_same_chance_mixes_the_same():
    one, two, other = (
        mix_labels(make_batch(5), np.random.default_rng(seed), 1.0, 1.0) for seed in (3, 3, 4)
    )
    assert torch.equal(one.images, two.images)
    assert torch.equal(one.targets.values, two.targets.values)
    assert not torch.equal(one.targets.values, other.targets.values)


def test_some_batches_stay_as_they_are():
    batch = make_batch(4)
    rng = np.random.default_rng(0)
    assert mix_labels(batch, rng) is batch
    assert mix_labels(batch, rng, 1.0, 1.0, probability=0.0) is batch
    assert mix_labels(make_batch(1), rng, 1.0, 1.0).images.shape[0] == 1
    kept = sum(mix_labels(batch, rng, 1.0, 1.0, probability=0.3) is batch for _ in range(300))
    assert kept == pytest.approx(210, abs=30)
