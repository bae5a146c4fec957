"""Random projections: fixed, linear, and open to gradients."""

import pytest
import torch

from visionkit.backbones.base import FeatureSpec
from visionkit.errors import ConfigError
from visionkit.necks.random_projection import RandomProjection
from visionkit.tasks.optim import parameter_groups

FEATURES = tuple(FeatureSpec(f"s{s}", 16 + s, s) for s in (2, 4, 8, 16, 32))


def made(seed=0, features=FEATURES, **options):
    torch.manual_seed(seed)
    return RandomProjection(features, **options)


def maps(height=64, width=96, count=2):
    return {
        f.name: torch.randn(count, f.channels, -(-height // f.stride), -(-width // f.stride))
        for f in FEATURES
    }


def test_it_takes_the_maps_of_4_to_32_and_doubles_their_channels():
    neck = made(width=8)
    assert [(f.name, f.channels, f.stride) for f in neck.features] == [
        ("p4", 8, 4),
        ("p8", 16, 8),
        ("p16", 32, 16),
        ("p32", 64, 32),
    ]
    assert made(width=8, strides=(2, 4, 8, 16, 32)).features[-1].channels == 64


@pytest.mark.parametrize("size", [(64, 96), (97, 131), (4, 4)])
def test_stated_maps_are_the_real_ones(size):
    neck = made(width=4)
    out = neck(maps(*size))
    for f in neck.features:
        expected = (2, f.channels, *(-(-side // f.stride) for side in size))
        assert out[f.name].shape == expected


def test_backbones_of_one_map_will_do():
    vit = (FeatureSpec("grid", 24, 16),)
    neck = made(features=vit, width=8)
    assert [f.stride for f in neck.features] == [16]
    assert neck({"grid": torch.randn(1, 24, 3, 3)})["p16"].shape == (1, 8, 3, 3)
    coarse = (FeatureSpec("a", 8, 64),)
    assert [f.stride for f in made(features=coarse).features] == [64]


def test_strides_that_are_missing_are_named():
    with pytest.raises(ConfigError, match=r"neck: no feature map at stride 64; there are strides"):
        made(strides=(32, 64))


def test_nothing_trains_and_gradients_pass():
    neck = made(width=4).train()
    assert parameter_groups(neck, 0.1, 0.1) == []
    given = {k: v.requires_grad_() for k, v in maps().items()}
    sum(x.square().sum() for x in neck(given).values()).backward()
    assert given["s2"].grad is None
    assert all(given[f.name].grad.abs().sum() > 0 for f in neck.inputs)
    assert all(p.grad is None for p in neck.parameters())


def test_weights_follow_from_the_seed_and_are_kept():
    first, same, other = made(0), made(0), made(1)
    given = maps()
    for name, x in first(given).items():
        assert torch.equal(x, same(given)[name])
        assert not torch.equal(x, other(given)[name])
    other.load_state_dict(first.state_dict())
    assert torch.equal(first(given)["p4"], other(given)["p4"])
    assert len(first.state_dict()) == 4 + 3


def test_coarse_maps_reach_finer_ones_and_not_the_other_way():
    neck = made(width=4)
    given = maps()
    before = neck(given)
    given["s16"] = given["s16"] + 1
    after = neck(given)
    assert [n for n in before if not torch.equal(before[n], after[n])] == ["p4", "p8", "p16"]


def test_it_is_linear():
    neck, a, b = made(width=4).double(), maps(), maps()
    a, b = ({k: v.double() for k, v in m.items()} for m in (a, b))
    both = neck({k: a[k] + 3 * b[k] for k in a})
    for name, x in neck(a).items():
        torch.testing.assert_close(both[name], x + 3 * neck(b)[name])


def test_weights_keep_the_variance():
    """Even maps, away from the border that the 3 x 3 convolutions pad with zeros."""
    features = tuple(FeatureSpec(f"s{s}", 64, s) for s in (4, 8, 16))
    neck = made(features=features, width=64)
    sides = {f.name: 128 // f.stride for f in features}
    even = {n: torch.randn(8, 64, 1, 1).expand(-1, -1, s, s) for n, s in sides.items()}
    for x in neck(even).values():
        centre = x.shape[-1] // 2
        assert x[:, :, centre, centre].square().mean().item() == pytest.approx(1, abs=0.25)
