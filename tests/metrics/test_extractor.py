"""Features don't depend on the batch, on the run's seed, or on the precision that it trains in."""

import hashlib
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from generation_cases import scenes
from tiny import CSP, HEAD, NECK, make_model
from torch import Tensor, nn

from visionkit import checkpoint
from visionkit.backbones.base import Backbone
from visionkit.backbones.lenet import LeNet
from visionkit.build import build
from visionkit.errors import CheckpointError, ConfigError
from visionkit.metrics.extractor import Extractor
from visionkit.metrics.random_features import RandomFeatures

IMAGES = scenes(11, 0)


class Striking(Backbone):
    """Takes no small pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 8, stride=8)
        self.finish(["map"], 0, False)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        if min(images.shape[-2:]) < 75:
            raise RuntimeError("kernel size can't be greater than the input's")
        return {"map": F.relu(self.layer(images))}


@pytest.fixture(scope="module")
def look() -> Extractor:
    return Extractor(batch_size=4)


@pytest.mark.parametrize("count", [1, 3, 4, 5, 11])
def test_not_a_bit_depends_on_the_batch(look, count) -> None:
    whole = look(IMAGES)
    assert whole.shape == (11, RandomFeatures.dimensions)
    assert whole.dtype == np.float32
    assert np.array_equal(look(IMAGES[-count:]), whole[-count:])
    assert look(IMAGES[:0]).shape == (0, RandomFeatures.dimensions)


def test_precision_and_grad_mode_around_it_change_nothing(look) -> None:
    expected, before = look(IMAGES), torch.get_float32_matmul_precision()
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        found = look(IMAGES)
    assert np.array_equal(found, expected)
    assert torch.get_float32_matmul_precision() == before


def test_nothing_is_drawn_from_the_runs_numbers() -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    one, other = Extractor(), Extractor(partial(LeNet, activation="relu"))
    one(IMAGES), other(IMAGES)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    np.random.seed(2)
    assert np.array_equal(Extractor()(IMAGES), one(IMAGES))
    again = Extractor(partial(LeNet, activation="relu"))
    assert np.array_equal(again(IMAGES), other(IMAGES))
    assert not np.array_equal(Extractor(seed=1)(IMAGES), one(IMAGES))
    assert not np.array_equal(Extractor(partial(LeNet, activation="relu"), seed=1)(IMAGES), again)


def test_random_features_are_as_varied_as_they_are_large(look) -> None:
    for side in (16, 28, 64, 128):
        features = look(scenes(40, 1, side))
        assert np.square(features).mean(1) == pytest.approx(np.ones(40), abs=1e-4)
        near = features @ features.T / features.shape[1]
        others = near[~np.eye(40, dtype=bool)]
        assert others.std() > 0.05  # cosines: they tell one picture from another
        assert abs(others.mean()) < 0.9


@pytest.mark.parametrize("sides", [(1, 1), (5, 9), (28, 20)])
def test_any_size_and_flat_pictures(look, sides) -> None:
    flat = np.stack([np.full((*sides, 3), v, np.uint8) for v in (0, 128, 255)])
    features = look(flat)
    assert np.isfinite(features).all()
    assert np.abs(features[0] - features[2]).max() > 0.01


def test_a_backbone_is_averaged_over_its_coarsest_map() -> None:
    torch.manual_seed(0)
    net = LeNet(activation="relu")
    found = Extractor(net)(IMAGES)
    x = torch.from_numpy(IMAGES).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(v)[:, None, None] for v in (net.mean, net.std))
    with torch.no_grad():
        expected = net((x - mean) / std)["stride4"].mean((2, 3)).numpy()
    assert found == pytest.approx(expected, abs=1e-5)
    assert not any(p.requires_grad for p in net.parameters())


def test_pictures_are_resized() -> None:
    net = partial(LeNet, activation="relu")
    small, large = Extractor(net), Extractor(net, size=48)
    twice = np.repeat(np.repeat(IMAGES, 2, 1), 2, 2)  # of 48 pixels
    assert np.array_equal(large(twice), small(twice))
    assert not np.array_equal(large(IMAGES), small(IMAGES))


def test_what_it_says_of_itself(tmp_path) -> None:
    assert Extractor().describe() == {
        "extractor": "random",
        "weights": "random, seed 0",
        "sha256": None,
        "size": None,
    }
    assert Extractor(LeNet, seed=3).describe() == {
        "extractor": "random_lenet",
        "weights": "random, seed 3",
        "sha256": None,
        "size": None,
    }
    file = tmp_path / "le net.pth"
    net = LeNet()
    torch.save(net.state_dict(), file)
    of_file = Extractor(partial(LeNet, weights=str(file)), size=32)
    assert of_file.describe() == {
        "extractor": "lenet",
        "weights": "le net.pth",
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "size": 32,
    }
    given, same = Extractor(net), Extractor(net)
    assert (given.name, given.weights) == ("lenet", "as given")
    assert given.sha256 == same.sha256
    with torch.no_grad():
        next(net.parameters())[0] += 1
    assert Extractor(net).sha256 != same.sha256
    assert np.array_equal(of_file(IMAGES).shape, (11, 120))


def test_the_name_of_a_network_of_many() -> None:
    from visionkit.backbones.torchvision import TorchvisionBackbone

    made = partial(TorchvisionBackbone, name="squeezenet1_1")
    found = Extractor(made, batch_size=1)
    assert found.name == "random_squeezenet1_1"
    assert found(IMAGES[:2]).shape == (2, 512)


def test_the_backbone_of_a_checkpoint(tmp_path) -> None:
    model = make_model()
    about = checkpoint.entry(
        task="detection",
        spec={"backbone": CSP, "neck": NECK, "head": HEAD},
        model=model,
        classes=("a", "b"),
        canvas=(32, 32),
        data={},
        evaluator=None,
        predict={},
    )
    state = {f"model.{k}": v for k, v in model.state_dict().items()}
    file = tmp_path / "best.ckpt"
    torch.save({"state_dict": state, "visionkit": about}, file)
    found = Extractor(checkpoint=str(file))
    assert (found.name, found.weights) == ("cspbackbone", "best.ckpt")
    assert found.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert np.array_equal(found(IMAGES), Extractor(model.backbone)(IMAGES))
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        Extractor(checkpoint=str(tmp_path / "none.ckpt"))


def test_built_by_configuration() -> None:
    node = {
        "_target_": "visionkit.metrics.extractor.Extractor",
        "backbone": {"_target_": "visionkit.backbones.lenet.LeNet", "_partial_": True},
        "size": 32,
    }
    assert build(node).name == "random_lenet"
    assert build(node | {"backbone": None}).name == "random"
    with pytest.raises(ConfigError, match=r"extractor.size: expected an integer \(at least 1\)"):
        build(node | {"size": 0}, "evaluator.extractor")
    wrong = node["backbone"] | {"weights": "nowhere.pth"}
    with pytest.raises(CheckpointError, match=r"nowhere.pth: no such weight file"):
        build(node | {"backbone": wrong}, "evaluator.extractor")


def test_one_line_for_what_does_not_go() -> None:
    with pytest.raises(ConfigError, match="leave one of them null"):
        Extractor(LeNet, checkpoint="best.ckpt")
    found = Extractor(Striking)
    with pytest.raises(
        ConfigError, match=r"size: random_striking can't see .* of 24 x 24"
    ) as error:
        found(IMAGES)
    assert "\n" not in str(error.value)
    assert Extractor(Striking, size=80)(IMAGES).shape == (11, 4)
    with pytest.raises(ConfigError, match="Backbone"):
        Extractor(nn.Identity)


def test_where_it_computes(look) -> None:
    alone = Extractor(device="cpu", batch_size=look.batch_size)
    found = alone(IMAGES)
    assert next(alone._network.parameters(), next(alone._network.buffers())).device.type == "cpu"
    assert found == pytest.approx(look(IMAGES), abs=1e-4)
    for name in ("gpu7", "cuda:99"):
        with pytest.raises(ConfigError, match=f"^evaluator.extractor.device: '{name}' can't be"):
            Extractor(device=name)
