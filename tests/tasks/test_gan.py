"""Training a generator from noise, on networks whose slopes are known."""

import functools
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from small_gans import MODELS
from small_translation import batch_of, noise
from torch import nn

from visionkit.build import plain
from visionkit.compose import compose
from visionkit.errors import ConfigError, TrainingError
from visionkit.generators.base import Generator
from visionkit.models.build import build_network
from visionkit.models.gan import Gan
from visionkit.tasks import adversarial
from visionkit.tasks import gan as module
from visionkit.tasks.adversarial import frozen
from visionkit.tasks.gan import GanTask

ADAM = functools.partial(torch.optim.Adam, lr=1e-3, betas=(0.0, 0.99))
SIDE = 4


class Dim(Generator):
    """Each picture has the brightness that the first number of its noise says."""

    latent = 2

    def __init__(self, classes: int) -> None:
        super().__init__((SIDE, SIDE), 3, classes)
        self.gain = nn.Parameter(torch.tensor(0.5))

    def forward(self, z, labels=None, truncation=1.0):
        return (self.gain * z[:, :1, None, None]).expand(-1, 3, SIDE, SIDE)


class Styled(Dim):
    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.mapping = nn.Parameter(torch.ones(()))

    def styles(self, z, labels=None):
        return self.mapping * z[:, None]

    def synthesise(self, styles):
        return self(styles[:, 0])


