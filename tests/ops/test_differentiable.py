"""Changes to pictures: what they do and how often, and that gradients pass through."""

import pytest
import torch

from visionkit.ops.differentiable import AdaptiveAugment, augmented

EVERY = ("colour", "translation", "cutout")


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def adaptive(p: float) -> AdaptiveAugment:
    module = AdaptiveAugment()
    module.p.fill_(p)
    return module


def noise(count: int = 16, height: int = 16, width: int = 24) -> torch.Tensor:
    return torch.rand(count, 3, height, width) * 2 - 1


def test_no_policy_leaves_pictures():
    images = noise()
    assert augmented(images, ()) is images


def test_pictures_are_moved_by_whole_pixels_each_its_own_way():
    images = noise()
    moves = set()
    for before, after in zip(images, augmented(images, ["translation"]), strict=True):
        wide = torch.nn.functional.pad(before, (3, 3, 2, 2))
        found = [
            (y, x)
            for y in range(5)
            for x in range(7)
            if torch.equal(after, wide[:, y : y + 16, x : x + 24])
        ]
        assert len(found) == 1
        moves.add(found[0])
    assert len(moves) > 8


def test_a_move_reaches_an_eighth_of_each_side_and_no_farther():
    marked = torch.zeros(2000, 1, 16, 24)
    marked[:, :, 8, 12] = 1
    _, _, y, x = augmented(marked, ["translation"]).nonzero().unbind(1)
    assert sorted(set(y.tolist())) == list(range(6, 11))
    assert sorted(set(x.tolist())) == list(range(9, 16))


def test_a_rectangle_of_half_of_each_side_is_cut_out():
    hidden = augmented(torch.ones(500, 2, 8, 12), ["cutout"]) == 0
    assert torch.equal(hidden[:, 0], hidden[:, 1])
    rows, columns = hidden[:, 0].any(2), hidden[:, 0].any(1)
    assert torch.equal(hidden[:, 0], rows[:, :, None] & columns[:, None])
    # its centre is anywhere on the picture, so that half of it may lie outside
    assert set(rows.sum(1).tolist()) == {2, 3, 4}
    assert set(columns.sum(1).tolist()) == {3, 4, 5, 6}
    assert rows.float().mean(0).min() > 0.2
    assert columns.float().mean(0).min() > 0.2


def test_what_is_not_cut_out_stays():
    images = noise()
    changed = augmented(images, ["cutout"])
    assert torch.equal(changed[changed != 0], images[changed != 0])


def test_colours_have_other_means_deviations_and_differences():
    images = noise(500)
    changed = augmented(images, ["colour"])
    shift = (changed - images).mean((1, 2, 3))
    assert -0.5 <= shift.min() < -0.4
    assert 0.4 < shift.max() <= 0.5
    grey, made = images.mean(1), changed.mean(1)
    contrast = made.std((1, 2)) / grey.std((1, 2))
    assert 0.5 <= contrast.min() < 0.6
    assert 1.4 < contrast.max() <= 1.5 + 1e-5
    saturation = (changed - made[:, None]).std((1, 2, 3)) / (images - grey[:, None]).std((1, 2, 3))
    assert (saturation / contrast).min() < 0.1
    assert 1.9 < (saturation / contrast).max() <= 2 + 1e-5


def test_grey_pictures_stay_grey():
    images = noise()[:, :1].expand(-1, 3, -1, -1)
    changed = augmented(images, EVERY)
    torch.testing.assert_close(changed[:, 0], changed[:, 1])
    torch.testing.assert_close(changed[:, 0], changed[:, 2])


def test_a_seed_makes_the_same_of_the_same():
    images = noise()
    made = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        made.append((augmented(images, EVERY), adaptive(0.5)(images)))
    for first, again, other in zip(*made, strict=True):
        assert torch.equal(first, again)
        assert not torch.equal(first, other)


def test_gradients_are_those_of_what_is_seen():
    images = noise().requires_grad_()
    augmented(images, ["translation", "cutout"]).sum().backward()
    assert set(images.grad.unique().tolist()) == {0.0, 1.0}
    images = noise().double().requires_grad_()

    def changed(x):
        torch.manual_seed(3)
        return augmented(x, EVERY)

    assert torch.autograd.gradcheck(changed, noise(2, 4, 5).double().requires_grad_())


@pytest.mark.parametrize("size", [(16, 16), (12, 20), (5, 1)])
def test_pictures_of_any_size_and_a_gradient_for_each(size):
    images = noise(32, *size).requires_grad_()
    for changed in (augmented(images, EVERY), adaptive(1.0)(images)):
        assert changed.shape == images.shape
        assert torch.isfinite(changed).all()
        (gradient,) = torch.autograd.grad(changed.square().sum(), images)
        assert torch.isfinite(gradient).all()
        assert (gradient != 0).flatten(1).any(1).float().mean() > 0.9


