"""Every family of backbones under every head, and every neck: loss, gradient, prediction."""

import numpy as np
import pytest
import torch
from tiny import make_batch, make_label_batch, make_mask_batch

from visionkit.build import plain
from visionkit.compose import compose, config_dir, groups
from visionkit.errors import ConfigError
from visionkit.models.model import build_model
from visionkit.results import Classification, SemanticMask

FOUND = groups([config_dir()])
CANVAS = (96, 128)
BOXES = make_batch([[[8, 8, 60, 50], [40, 30, 90, 90]], []], [[0, 2], []], CANVAS)
# those of GANs' critics, see test_gan_contracts.py
CRITICS = tuple(name for name in FOUND["head"] if "discriminator" in name)
CRITICS_NECK = "random_projection"
SEGMENTATION = ("fcn", "unet", "fpn", "deeplabv3plus", "pspnet", "lraspp", "upernet")
BATCHES = {
    "yolo": BOXES,
    "faster_rcnn": BOXES,
    "classification": make_label_batch([[2], [0]], 3, CANVAS),
    **dict.fromkeys(SEGMENTATION, make_mask_batch(3, CANVAS)),
}
WITH_FPN = ("yolo", "faster_rcnn")
NECKS = {head: "fpn" if head in WITH_FPN else "identity" for head in BATCHES}
TASKS = {
    **dict.fromkeys(WITH_FPN, "detection"),
    "classification": "classification",
    **dict.fromkeys(SEGMENTATION, "segmentation"),
}
SMALL_RCNN = ["neck.out_channels=32", "head.representation=32", "head.samples=64"]
MORE = {"faster_rcnn": ["neck.strides=[4,8,16,32,64]", *SMALL_RCNN]}

# the smallest member of each family; the networks of conf/backbone that aren't of torchvision
SMALLEST = """
    alexnet vgg11_bn googlenet inception_v3 resnet18 resnext50_32x4d wide_resnet50_2 densenet121
    mobilenet_v2 mobilenet_v3_small efficientnet_b0 efficientnet_v2_s regnet_y_400mf
    shufflenet_v2_x0_5 squeezenet1_1 mnasnet0_5 convnext_tiny vit_b_32 swin_t swin_v2_t
"""
BACKBONES = [f"backbone=torchvision backbone.name={name}" for name in SMALLEST.split()] + [
    f"backbone={name}" for name in ("csp", "lenet", "timm")
]
# maps are maps: of the segmentation heads one meets every backbone, the others do so with -m slow
FEW = ("csp", "lenet", "timm", "resnet18", "vit_b_32")
ALWAYS = (*WITH_FPN, "classification", "unet")


COMBINATIONS = [(b, NECKS[h], h) for h in FOUND["head"] if h not in CRITICS for b in BACKBONES]
COMBINATIONS += [
    ("backbone=csp", n, "yolo") for n in FOUND["neck"] if n not in ("fpn", CRITICS_NECK)
]
COMBINATIONS += [("backbone=csp", neck, h) for neck in ("fpn", "pafpn") for h in ALWAYS[2:]]


def marked(backbone, neck, head):
    rare = head not in ALWAYS and backbone.split("=")[-1] not in FEW
    return pytest.param(backbone, neck, head, marks=[pytest.mark.slow] * rare)


def test_every_head_and_neck_is_tested():
    assert set(FOUND["head"]) - set(CRITICS) == set(BATCHES) == set(NECKS) == set(TASKS)
    assert {neck for _, neck, _ in COMBINATIONS} == set(FOUND["neck"]) - {CRITICS_NECK}


def built(backbone, neck, head, *more):
    words = [f"task={TASKS[head]}", "data.root=.", *backbone.split(), f"neck={neck}", *more]
    spec = plain(compose([*words, f"head={head}", *MORE.get(head, [])]))
    torch.manual_seed(0)
    try:
        return build_model(spec, 3)
    except ConfigError as error:
        if "no feature map at stride" in str(error):
            pytest.skip(str(error))
        raise


