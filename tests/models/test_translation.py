"""Networks that turn pictures into others, without training."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_translation import CYCLE, PAIR, RESNET, UNET, batch_of, network, noise

from visionkit.data.index import DataInfo
from visionkit.errors import ConfigError
from visionkit.generators.base import Translator
from visionkit.options import PredictOptions
from visionkit.results import Generated

DCGAN = {"_target_": "visionkit.generators.dcgan.DcganGenerator"}


class Shifted(Translator):
    """Adds a constant."""

    def __init__(self, amount):
        super().__init__((8, 8))
        self.amount = amount

    def forward(self, images):
        return (images + self.amount).clamp(-1, 1)


def info(kind):
    return DataInfo((), (16, 16), kind, lambda: np.zeros(0, np.int64), False)


def test_losses_of_pairs_by_hand():
    model = network(PAIR, UNET, side=8).eval()
    model.generator = Shifted(0.5)
    images = np.full((2, 8, 8, 3), 51, np.uint8)  # -0.6
    targets = np.full((2, 8, 8, 3), 153, np.uint8)  # 0.2
    batch = batch_of(images, targets)
    losses, results = model.judge(batch)
    assert losses["l1"].item() == pytest.approx(0.3, abs=1e-6)
    pairs = [
        torch.cat([torch.full((2, 3, 8, 8), -0.6), torch.full((2, 3, 8, 8), v)], 1)
        for v in (0.2, -0.1)
    ]
    with torch.no_grad():
        real, fake = (model.critic(pair)[0] for pair in pairs)
    assert losses["real"].item() == pytest.approx(F.softplus(-real).mean().item(), abs=1e-5)
    assert losses["fake"].item() == pytest.approx(F.softplus(fake).mean().item(), abs=1e-5)
    assert (results[0].image == round(0.9 * 127.5)).all()
    assert not any(loss.requires_grad for loss in losses.values())


def test_losses_of_cycles_by_hand():
    model = network(CYCLE, RESNET, side=8).eval()
    model.generator["a_to_b"], model.generator["b_to_a"] = Shifted(0.5), Shifted(-0.2)
    a, b = np.full((2, 8, 8, 3), 51, np.uint8), np.full((2, 8, 8, 3), 153, np.uint8)
    losses, results = model.judge(batch_of(a, b))
    # -0.6 comes back as -0.3, and 0.2 as 0.5
    assert losses["cycle"].item() == pytest.approx(0.3, abs=1e-6)
    assert (results[1].image == round(0.9 * 127.5)).all()
    with torch.no_grad():
        (said,) = model.critic["b"](torch.full((2, 3, 8, 8), -0.1))
    assert losses["fake"].item() == pytest.approx(F.softplus(said).mean().item(), abs=1e-5)
    model.set_options(PredictOptions(reverse=True))
    losses, results = model.judge(batch_of(b, a))
    assert (results[0].image == 128).all()  # 0.2 - 0.2
    assert (model.predict(batch_of(b, a))[1].image == results[1].image).all()
    with torch.no_grad():
        (said,) = model.critic["a"](torch.full((2, 3, 8, 8), 0.0))
    assert losses["fake"].item() == pytest.approx(F.softplus(said).mean().item(), abs=1e-5)


@pytest.mark.parametrize(("gan", "generator"), [(PAIR, UNET), (CYCLE, RESNET)])
def test_results_have_the_pictures_own_pixels(gan, generator):
    model = network(gan, generator).eval()
    images, targets = noise(3), noise(3, seed=1)
    batch = batch_of(images, targets, [(16, 16), (10, 40), (100, 7)])
    results = model.predict(batch)
    assert [r.image.shape for r in results] == [(16, 16, 3), (10, 40, 3), (100, 7, 3)]
    assert all(isinstance(r, Generated) and r.image.dtype == np.uint8 for r in results)
    _, judged = model.judge(batch)
    assert all((a.image == b.image).all() for a, b in zip(results, judged, strict=True))
    alone = model.predict(batch_of(images[:1], targets[:1]))[0]
    assert np.abs(alone.image.astype(int) - results[0].image).max() <= 1


def test_what_trains_by_turns():
    pairs, cycles = network(PAIR, UNET, in_channels=6), network(CYCLE, RESNET)
    for model in (pairs, cycles):
        critic, generator = model.trained
        mine = {id(p) for part in (critic, generator) for p in part.parameters()}
        assert mine == {id(p) for p in model.parameters()}
        assert all(
            k.startswith(model.averaged) for k in (f"generator.{k}" for k in generator.state_dict())
        )
        assert not model.samples
    assert pairs.critic.backbone.stages[0][1].in_channels == 6
    ways = [next(iter(cycles.generator[way].parameters())) for way in ("a_to_b", "b_to_a")]
    assert not torch.equal(*ways)


def test_a_backbone_that_sees_one_picture_judges_pairs_too():
    model = network(PAIR, UNET, in_channels=3)
    head = model.critic.head
    assert head.used[0].channels == 2 * model.critic.backbone.features[-1].channels
    images = torch.rand(2, 6, 16, 16)
    (logits,) = model.critic(images)
    assert logits.shape == (2, 4, 4)
    swapped = model.critic(images.roll(3, 1))[0]
    assert not torch.allclose(logits, swapped)


@pytest.mark.parametrize(
    ("gan", "kind", "line"),
    [
        (PAIR, "classes", "labelled with classes, .* choose data=pairs"),
        (PAIR, "images", "one kind, .* choose data=pairs"),
        (PAIR, "unpaired", "data=pairs, or model=cyclegan"),
        (PAIR, "pairs", None),
        (CYCLE, "boxes", "labelled with boxes, .* choose data=unpaired"),
        (CYCLE, "unpaired", None),
        (CYCLE, "pairs", None),
    ],
)
def test_data_that_do_not_suit_are_told(gan, kind, line):
    model = network(gan, UNET)
    if line is None:
        return model.check(info(kind))
    with pytest.raises(ConfigError, match=line) as error:
        model.check(info(kind))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("gan", "options", "line"),
    [
        (PAIR, {"flip": True}, "leave flip"),
        (CYCLE, {"scales": (1.0, 2.0)}, "leave flip, scales"),
        (CYCLE, {"window": (8, 8)}, "window"),
        (PAIR, {"reverse": True}, r"predict\.reverse: .* one way"),
    ],
)
def test_options_that_cannot_be_followed_are_told(gan, options, line):
    with pytest.raises(ConfigError, match=line):
        network(gan, UNET).set_options(PredictOptions(**options))


def test_parts_that_do_not_suit_are_told():
    with pytest.raises(ConfigError, match=r"generator\._target_: .* Translator"):
        network(PAIR, DCGAN)
    with pytest.raises(ConfigError, match=r"backbone\.in_channels: 6, .* of 3; give 3"):
        network(CYCLE, RESNET, in_channels=6)


def test_critic_size_is_heeded():
    model = network(PAIR | {"critic_size": 32}, UNET)
    assert model.critic(torch.rand(1, 6, 16, 16))[0].shape == (1, 8, 8)
    model = network(CYCLE | {"critic_size": 8}, UNET)
    assert model.critic["a"](torch.rand(1, 3, 16, 16))[0].shape == (1, 2, 2)