def test_probability_zero_leaves_pictures():
    images = noise()
    torch.testing.assert_close(adaptive(0.0)(images), images, rtol=0, atol=1e-6)


def test_how_often_a_picture_is_left_as_it_is():
    """Twelve changes; three of them do nothing, some of the times that they are chosen."""
    p, images = 0.1, noise(3000, 16, 16)
    same = ((adaptive(p)(images) - images).abs().amax((1, 2, 3)) < 1e-5).float().mean()
    blits = (1 - p / 2) * (1 - p * 3 / 4) * (1 - p * 24 / 25)
    warps = (1 - p) ** 4
    colours = (1 - p) ** 4 * (1 - p / 2)
    assert same.item() == pytest.approx(blits * warps * colours, abs=0.03)


def test_whole_pixels_are_only_moved():
    """What a picture of distinct values holds after it are these values, unblended."""
    images = torch.arange(16 * 16).float().view(1, 1, 16, 16).expand(64, 3, -1, -1)
    changed = adaptive(1.0)._blitted(images)
    assert set(changed.unique().tolist()) <= set(range(256))
    turned = [images[0].rot90(k, (1, 2)) for k in range(4)]
    centres = {x[0, 8, 8].item() for x in changed}
    assert len(centres) > 20
    # neighbours stay neighbours, in one of the eight ways
    steps = {(x[0, 8, 9] - x[0, 8, 8]).item() for x in changed}
    assert steps == {(t[0, 8, 9] - t[0, 8, 8]).item() for t in turned}


def test_even_colours_stay_where_they_are_when_pictures_are_warped():
    even = torch.rand(64, 3, 1, 1).expand(-1, -1, 12, 20)
    torch.testing.assert_close(adaptive(1.0)._warped(even), even)


def test_a_turn_keeps_shapes(monkeypatch):
    """A bar in a wide picture is as long and as thick at any angle, leaving mirrored ones aside."""
    monkeypatch.setattr(torch, "randn", lambda *size, device: torch.zeros(*size))
    bar = torch.zeros(64, 3, 32, 64)
    bar[:, :, 14:18, 22:42] = 1
    turned = adaptive(1.0)._warped(bar)[..., 16:48]
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    places = torch.stack([y, x]).flatten(1)

    def spreads(image):
        weight = image[0].flatten() / image[0].sum()
        around = places - (places * weight).sum(1, keepdim=True)
        return torch.linalg.eigvalsh((around * weight) @ around.T)

    expected = spreads(bar[0, :, :, 16:48])
    assert expected.tolist() == pytest.approx([15 / 12, 399 / 12])
    angles = set()
    for image in turned:
        torch.testing.assert_close(spreads(image), expected, rtol=0, atol=0.4)
        angles.add(round(image[0, :, 16].sum().item()))
    assert len(angles) > 5


def test_grey_stays_grey_when_hue_and_saturation_change():
    changed = adaptive(1.0)._recoloured(noise()[:, :1].expand(-1, 3, -1, -1).contiguous())
    torch.testing.assert_close(changed[:, 0], changed[:, 1], rtol=0, atol=1e-5)
    torch.testing.assert_close(changed[:, 0], changed[:, 2], rtol=0, atol=1e-5)


def test_an_inverted_luma_keeps_hues(monkeypatch):
    """Brightness, contrast, saturation and hue at rest: grey changes its sign and nothing else."""
    monkeypatch.setattr(torch, "randn", lambda *size, device: torch.zeros(*size))
    monkeypatch.setattr(AdaptiveAugment, "_angle", lambda self, x, c: (c * 0.0 + 1, c * 0.0))
    images = noise(64)
    changed = adaptive(1.0)._recoloured(images)
    grey, made = images.mean(1, keepdim=True), changed.mean(1, keepdim=True)
    torch.testing.assert_close(changed - made, images - grey, rtol=0, atol=1e-5)
    signs = (made / grey).flatten(1).median(1).values
    torch.testing.assert_close(signs.abs(), torch.ones(64), rtol=0, atol=1e-4)
    assert 16 <= (signs < 0).sum() <= 48


def test_mixed_precision_changes_nothing():
    images, made = noise(), []
    for mixed in (False, True):
        torch.manual_seed(4)
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            made.append(adaptive(1.0)(images))
    assert torch.equal(*made)


def test_changes_become_frequent_for_a_sure_critic_and_rare_for_an_unsure_one():
    module = AdaptiveAugment(0.6, 1000)
    for _ in range(3):
        module.adapt(torch.tensor(0.9), 64)
    assert module.p.item() == pytest.approx(3 * 0.064)
    module.adapt(torch.tensor(0.5), 100)
    assert module.p.item() == pytest.approx(3 * 0.064 - 0.1)
    module.adapt(torch.tensor(-1.0), 500)
    assert module.p.item() == 0
    module.adapt(torch.tensor(1.0), 5000)
    assert module.p.item() == 1
    assert list(module.state_dict()) == ["p"]
