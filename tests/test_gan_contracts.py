"""Every adversarial model at every size, and every critic's head over every family of backbones."""

import pytest
import torch
from small_gans import MODELS

from visionkit.build import build, plain
from visionkit.compose import compose, config_dir, groups
from visionkit.errors import ConfigError
from visionkit.models.build import build_critic, build_network

FOUND = groups([config_dir()])
HEADS = [name for name in FOUND["head"] if "discriminator" in name]
BACKBONES = [
    *("csp", "lenet", "timm", "dcgan_critic", "resnet_critic", "stylegan2_critic", "patchgan"),
    *("torchvision backbone.name=resnet18", "torchvision backbone.name=vit_b_32"),
]
NOISE = [m for m in MODELS if m not in ("pix2pix", "cyclegan")]


def spec_of(*words):
    return plain(compose(["task=generation", "data.root=.", *words]))


def built(model, canvas, *words, channels=3):
    torch.manual_seed(0)
    return build_network(spec_of(f"model={model}", *MODELS[model], *words), 3, canvas, channels)


def unused(module):
    return [n for n, p in module.named_parameters() if p.requires_grad and p.grad is None]


@pytest.mark.parametrize(
    "canvas",
    [
        *((28, 28), (32, 32), (32, 48), (64, 64)),
        pytest.param((128, 128), marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("model", NOISE)
def test_a_model_takes_the_size_of_the_data(model, canvas):
    gan = built(model, canvas)
    labels = torch.eye(3)[:2] if gan.conditional else None
    made = gan.generate(torch.randn(2, gan.generator.latent), labels)
    assert made.shape == (2, 3, *canvas)
    said = gan.critic(made, labels)
    assert all(torch.isfinite(logits).all() and len(logits) == 2 for logits in said)
    torch.stack([logits.sum() for logits in said]).sum().backward()
    assert unused(gan.critic) == unused(gan.generator) == []
    gan.eval()
    first = gan.sample([3, 4], truncation=0.7)
    again = gan.sample([4], [first[1].label] if gan.conditional else None, truncation=0.7)
    assert first[1].image.shape == (*canvas, 3)
    assert abs(first[1].image.astype(int) - again[0].image).max() <= 1  # its seed's alone
    one, other = gan.generate(gan.latents([3, 4]), labels)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("model", NOISE)
def test_grey_pictures_are_grey(model):
    (one,) = built(model, (32, 32), channels=1).eval().sample([0])
    assert (one.image == one.image[:, :, :1]).all()


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_any_backbone_is_a_critic(backbone, head):
    spec = spec_of(*f"backbone={backbone}".split(), f"head={head}")
    for pictures, classes in ((1, 0), (1, 3), (2, 0)) if backbone == "csp" else ((2, 3),):
        torch.manual_seed(0)
        critic = build_critic(spec, (32, 32), classes, pictures, 64)
        labels = torch.eye(3)[:2] if classes else None
        images = torch.rand(2, 3 * pictures, 32, 32, requires_grad=True)
        said = critic(images, labels)
        assert all(logits.dtype == torch.float32 and len(logits) == 2 for logits in said)
        torch.stack([logits.square().sum() for logits in said]).sum().backward()
        assert images.grad.abs().sum() > 0
        assert unused(critic) == []


@pytest.mark.parametrize(
    "head", [*HEADS, "discriminator head.deviation=4", "style_discriminator head.deviation=0"]
)
@torch.no_grad()
def test_real_and_made_pictures_are_judged_as_if_apart(head):
    """Whatever a head tells of a batch, it never mixes the two."""
    torch.manual_seed(0)
    critic = build_critic(spec_of("backbone=lenet", *f"head={head}".split()), (32, 32), 3).eval()
    real, fake, labels = (
        torch.rand(4, 3, 32, 32),
        -torch.rand(4, 3, 32, 32),
        torch.eye(3)[[0, 1, 2, 0]],
    )
    expected = critic(real, labels), critic(fake, labels)
    for together, apart in zip(critic.compare(real, fake, labels), expected, strict=True):
        for one, other in zip(together, apart, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    alone = torch.cat([critic(x[None], y[None])[0] for x, y in zip(real, labels, strict=True)])
    by_itself = torch.allclose(alone, expected[0][0], rtol=1e-4, atol=1e-5)
    assert critic.batched == (not by_itself)


@pytest.mark.parametrize(("canvas", "strides"), [((28, 28), 4), ((64, 96), 16), ((512, 512), 64)])
def test_critics_have_as_many_stages_as_the_size_takes(canvas, strides):
    critic = build_critic(spec_of("model=dcgan", "backbone.width=2"), canvas)
    assert critic.backbone.features[-1].stride == strides


@pytest.mark.parametrize("channels", [1, 6])
def test_a_critic_sees_pictures_of_three_channels(channels):
    with pytest.raises(ConfigError, match=rf"^backbone\.in_channels: {channels}, .*; give 3$"):
        built("dcgan", (32, 32), f"backbone.in_channels={channels}")


@pytest.mark.parametrize("model", NOISE)
@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
def test_another_optimizer_takes_over(model, optimizer):
    spec = spec_of(f"model={model}", f"optimizer={optimizer}")
    make = build(spec["optimizer"], "optimizer")
    assert make([torch.nn.Parameter(torch.zeros(2, 2))]).param_groups[0]["lr"] > 0


@pytest.mark.parametrize(
    ("model", "lr", "betas"),
    [
        ("dcgan", 0.001, [0.0, 0.99]),
        ("wgan_gp", 0.0001, [0.0, 0.9]),
        ("sngan", 0.0002, [0.0, 0.9]),
        ("projected_gan", 0.0002, [0.0, 0.99]),
        ("stylegan2", 0.002, [0.0, 0.99]),
        ("pix2pix", 0.0002, [0.5, 0.999]),
        ("cyclegan", 0.0002, [0.5, 0.999]),
    ],
)
def test_each_model_has_its_own_adam(model, lr, betas):
    node = spec_of(f"model={model}")["optimizer"]
    assert (node["_target_"], node["lr"], node["betas"]) == ("torch.optim.Adam", lr, betas)


@pytest.mark.parametrize("backbone", ["csp", "lenet", "torchvision backbone.name=vit_b_32"])
def test_projections_of_any_backbone(backbone):
    words = ["neck=random_projection", "head=projected_discriminator"]
    critic = build_critic(spec_of(*f"backbone={backbone}".split(), *words), (32, 32), 0, 1, 64)
    images = torch.rand(2, 3, 32, 32, requires_grad=True)
    torch.stack([logits.sum() for logits in critic(images)]).sum().backward()
    assert images.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in critic.neck.parameters())