class Slope(nn.Module):
    """A linear critic: its slope is the same everywhere."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.weight = nn.Parameter(torch.randn(3, SIDE, SIDE))

    def forward(self, images, labels=None):
        return [(images * self.weight).sum((1, 2, 3))]

    def compare(self, real, fake, labels=None):
        return self(real), self(fake)

    def square(self):
        return self.weight.square().sum()


def task_of(generator: type = Dim, **options: Any) -> GanTask:
    model = Gan(lambda k: generator(k), lambda k, size=None: Slope(), 0)
    task = GanTask("generation", model, {}, ADAM, **options)
    task.trainer = SimpleNamespace(world_size=1, precision_plugin=None)
    task.log = lambda *args, **kwargs: None
    return task


def batch(count=4, images=None):
    images = noise(count, SIDE) if images is None else images
    return batch_of(images, images)


@pytest.mark.parametrize("name", ["r1", "r2"])
def test_a_penalty_that_is_seldom_taken_counts_the_more(name):
    task = task_of(penalty_every=4, **{name: 3.0})
    for step in range(9):
        losses = task.critic_losses(batch(), step)
        assert (name in losses) == (step in (0, 4, 8))
        if name in losses:
            torch.testing.assert_close(losses[name], 4 * 3 / 2 * task.model.critic.square())


def test_both_penalties_and_that_of_slopes_in_between():
    task = task_of(r1=1.0, r2=2.0, gradient_penalty=10.0, penalty_every=2)
    losses, square = task.critic_losses(batch(), 0), task.model.critic.square()
    torch.testing.assert_close(losses["r1"], square)
    torch.testing.assert_close(losses["r2"], 2 * square)
    torch.testing.assert_close(losses["penalty"], 2 * 10 * (square.sqrt() - 1).square())
    losses["r1"].backward()
    torch.testing.assert_close(task.model.critic.weight.grad, 2 * task.model.critic.weight)


def test_the_mean_length_of_paths_is_a_running_one(monkeypatch):
    monkeypatch.setattr(module, "path_lengths", lambda images, styles: torch.tensor([1.0, 3.0]))
    task = task_of(Styled, path_length=2.0, path_every=5)
    mean = 0.0
    for _ in range(3):
        loss = task._path(batch(), None)
        mean += 0.01 * (2 - mean)
        assert task.mean_path.item() == pytest.approx(mean)
        assert loss.item() == pytest.approx(2 * 5 * ((1 - mean) ** 2 + (3 - mean) ** 2) / 2)


def test_paths_are_taken_on_turns_of_the_generator():
    task = task_of(Styled, path_length=2.0, path_every=3, critic_steps=2)
    turns = [step for step in range(14) if (step + 1) % 2 == 0]
    taken = [step for step in turns if "path" in task.generator_losses(batch(), step)]
    assert taken == [1, 7, 13]


def test_paths_of_a_linear_generator(monkeypatch):
    """A picture moves by gain times the sum of what it is asked, over the root of its pixels."""
    monkeypatch.setattr(torch, "randn_like", torch.ones_like)
    task = task_of(Styled, path_length=1.0, path_every=1)
    length = 0.5 * 3 * SIDE * SIDE / SIDE
    expected = (length - 0.01 * length) ** 2
    loss = task._path(batch(), None)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()  # through the slope
    slope = 2 * 0.99 * length * length / 0.5  # the running mean isn't differentiated
    assert task.model.generator.gain.grad.item() == pytest.approx(slope, rel=1e-5)


def test_pictures_change_more_often_where_the_critic_is_too_sure():
    task = task_of(adaptive=0.6, adaptive_images=40)
    nn.init.ones_(task.model.critic.weight)
    bright, dark = noise(4, SIDE) // 4 + 180, noise(4, SIDE) // 4
    seen = []

    def p_after(images):
        task.critic_losses(batch(images=images), 1)
        seen.append(task.adaptive.p.item())
        return seen[-1]

    task.changed = lambda images: images
    assert p_after(dark) == 0  # never below
    assert p_after(bright) == pytest.approx(4 / 40)
    assert p_after(bright) == pytest.approx(8 / 40)
    mixed = bright.copy()
    mixed[3] = dark[3]  # a mean sign of .5
    assert p_after(mixed) == pytest.approx(4 / 40)
    task.trainer = SimpleNamespace(world_size=2)
    assert p_after(bright) == pytest.approx(12 / 40)


def test_pictures_stay_as_they_are_unless_it_is_asked():
    images = torch.rand(4, 3, SIDE, SIDE)
    with_it, without = task_of(adaptive=0.6), task_of()
    for task in (with_it, without):
        task.adaptive.p.fill_(1.0)
    assert not torch.equal(with_it.changed(images), images)
    assert torch.equal(without.changed(images), images)
    assert with_it.state_dict().keys() == without.state_dict().keys()  # resuming with or without


def test_what_is_frozen_has_no_gradients_and_passes_them_on():
    critic, images = Slope(), torch.rand(2, 3, SIDE, SIDE, requires_grad=True)
    critic.still = nn.Parameter(torch.zeros(1), requires_grad=False)
    with pytest.raises(KeyError), frozen(critic):
        critic(images)[0].sum().backward()
        raise KeyError
    assert critic.weight.grad is None
    torch.testing.assert_close(images.grad[1], critic.weight.detach())
    assert critic.weight.requires_grad and not critic.still.requires_grad


def test_a_relativistic_generator_compares_with_real_pictures():
    task, given = task_of(loss="relativistic"), batch()
    torch.manual_seed(1)
    (loss,) = task.generator_losses(given, 0).values()
    torch.manual_seed(1)
    (fake,) = task.model.critic(task.made(given))
    (real,) = task.model.critic(given.images / 127.5 - 1)
    torch.testing.assert_close(loss, F.softplus(real - fake).mean())


def test_gradients_are_shortened_or_their_values_held():
    task = task_of()
    (weight,) = task.model.critic.parameters()
    optimizer = torch.optim.SGD([weight])
    given = torch.linspace(-3, 3, weight.numel()).view_as(weight)
    for clip, values, expected in (
        (0.0, False, given),
        (0.5, False, given * 0.5 / given.norm()),
        (0.5, True, given.clamp(-0.5, 0.5)),
    ):
        weight.grad = given.clone()
        task.clip, task.clip_values = clip, values
        task.on_before_optimizer_step(optimizer)
        torch.testing.assert_close(weight.grad, expected, rtol=1e-4, atol=1e-6)
    task.trainer = SimpleNamespace(precision_plugin=SimpleNamespace(scaler=object()))
    task.on_before_optimizer_step(optimizer)
    optimizer._step_supports_amp_scaling = True  # as a fused one says
    with pytest.raises(ConfigError, match=r"^optimizer\.fused: .* set it false"):
        task.on_before_optimizer_step(optimizer)


def test_all_ranks_stop_when_the_loss_of_one_is_not_finite(monkeypatch):
    task = task_of()
    task.trainer = SimpleNamespace(global_step=7)
    with pytest.raises(TrainingError, match="after 7 batches the loss 'penalty' isn't finite"):
        task._descend(0, {"critic": torch.tensor(1.0), "penalty": torch.tensor(torch.inf)})
    elsewhere = torch.tensor([0.0, 0.5])  # the second loss, on one of two ranks
    monkeypatch.setattr(adversarial, "mean_over_ranks", lambda own: own + elsewhere)
    with pytest.raises(TrainingError, match="the loss 'penalty'"):
        task._descend(0, {"critic": torch.tensor(1.0), "penalty": torch.tensor(1.0)})


def test_paths_need_styles():
    with pytest.raises(ConfigError, match=r"^task\.path_length: .*; set it 0 or choose generator="):
        task_of(path_length=2.0)
    assert task_of(Styled, path_length=2.0).path_length == 2


def test_a_step_of_stylegan2_in_mixed_precision():
    words = ["task=generation", "data.root=.", "model=stylegan2", *MODELS["stylegan2"]]
    torch.manual_seed(0)
    model = build_network(plain(compose(words)), 0, (32, 32)).train()
    options = {"r1": 1.0, "path_length": 2.0, "path_every": 1, "adaptive": 0.6}
    task = GanTask("generation", model, {}, ADAM, **options)
    task.trainer, task.log = SimpleNamespace(world_size=1), lambda *args, **kwargs: None
    task.adaptive.p.fill_(0.5)
    given = batch_of(noise(4, 32), noise(4, 32))
    for losses, part in (
        (task.critic_losses, model.critic),
        (task.generator_losses, model.generator),
    ):
        with torch.autocast("cpu", torch.bfloat16):
            found = losses(given, 0)
        assert all(v.dtype == torch.float32 and torch.isfinite(v) for v in found.values())
        assert len(found) == 2
        model.zero_grad()
        sum(found.values()).backward()
        grads = [p.grad for p in part.parameters()]
        assert all(g is not None and torch.isfinite(g).all() for g in grads)
