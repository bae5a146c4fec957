"""A network with three heads on one backbone, whose answers aren't all alike, as a checkpoint."""

import functools
from typing import Any

import torch
from torch import Tensor

from visionkit.build import build
from visionkit.checkpoint import Loaded
from visionkit.models.joint import JointModel

CANVAS = (64, 96)
CSP = {"_target_": "visionkit.backbones.csp.CspBackbone", "width": 0.125, "depth": 0.1}
IDENTITY = {"_target_": "visionkit.necks.identity.Identity"}
LOSS = {"_target_": "visionkit.losses.segmentation.SegmentationLoss"}
NODES: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]] = {
    "detection": (
        {"_target_": "visionkit.necks.fpn.PAFPN", "out_channels": [16, 24, 32]},
        {"_target_": "visionkit.heads.yolo.YoloHead", "bins": 8, "candidates": 100},
        ("ring", "star"),
    ),
    "segmentation": (
        IDENTITY,
        {
            "_target_": "visionkit.heads.segmentation.unet.UnetHead",
            "channels": [16, 12, 8],
            "loss": LOSS,
        },
        ("background", "ring", "star"),
    ),
    "scene": (
        IDENTITY,
        {"_target_": "visionkit.heads.classification.ClassificationHead"},
        ("in", "out", "dark", "odd"),
    ),
}
CLASSES = {name: classes for name, (_, _, classes) in NODES.items()}


@functools.cache
def joint() -> Loaded:
    torch.manual_seed(0)
    backbone = build(CSP, "backbone")
    necks, heads = {}, {}
    for name, (neck, head, classes) in NODES.items():
        necks[name] = build(neck, name, in_features=backbone.features)
        heads[name] = build(head, name, in_features=necks[name].features, num_classes=len(classes))
    model = JointModel(backbone, necks, heads).train()
    with torch.no_grad():
        for seed in range(10):  # norms that fit
            model(pictures((4, *CANVAS), seed))
        _sharpen(model.eval())
    flat = tuple(f"{name}/{known}" for name, classes in CLASSES.items() for known in classes)
    predict = {"confidence": 0.25, "iou": 0.57, "max_detections": 20}
    return Loaded(model, flat, CANVAS, "multitask", {}, None, predict, dict(CLASSES))


def _sharpen(model: JointModel) -> None:
    """Give last layers, which begin near zero, something to say: else every place is alike."""
    last: list[Any] = [m for m in model.heads.modules() if isinstance(_bias(m), Tensor)]
    last = [m for m in last if m.weight.ndim > 1 and m.weight.std() < 0.03]
    hooks = [layer.register_forward_hook(_spread) for layer in last]
    model(pictures((4, *CANVAS), 99))
    for hook in hooks:
        hook.remove()


def _bias(module: torch.nn.Module) -> Any:
    return getattr(module, "bias", None)


def _spread(layer: Any, _: Any, out: Tensor) -> None:
    bias = layer.bias.view(-1, *[1] * (out.ndim - 2))
    layer.weight.data.mul_(2 / (out - bias).std())


def pictures(shape: tuple[int, int, int], seed: int = 0) -> Tensor:
    """Blots of several sizes, [B, 3, H, W] uint8: of noise alone, every place would be alike."""
    lots = torch.Generator().manual_seed(seed)
    count, height, width = shape
    images = torch.zeros(count, 3, height, width)
    for cell in (4, 8, 16):
        small = torch.rand(count, 3, -(-height // cell), -(-width // cell), generator=lots)
        images += torch.nn.functional.interpolate(small, (height, width)) * 85
    return images.to(torch.uint8)
