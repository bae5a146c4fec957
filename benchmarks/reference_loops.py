"""The steps of the training scripts in torchvision's repository, for train_step.py beside this.

A step copies its batch to the device, runs the network, adds up the losses, steps the optimizer,
and reads what the scripts log: the loss, of classes also the first and the first five hits.
"""

import argparse
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
from torchvision.ops import FrozenBatchNorm2d

from visionkit.batch import Batch, BoxTargets, LabelTargets, MaskTargets
from visionkit.geometry import Letterbox
from visionkit.sample import ImageMeta

BATCHES = 4
BOXES = 8
"""Of each picture."""


def make_batches(name: str, classes: int, size: int, count: int, pin: bool) -> list[Batch]:
    """Noise with random truth."""
    torch.manual_seed(0)
    made = []
    for _ in range(BATCHES):
        images = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8)
        targets: Any
        if name == "resnet50":
            targets = LabelTargets(F.one_hot(torch.randint(classes, (count,)), classes).float())
        elif name == "deeplab":
            targets = MaskTargets(torch.randint(classes, (count, size, size)).to(torch.uint8))
        else:
            corners = torch.rand(count * BOXES, 2) * size * 0.6
            sides = size * (0.06 + 0.3 * torch.rand(count * BOXES, 2))
            targets = BoxTargets(
                torch.cat([corners, corners + sides], 1),
                torch.randint(classes, (count * BOXES,)),
                torch.arange(count).repeat_interleave(BOXES),
            )
        box = Letterbox((size, size), (size, size))
        batch = Batch(images, targets, tuple(ImageMeta(i, "", box) for i in range(count)))
        made.append(batch.pin_memory() if pin else batch)
    return made


def network(name: str, classes: int, size: int) -> nn.Module:
    """torchvision's network."""
    if name == "resnet50":
        return torchvision.models.resnet50()
    if name == "deeplab":
        return torchvision.models.segmentation.deeplabv3_resnet50(
            weights=None, weights_backbone=None, num_classes=classes, aux_loss=None
        )
    trunk = torchvision.models.resnet50(norm_layer=FrozenBatchNorm2d)
    return FasterRCNN(_resnet_fpn_extractor(trunk, 3), classes + 1, min_size=size, max_size=size)


def as_floats(name: str, batch: Batch) -> tuple[Any, Any]:
    """A batch as torchvision's loader gives it, on the host."""
    if name == "faster_rcnn":
        images = list(batch.images.float() / 255)
        boxes = batch.boxes
        own = [boxes.image == i for i in range(len(batch))]
        return images, [{"boxes": boxes.boxes[o], "labels": boxes.labels[o] + 1} for o in own]
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    images = (batch.images.float() / 255 - mean) / std
    if name == "deeplab":
        return images, batch.masks.labels.long()
    return images, batch.labels.values.argmax(1)


def reference_steps(
    name: str, classes: int, batches: list[Batch], size: int, options: argparse.Namespace
) -> Callable[[int], None]:
    """A function that takes a step as the script does."""
    device = torch.device(options.device)
    torch.manual_seed(0)
    layout = torch.channels_last if options.channels_last else torch.contiguous_format
    model = network(name, classes, size).to(device, memory_format=layout).train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=1e-4, momentum=0.9, weight_decay=1e-4)
    run: Any = torch.compile(model) if options.compile else model
    listed = [as_floats(name, batch) for batch in batches]
    if device.type == "cuda":
        listed = [each(pair, Tensor.pin_memory) for pair in listed]

    def losses(images: Any, truth: Any) -> Tensor:
        if name == "faster_rcnn":
            found: Any = run(images, truth)
            return sum(found.values())
        if options.channels_last:
            images = images.contiguous(memory_format=layout)
        said = run(images)
        if name == "deeplab":
            return F.cross_entropy(said["out"], truth, ignore_index=255)
        loss = F.cross_entropy(said, truth)
        best = said.topk(5, 1).indices.eq(truth[:, None])
        [float(best[:, :k].sum()) for k in (1, 5)]
        return loss

    def step(number: int) -> None:
        images, truth = each(
            listed[number % len(listed)], lambda t: t.to(device, non_blocking=True)
        )
        with torch.autocast(device.type, torch.bfloat16, enabled=options.precision == "bf16"):
            loss = losses(images, truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()

    return step


def each(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return {k: each(v, change) for k, v in value.items()}
    return type(value)(each(v, change) for v in value)
