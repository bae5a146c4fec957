"""Training step and inference of model=faster_rcnn beside torchvision's FasterRCNN class.

    python benchmarks/faster_rcnn.py [COCO_ROOT] [--weights FILE] [--steps 24] [--batch 8]

Both have timm's tf_efficientnet_lite0 and a pyramid of 128 channels at strides 4 to 64, the same
box head, 256 anchors and 256 box samples a picture, and a canvas of 240 x 320 that no picture is
resized to while time is taken. They begin with the same weights, see the same batches (of random
boxes where no set is given), and take turns step by step in one process. A training step is the
forward pass, the losses, the backward pass and plain SGD; inference goes from the batch to
detections above 0.05, at most 100 a picture. Before inference ours is filled from torchvision's
state dict by model.weights, so that both have the same objects to find.
"""

import argparse
import statistics
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from visionkit.batch import Batch, BoxTargets
from visionkit.build import build, plain
from visionkit.compose import compose
from visionkit.geometry import Letterbox
from visionkit.heads.base import PredictOptions
from visionkit.models.model import Model, build_model
from visionkit.models.weights import start_from
from visionkit.sample import ImageMeta

CANVAS = (240, 320)
NAME = "tf_efficientnet_lite0"
WIDTH, SAMPLES = 128, 256
WARM_UP = 3


class Pyramid(nn.Module):
    """What torchvision's class takes as a backbone."""

    def __init__(self) -> None:
        super().__init__()
        self.body = timm.create_model(NAME, features_only=True, out_indices=(1, 2, 3, 4))
        self.fpn = FeaturePyramidNetwork(
            self.body.feature_info.channels(), WIDTH, extra_blocks=LastLevelMaxPool()
        )
        self.out_channels = WIDTH

    def forward(self, x: Tensor) -> Any:
        maps = [(str(i), m) for i, m in enumerate(self.body(x))]
        return self.fpn(OrderedDict(maps))


def random_batches(size: int) -> tuple[list[Batch], int]:
    """A batch of noise with 14 boxes a picture, as many as BCCD's have, and K."""
    torch.manual_seed(0)
    count = 14 * size
    corners = torch.rand(count, 2) * torch.tensor([CANVAS[1] - 80, CANVAS[0] - 80])
    targets = BoxTargets(
        boxes=torch.cat([corners, corners + 20 + torch.rand(count, 2) * 60], 1),
        labels=torch.randint(0, 3, (count,)),
        image=torch.arange(size).repeat_interleave(14),
    )
    images = torch.randint(0, 256, (size, 3, *CANVAS), dtype=torch.uint8)
    meta = tuple(ImageMeta(i, "", Letterbox(CANVAS, CANVAS)) for i in range(size))
    return [Batch(images, targets, meta)], 3


def set_batches(root: str, size: int) -> tuple[list[Batch], int]:
    """The training split's whole batches, letterboxed, and K."""
    words = ["task=detection", "data=coco", f"data.root={root}", f"data.batch_size={size}"]
    words += ["data.num_workers=0", f"data.image_size=[{CANVAS[0]},{CANVAS[1]}]"]
    data = build(plain(compose(words))["data"], "data", augment=None, seed=0, epochs=1)
    classes = data.read("train").classes
    batches = [b for b in data.eval_dataloader("train") if len(b) == size]
    return batches, len(classes)


def lists(batch: Batch) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """A batch as torchvision wants it: pictures in 0..1, boxes of each, background as class 0."""
    mine = [batch.boxes.image == i for i in range(len(batch))]
    targets = [
        {"boxes": batch.boxes.boxes[own], "labels": batch.boxes.labels[own] + 1} for own in mine
    ]
    return list(batch.images.float() / 255), targets