@pytest.mark.parametrize(("backbone", "neck", "head"), [marked(*c) for c in COMBINATIONS])
def test_a_combination_learns_and_predicts(backbone, neck, head):
    learns_and_predicts(built(backbone, neck, head), BATCHES[head])


@pytest.mark.parametrize("name", [name for name in FOUND["model"] if "rcnn" in name])
def test_a_two_stage_model_learns_and_predicts(name):
    words = ["task=detection", "data.root=.", f"model={name}", *SMALL_RCNN]
    torch.manual_seed(0)
    learns_and_predicts(build_model(plain(compose(words)), 3), BOXES)


def learns_and_predicts(model, batch):
    model.train()
    losses = model.head.loss(model(batch.images), batch)
    total = sum(losses.values())
    assert torch.isfinite(total)
    total.backward()
    unused = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert unused == [], "DDP would wait for these"
    model.eval()
    with torch.no_grad():
        raw = model(batch.images)
        assert model.head.loss(raw, batch).keys() == losses.keys()
        results = model.head.predict(raw, batch)
    assert len(results) == 2
    for result in results:
        if isinstance(result, Classification):
            assert result.probabilities.dtype == np.float32
            assert result.probabilities.sum() == pytest.approx(1, abs=1e-5)
            continue
        if isinstance(result, SemanticMask):
            assert result.labels.shape == CANVAS
            assert result.labels.dtype == np.uint8
            assert set(np.unique(result.labels).tolist()) <= {0, 1, 2}
            continue
        assert result.boxes.shape == (len(result), 4)
        assert result.boxes.dtype == result.scores.dtype == np.float32
        assert ((result.boxes >= 0) & (result.boxes <= [128, 96, 128, 96])).all()
        assert (np.diff(result.scores) <= 0).all()
        assert set(result.labels.tolist()) <= {0, 1, 2}
    with torch.no_grad():
        again = model.head.predict(model(batch.images), batch)
    assert [r.to_dict() for r in again] == [r.to_dict() for r in results]


@pytest.mark.parametrize(
    "name",
    [
        *["resnet18", "mobilenet_v3_large", "tf_efficientnet_lite0"],
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("convnext_tiny", "vgg16_bn", "densenet121")
        ),
    ],
)
def test_one_picture_of_an_odd_size_under_every_segmentation_head(name):
    family = "timm" if name.startswith("tf_") else "torchvision"
    batch = make_mask_batch(3, (97, 131), count=1)
    for head in SEGMENTATION:
        model = built(f"backbone={family} backbone.name={name}", "identity", head).train()
        losses = model.head.loss(model(batch.images), batch)
        sum(losses.values()).backward()
        unused = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
        assert unused == []
        (result,) = model.eval().predict(batch)
        assert result.labels.shape == (97, 131)


@pytest.mark.parametrize(
    "backbone", ["backbone=csp", "backbone=torchvision backbone.name=resnet18"]
)
def test_a_picture_of_one_cell_trains(backbone):
    batch = make_mask_batch(3, (32, 32), count=1)
    for head in SEGMENTATION:
        model = built(backbone, "identity", head).train()
        sum(model.head.loss(model(batch.images), batch).values()).backward()
        (result,) = model.predict(batch)
        assert result.labels.shape == (32, 32)


@pytest.mark.parametrize("backbone", ["csp", "resnet18", "timm", "mobilenet_v3_large"])
def test_frozen_and_multiplied_backbones_build(backbone):
    words = ["backbone.frozen_stages=1", "backbone.frozen_norm=true", "backbone.lr_multiplier=0.1"]
    model = built(f"backbone={backbone}", "fpn", "yolo", *words)
    assert model.backbone.lr_multiplier == 0.1
    assert not next(model.backbone.parameters()).requires_grad
