"""Torchvision's own Faster R-CNN and ours with its weights: the same boxes, the same losses."""

import functools

import numpy as np
import pytest
import torch
from tiny import make_batch
from torch import nn
from torchvision.models import detection
from torchvision.models.detection.image_list import ImageList

from visionkit.build import plain
from visionkit.compose import compose
from visionkit.models.model import build_model
from visionkit.models.weights import start_from
from visionkit.options import PredictOptions

CANVAS = (64, 96)
CLASSES = 3
MANY = 20_000
"""A bound that isn't reached, so that neither's order among equals matters."""
BOUNDS = [
    f"head.{name}={MANY}"
    for name in ("proposals", "train_proposals", "samples", "rpn_samples", "candidates")
]
RPN_IOU = 0.5
"""Leaves fewer proposals than 0.7: less to compute."""
VERSIONS = {
    "faster_rcnn": detection.fasterrcnn_resnet50_fpn,
    "faster_rcnn_v2": detection.fasterrcnn_resnet50_fpn_v2,
}
TRUTH = ([[[8, 4, 60, 40], [30, 20, 90, 62], [50, 8, 70, 30]], []], [[0, 2, 1], []])


def pictures(count=2):
    """Coarse noise, so that places differ."""
    coarse = torch.rand(count, 3, 8, 12, generator=torch.Generator().manual_seed(1))
    fine = torch.rand(count, 3, *CANVAS, generator=torch.Generator().manual_seed(2))
    smooth = nn.functional.interpolate(coarse, size=CANVAS, mode="bicubic")
    return ((0.8 * smooth + 0.2 * fine).clamp(0, 1) * 255).byte()


def normalised(net, images):
    return net.transform([image / 255 for image in images])[0].tensors


def raw(both):
    """What ours says of the very tensor that theirs sees: another rounding would grow on its way.

    A network with random weights makes 1e-7 in its pictures 1e-3 in its maps.
    """
    theirs, ours = both
    x = normalised(theirs, pictures())
    assert torch.allclose(x, ours.normalise(pictures()), atol=1e-6)
    return ours.head(ours.neck(ours.backbone(x)), CANVAS)


def centre(layer, out, std):
    """Scale a last layer so that its outputs [N, C, ...] have mean 0 and deviation ``std``."""
    out = out.transpose(0, 1).flatten(1)
    factor = std / out.std(1)
    layer.weight.data *= factor.view(-1, *[1] * (layer.weight.dim() - 1))
    layer.bias.data = factor * (layer.bias.data - out.mean(1))


@torch.no_grad()
def calibrate(net):
    """Give random weights statistics that fit, and scores and boxes that differ."""
    torch.manual_seed(0)
    for name, parameter in net.named_parameters():
        if parameter.dim() == 1:
            nn.init.normal_(parameter, float(name.endswith("weight")), 0.1)
    x = normalised(net, pictures())
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
    net.backbone.train()(x)
    net.eval()
    features = net.backbone(x)
    head = net.rpn.head
    hidden = [head.conv(f) for f in features.values()]
    for layer, std in ((head.cls_logits, 2.0), (head.bbox_pred, 0.2)):
        out = torch.cat([layer(h).flatten(2) for h in hidden], 2)
        centre(layer, out, std)
    first = {name: f[:1] for name, f in features.items()}
    proposals, _ = net.rpn(ImageList(x[:1], [CANVAS]), first)
    pooled = net.roi_heads.box_roi_pool(first, proposals, [CANVAS])
    hidden = net.roi_heads.box_head.train()(pooled)
    hidden = net.roi_heads.box_head.eval()(pooled)
    predictor = net.roi_heads.box_predictor
    centre(predictor.cls_score, predictor.cls_score(hidden), 1.5)
    centre(predictor.bbox_pred, predictor.bbox_pred(hidden), 0.5)
    return net


@functools.cache
def pair(name, folder):
    """Torchvision's detector and ours, filled from its state dict."""
    torch.manual_seed(0)
    theirs = calibrate(
        VERSIONS[name](
            weights=None,
            weights_backbone=None,
            num_classes=CLASSES + 1,
            min_size=CANVAS[0],
            max_size=CANVAS[1],
            rpn_pre_nms_top_n_train=MANY,
            rpn_pre_nms_top_n_test=MANY,
            rpn_post_nms_top_n_train=MANY,
            rpn_post_nms_top_n_test=MANY,
            rpn_nms_thresh=RPN_IOU,
            rpn_batch_size_per_image=MANY,
            box_batch_size_per_image=MANY,
            box_detections_per_img=MANY,
        )
    )
    torch.save(theirs.state_dict(), folder / f"{name}.pth")
    words = ["task=detection", "data.root=.", f"model={name}", f"head.rpn_nms_iou={RPN_IOU}"]
    ours = build_model(plain(compose([*words, *BOUNDS])), CLASSES)
    start_from(ours, folder / f"{name}.pth")
    return theirs, ours.eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("detectors")


@pytest.fixture(params=VERSIONS)
def both(request, folder):
    return pair(request.param, folder)


@torch.no_grad()
def test_the_same_picture_gives_the_same_boxes(both):
    theirs, ours = both
    expected = theirs([image / 255 for image in pictures()])
    ours.head.options = PredictOptions(confidence=0.05, iou=0.5, max_detections=MANY)
    found = ours.head.predict(raw(both), make_batch(*TRUTH, CANVAS))
    for mine, other in zip(found, expected, strict=True):
        assert 20 < len(mine) == len(other["boxes"]) < MANY
        assert (mine.labels + 1 == other["labels"].numpy()).all()
        assert set(mine.labels.tolist()) == {0, 1, 2}
        assert np.abs(mine.scores - other["scores"].numpy()).max() < 1e-5
        assert np.abs(mine.boxes - other["boxes"].numpy()).max() < 0.01
        assert np.ptp(mine.scores) > 0.5


def all_losses(both):
    """The losses of ours and of theirs, in the same order, where all boxes are sampled."""
    theirs, ours = both
    targets = [
        {"boxes": torch.tensor(b).float().reshape(-1, 4), "labels": torch.tensor(n).long() + 1}
        for b, n in zip(*TRUTH, strict=True)
    ]
    theirs.train()
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    expected = theirs([image / 255 for image in pictures()], targets)
    theirs.eval()
    losses = ours.head.loss(raw(both), make_batch(*TRUTH, CANVAS))
    assert list(losses) == ["objectness", "rpn_box", "class", "box"]
    names = ("objectness", "rpn_box_reg", "classifier", "box_reg")
    return list(losses.values()), [expected[f"loss_{name}"] for name in names]


@torch.no_grad()
def test_the_same_samples_give_the_same_losses(both):
    for mine, other in zip(*all_losses(both), strict=True):
        assert mine.item() == pytest.approx(other.item(), rel=1e-5)
        assert mine > 0.002


def test_the_same_losses_give_the_same_gradients(folder):
    theirs, ours = pair("faster_rcnn", folder)
    for losses in all_losses((theirs, ours)):
        sum(losses).backward()
    for mine, other in (
        (ours.backbone.net.conv1, theirs.backbone.body.conv1),
        (ours.neck.laterals[0], theirs.backbone.fpn.inner_blocks[0][0]),
        (ours.head.rpn.objectness, theirs.rpn.head.cls_logits),
        (ours.head.rpn.deltas, theirs.rpn.head.bbox_pred),
        (ours.head.stages[0].boxes, theirs.roi_heads.box_predictor.bbox_pred),
    ):
        scale = other.weight.grad.abs().max()
        assert (mine.weight.grad - other.weight.grad).abs().max() < 1e-3 * scale
