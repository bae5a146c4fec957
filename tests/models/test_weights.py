"""Whole models from files of torchvision's make."""

import functools
import hashlib
import logging

import pytest
import torch
from safetensors.torch import save_file
from small_joint import make_joint
from torch import nn
from torchvision.models import detection
from torchvision.models.detection._utils import overwrite_eps
from torchvision.models.detection.backbone_utils import mobilenet_backbone, resnet_fpn_backbone
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.ops import FrozenBatchNorm2d

from visionkit.backbones.torchvision import TorchvisionBackbone
from visionkit.build import plain
from visionkit.compose import compose
from visionkit.errors import CheckpointError
from visionkit.models import weights
from visionkit.models.model import build_model
from visionkit.models.weights import start_from

WIDTH = 16
"""Of the hidden layers of the box head: small files, quick tests."""


@functools.cache
def detector(classes=3, norm=nn.BatchNorm2d):
    """Torchvision's Faster R-CNN with a ResNet-18, every tensor random."""
    torch.manual_seed(classes)
    body = resnet_fpn_backbone(backbone_name="resnet18", weights=None, norm_layer=norm)
    net = detection.FasterRCNN(
        body,
        box_head=TwoMLPHead(256 * 49, WIDTH),
        box_predictor=FastRCNNPredictor(WIDTH, classes + 1),
    )
    with torch.no_grad():
        for tensor in net.state_dict().values():
            if tensor.is_floating_point():
                tensor.uniform_(0.1, 1)
    return net


def ours(*words, classes=3):
    groups = {"model": "faster_rcnn", "backbone": "resnet18"} | dict(
        w.split("=") for w in words if "." not in w
    )
    words = [*(w for w in words if "." in w), *(f"{k}={v}" for k, v in groups.items())]
    words += ["task=detection", "data.root=."]
    words += [f"head.representation={WIDTH}"] * ("rcnn" in groups["model"])
    torch.manual_seed(9)
    return build_model(plain(compose(words)), classes)


def saved(tmp_path, content):
    file = tmp_path / "detector.pth"
    torch.save(content, file)
    return file


def older(key):
    """A tensor's name as torchvision wrote it before 2022."""
    for part in ("inner_blocks", "layer_blocks"):
        for i in range(4):
            key = key.replace(f"{part}.{i}.0.", f"{part}.{i}.")
    return key.replace("rpn.head.conv.0.0.", "rpn.head.conv.")