def models(num_classes: int, weights: str, device: str) -> tuple[Model, FasterRCNN]:
    """Both, with the same weights."""
    words = ["task=detection", "model=faster_rcnn", "backbone=timm", "data.root=."]
    words += [f"backbone.name={NAME}", f"backbone.weights={weights}"]
    words += [f"neck.out_channels={WIDTH}", f"head.samples={SAMPLES}"]
    torch.manual_seed(0)
    ours = build_model(plain(compose(words)), num_classes)
    ours.head.options = PredictOptions(confidence=0.05, iou=0.5, max_detections=100)
    theirs = FasterRCNN(
        Pyramid(),
        num_classes=num_classes + 1,
        min_size=CANVAS[0],
        max_size=CANVAS[1],
        box_batch_size_per_image=SAMPLES,
    )
    body = ours.backbone.net.state_dict()
    theirs.backbone.body.load_state_dict({k: body[k] for k in theirs.backbone.body.state_dict()})
    return ours.to(device), theirs.to(device)


def fill(ours: Model, theirs: FasterRCNN) -> None:
    """Give our model torchvision's weights, by the way that a user has."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "theirs.pth"
        torch.save(theirs.state_dict(), file)
        start_from(ours, file)


def in_turns(
    steps: int, mine: Callable[[int], Any], other: Callable[[int], Any], device: str
) -> tuple[list[float], list[float]]:
    """Milliseconds of each step of both, after a few that don't count."""
    spent: tuple[list[float], list[float]] = ([], [])
    for step in range(WARM_UP + steps):
        pair = [(0, mine), (1, other)]
        for which, work in pair if step % 2 else reversed(pair):
            start = time.perf_counter()
            work(step)
            if device != "cpu":
                torch.cuda.synchronize()
            if step >= WARM_UP:
                spent[which].append(1000 * (time.perf_counter() - start))
    return spent


def training(model: nn.Module, losses: Callable[[int], dict[str, Tensor]]) -> Callable[[int], None]:
    """A function that takes one step."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step(number: int) -> None:
        total = sum(losses(number).values())
        assert isinstance(total, Tensor)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()

    return step


def measure(root: str | None, weights: str, steps: int, size: int, device: str) -> Iterator[str]:
    """Do both comparisons; yield the table's lines."""
    batches, num_classes = set_batches(root, size) if root else random_batches(size)
    batches = [b.to(device) for b in batches]
    listed = [lists(b) for b in batches]
    ours, theirs = models(num_classes, weights, device)
    fill(ours, theirs)

    def our_losses(step: int) -> dict[str, Tensor]:
        batch = batches[step % len(batches)]
        return ours.head.loss(ours(batch.images), batch)

    def their_losses(step: int) -> dict[str, Tensor]:
        found: dict[str, Tensor] = theirs(*listed[step % len(listed)])
        return found

    ours.train()
    theirs.train()
    yield f"{'milliseconds, medians':24}{'ours':>9}{'theirs':>9}{'ratio':>8}"
    turns = in_turns(steps, training(ours, our_losses), training(theirs, their_losses), device)
    yield line("training step", turns)
    fill(ours, theirs)
    ours.eval()
    theirs.eval()
    with torch.no_grad():
        turns = in_turns(
            steps,
            lambda step: ours.predict(batches[step % len(batches)]),
            lambda step: theirs(listed[step % len(listed)][0]),
            device,
        )
        yield line("inference", turns)
        mine = sum(len(found) for found in ours.predict(batches[0]))
        other = sum(len(found["boxes"]) for found in theirs(listed[0][0]))
    yield f"detections in the first batch: {mine} and {other}"


def line(name: str, turns: tuple[list[float], list[float]]) -> str:
    """A row of the table."""
    mine, other = map(statistics.median, turns)
    return f"{name:24}{mine:9.1f}{other:9.1f}{mine / other:8.3f}"


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("root", nargs="?")
    parser.add_argument("--weights", default="none")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {options.device}")
    for text in measure(
        options.root, options.weights, options.steps, options.batch, options.device
    ):
        print(text, flush=True)


if __name__ == "__main__":
    main()
