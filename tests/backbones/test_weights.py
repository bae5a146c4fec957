"""Weight files of every make into backbones."""

from urllib.error import HTTPError, URLError

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from tiny import CSP, HEAD, make_model

from visionkit.backbones.base import IMAGENET_MEAN
from visionkit.backbones.torchvision import TorchvisionBackbone
from visionkit.backbones.weights import load_weights
from visionkit.build import build
from visionkit.checkpoint import FORMAT
from visionkit.errors import CheckpointError
from visionkit.models.model import build_model

FPN = {"_target_": "visionkit.necks.fpn.FPN", "out_channels": 16}


def test_weights_of_torchvision_in_every_wrapping(tmp_path):
    net = torchvision.models.resnet18()
    state = net.state_dict()
    files = {
        "plain.pth": state,
        "module.pth": {f"module.{k}": v for k, v in state.items()},
        "nested.pth": {"state_dict": state, "epoch": 3},
        "backbone.pt": {f"backbone.{k}": v for k, v in state.items()},
    }
    for name, content in files.items():
        torch.save(content, tmp_path / name)
    save_file(state, tmp_path / "plain.safetensors")
    for name in (*files, "plain.safetensors"):
        backbone = TorchvisionBackbone("resnet18", weights=str(tmp_path / name))
        own = backbone.state_dict()
        assert all(torch.equal(v, state[k.removeprefix("net.")]) for k, v in own.items()), name
    learned = [k for k in own if not k.endswith("num_batches_tracked")]
    assert load_weights(backbone, tmp_path / "plain.pth") == len(learned) == 100


def test_a_visionkit_checkpoint_gives_its_backbone_mean_and_std(tmp_path):
    model = make_model()
    state = {f"model.{k}": v for k, v in model.state_dict().items()}
    about = {"format": FORMAT, "preprocess": {"mean": [0.5, 0.4, 0.3], "std": [0.1, 0.2, 0.3]}}
    file = tmp_path / "a.ckpt"
    torch.save({"state_dict": state, "visionkit": about}, file)
    backbone = build(CSP | {"weights": str(file)}, "backbone")
    own, theirs = backbone.state_dict(), model.backbone.state_dict()
    assert all(torch.equal(v, theirs[k]) for k, v in own.items())
    assert (backbone.mean, backbone.std) == ((0.5, 0.4, 0.3), (0.1, 0.2, 0.3))
    assert model.backbone.mean == IMAGENET_MEAN


def test_unfit_weight_files_are_refused_in_one_line(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "none.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "resnet18.pth")
    (tmp_path / "garbage.pth").write_bytes(b"\x00garbage" * 9)
    (tmp_path / "garbage.safetensors").write_bytes(b"\x00garbage" * 9)
    (tmp_path / "empty.pth").touch()
    torch.save({"visionkit": {}}, tmp_path / "damaged.pth")
    for name, words in {
        "none.pth": "none of its 1 tensors",
        "list.pth": "holds no state dict",
        "resnet18.pth": "other shapes",
        "garbage.pth": "not a weight file",
        "garbage.safetensors": "not a weight file",
        "empty.pth": "not a weight file",
        "damaged.pth": "damaged",
        "absent.pth": "no such weight file",
    }.items():
        with pytest.raises(CheckpointError, match=words) as caught:
            TorchvisionBackbone("resnet50", weights=str(tmp_path / name))
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        URLError(OSError("Name or service not known")),
        HTTPError("https://example.org", 404, "Not Found", {}, None),
        TimeoutError("timed out"),
        RuntimeError('invalid hash value (expected "a", got "b")'),
    ],
)
def test_a_download_that_fails_is_told_in_one_line(monkeypatch, tmp_path, error):
    def download(*_, **__):
        raise error

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    with pytest.raises(CheckpointError, match=r"^backbone.weights: .*mnasnet0_5.*go online") as e:
        TorchvisionBackbone("mnasnet0_5", weights="default")
    assert "\n" not in str(e.value)


def test_downloaded_weights_are_the_published_ones_without_auxiliary_heads(monkeypatch):
    net = torchvision.models.get_model("inception_v3", init_weights=False)
    weights = torchvision.models.Inception_V3_Weights.DEFAULT
    monkeypatch.setattr(type(weights), "get_state_dict", lambda *_, **__: net.state_dict())
    backbone = TorchvisionBackbone("inception_v3", weights="default")
    own = backbone.state_dict()
    assert all(torch.equal(v, net.state_dict()[k.removeprefix("net.")]) for k, v in own.items())
    assert not any("Aux" in k or ".fc" in k for k in own)
    assert backbone.mean == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("averaged", [False, True])
def test_a_detectors_backbone_goes_into_a_classifier_of_any_canvas(tmp_path, averaged):
    backbone = {"_target_": "visionkit.backbones.torchvision.TorchvisionBackbone"}
    backbone |= {"name": "mnasnet0_5"}  # whose own loading wants a state dict's version
    detector = build_model({"backbone": backbone, "neck": FPN, "head": HEAD}, 3)
    state = {f"model.{k}": torch.zeros_like(v) for k, v in detector.state_dict().items()}
    content = {"state_dict": state, "ema": {"model": detector.state_dict()}}
    if not averaged:
        content = {"state_dict": {f"model.{k}": v for k, v in detector.state_dict().items()}}
    about = {"format": FORMAT, "preprocess": {"mean": [0.1] * 3, "std": [0.2] * 3}}
    torch.save(content | {"visionkit": about}, tmp_path / "best.ckpt")
    head = {"_target_": "visionkit.heads.classification.ClassificationHead"}
    neck = {"_target_": "visionkit.necks.identity.Identity"}
    spec = {"backbone": backbone | {"weights": str(tmp_path / "best.ckpt")}, "neck": neck}
    classifier = build_model(spec | {"head": head}, 7).eval()
    own, theirs = classifier.backbone.state_dict(), detector.backbone.state_dict()
    assert all(torch.equal(v, theirs[k]) for k, v in own.items())
    assert classifier.backbone.mean == (0.1, 0.1, 0.1)
    classifier(torch.zeros(1, 3, 33, 47, dtype=torch.uint8))