def warnings_in(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


def test_every_tensor_finds_its_place(tmp_path, caplog):
    state = detector().state_dict()
    model = ours()
    with caplog.at_level(logging.INFO):
        start_from(model, saved(tmp_path, state))
    own = model.state_dict()
    learned = [k for k in own if not k.endswith("num_batches_tracked")]
    assert f"{len(learned)} of the model's {len(learned)} tensors loaded" in caplog.text
    assert len(learned) == len([k for k in state if not k.endswith("num_batches_tracked")])
    body = model.backbone.net.state_dict()
    assert all(torch.equal(v, state[f"backbone.body.{k}"]) for k, v in body.items())
    for mine, other in {
        "neck.laterals.3.weight": "backbone.fpn.inner_blocks.3.0.weight",
        "neck.smooth.1.bias": "backbone.fpn.layer_blocks.1.0.bias",
        "head.rpn.conv.0.weight": "rpn.head.conv.0.0.weight",
        "head.stages.0.trunk.3.bias": "roi_heads.box_head.fc7.bias",
        "head.stages.0.classes.weight": "roi_heads.box_predictor.cls_score.weight",
    }.items():
        assert torch.equal(own[mine], state[other])


def test_every_wrapping_and_older_names(tmp_path):
    state = detector().state_dict()
    expected = ours()
    start_from(expected, saved(tmp_path, state))
    for content in (
        {"model": state, "epoch": 3},
        {f"module.{k}": v for k, v in state.items()},
        {older(k): v for k, v in state.items()},
        state | {"roi_heads.mask_head.mask_fcn1.weight": torch.zeros(1)},
    ):
        model = ours()
        start_from(model, saved(tmp_path, content))
        for mine, other in zip(*(m.state_dict().values() for m in (model, expected)), strict=True):
            assert torch.equal(mine, other)
    save_file(state, tmp_path / "detector.safetensors")
    model = ours()
    start_from(model, tmp_path / "detector.safetensors")
    assert torch.equal(model.head.rpn.deltas.weight, expected.head.rpn.deltas.weight)


def test_layers_of_other_classes_stay_at_random(tmp_path, caplog):
    model, fresh = ours(classes=5), ours(classes=5)
    start_from(model, saved(tmp_path, detector().state_dict()), ["a", "b", "c", "d", "e"])
    assert "made for 3 classes; head.stages.0.boxes.bias, " in caplog.text
    stage, before = model.head.stages[0], fresh.head.stages[0]
    assert torch.equal(stage.classes.weight, before.classes.weight)
    assert torch.equal(stage.boxes.bias, before.boxes.bias)
    assert not torch.equal(stage.trunk[1].weight, before.trunk[1].weight)


def test_boxes_of_each_class_and_boxes_of_all_do_not_fit(tmp_path, caplog):
    state = detector().state_dict()
    model = ours("head.class_agnostic=true")
    start_from(model, saved(tmp_path, state))
    (line,) = warnings_in(caplog)
    says = "its classes have boxes of their own, with head.class_agnostic they share them; "
    assert says + "head.stages.0.boxes.bias, head.stages.0.boxes.weight don't fit" in line
    scores = state["roi_heads.box_predictor.cls_score.weight"]
    assert torch.equal(model.head.stages[0].classes.weight, scores)
    for part in ("weight", "bias"):
        name = f"roi_heads.box_predictor.bbox_pred.{part}"
        state[name] = state[name][:4]
    caplog.clear()
    start_from(ours(), saved(tmp_path, state))
    (line,) = warnings_in(caplog)
    assert "its classes share their boxes, without head.class_agnostic they don't; head." in line
    caplog.clear()
    model = ours("head.class_agnostic=true")
    start_from(model, saved(tmp_path, state))
    assert warnings_in(caplog) == []
    biases = state["roi_heads.box_predictor.bbox_pred.bias"]
    assert torch.equal(model.head.stages[0].boxes.bias, biases)


def test_coco_classes_are_found_by_name(tmp_path, caplog):
    state = detector(90).state_dict()
    file = saved(tmp_path, state)
    model = ours(classes=2)
    start_from(model, file, ["zebra", "person"])
    scores = state["roi_heads.box_predictor.cls_score.weight"]
    deltas = state["roi_heads.box_predictor.bbox_pred.bias"].view(91, 4)
    stage = model.head.stages[0]
    assert torch.equal(stage.classes.weight, scores[[0, 24, 1]])  # COCO's ids of the two
    assert torch.equal(stage.boxes.bias.view(3, 4), deltas[[0, 24, 1]])
    assert warnings_in(caplog) == []
    start_from(ours(classes=2), file, ["zebra", "helmet"])
    assert "stay at random" in caplog.text


def test_a_cascade_takes_what_it_can(tmp_path):
    model = ours("model=cascade_rcnn")
    state = detector().state_dict()
    start_from(model, saved(tmp_path, state))
    fc6 = state["roi_heads.box_head.fc6.weight"]
    assert torch.equal(model.head.stages[0].trunk[1].weight, fc6)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["backbone=resnet50"], "have no place in this model, such as backbone.body."),
        (["model=faster_rcnn_v2"], "have no place in this model, such as "),
        (["head.rpn_convs=2"], "it lacks 2 of this model's "),
        (["neck.out_channels=32"], "have no place in this model, such as backbone.fpn."),
        (["model=yolo"], "have no place in this model, such as backbone.fpn."),
    ],
)
def test_a_model_that_it_does_not_fit_is_told_which_it_would(tmp_path, words, says):
    file = saved(tmp_path, detector().state_dict())
    with pytest.raises(CheckpointError) as caught:
        start_from(ours(*words), file)
    line = str(caught.value)
    assert line.startswith(f"{file}: torchvision's Faster R-CNN on resnet18; ")
    assert says in line
    assert "choose model=faster_rcnn backbone=resnet18, with neck and head as they" in line
    assert "\n" not in line


def test_a_mobilenet_gives_its_backbone_only(tmp_path):
    body = mobilenet_backbone(backbone_name="mobilenet_v3_large", weights=None, fpn=True)
    file = saved(tmp_path, detection.FasterRCNN(body, num_classes=4).state_dict())
    with pytest.raises(CheckpointError, match=r"backbone by backbone\.weights=FILE"):
        start_from(ours(), file)
    own = TorchvisionBackbone("mobilenet_v3_large", weights=str(file)).net.features
    state = body.body.state_dict()
    shared = [k for k in own.state_dict() if k in state]
    assert len(shared) > 200
    assert all(torch.equal(own.state_dict()[k], state[k]) for k in shared)


def test_other_files_are_told_of_as_checkpoints_are(tmp_path):
    for content, says in (({"a": torch.zeros(1)}, "not a visionkit checkpoint"), ([1], "not a")):
        with pytest.raises(CheckpointError, match=says):
            start_from(ours(), saved(tmp_path, content))
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        start_from(ours(), tmp_path / "gone.pth")


@torch.no_grad()
def test_the_published_file_was_trained_without_an_epsilon(tmp_path, monkeypatch):
    net = detector(norm=FrozenBatchNorm2d)
    state = net.state_dict()
    for key in state:
        if key.endswith("running_var"):
            state[key].uniform_(1e-5, 1e-4)
    overwrite_eps(net, 0.0)
    x = torch.rand(1, 3, 64, 64)
    expected = net.backbone.body(x)["0"]
    file = saved(tmp_path, state)
    stem = ours().backbone
    for known, same in (("none of them", False), (hashlib.sha256(file.read_bytes()), True)):
        monkeypatch.setattr(
            weights, "_WITHOUT_EPS", (known if not same else known.hexdigest()[:8],)
        )
        model = ours().eval()
        start_from(model, file)
        found = model.backbone(x)[stem.features[1].name]
        assert torch.allclose(found, expected, rtol=1e-4) == same


def test_a_network_with_other_heads_takes_no_detector(tmp_path):
    file = saved(tmp_path, detector().state_dict())
    with pytest.raises(CheckpointError, match="which only a network with boxes alone can take"):
        start_from(make_joint("detection"), file)
