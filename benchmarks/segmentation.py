"""Training step and inference of head=unet and head=fpn beside segmentation_models_pytorch's.

    python benchmarks/segmentation.py [--encoder tf_efficientnet_lite0] [--steps 16] [--batch 4]

Both have the same network of timm as encoder, with the same random weights. Their decoders are as
wide as segmentation_models_pytorch makes them and have the same kind of norms (Unet 256, 128, 64,
32, 16 up to the picture's own pixels, batch norms; FPN 256 and 128, group norms). Both see the same
pictures of 224 x 320 with 11 classes and take turns step by step in one process. A training step is
the forward pass, the cross-entropy of every labelled pixel, the backward pass and plain SGD;
inference goes from the pictures to the class of each pixel. Ours normalises its pictures, theirs
gets them normalised. The rows marked "default" are our heads as ``head=unet`` and ``head=fpn`` make
them, beside the same two of theirs.

segmentation-models-pytorch must be installed: pip install segmentation-models-pytorch.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visionkit.backbones.norms import group_norms
from visionkit.batch import Batch, MaskTargets
from visionkit.build import plain
from visionkit.compose import compose
from visionkit.geometry import Letterbox
from visionkit.models.model import Model, build_model
from visionkit.results import VOID
from visionkit.sample import ImageMeta

CANVAS = (224, 320)
CLASSES = 11
WARM_UP = 3
GROUPS = 32
"""Of the norms in segmentation_models_pytorch's FPN decoder; its Unet has batch norms."""
PAIRS = {
    "Unet": (smp.Unet, ["head=unet", "head.full=true", "head.channels=[256,128,64,32,16]"], 0),
    "Unet, default": (smp.Unet, ["head=unet"], 8),
    "FPN": (smp.FPN, ["head=fpn", "head.pyramid=256", "head.width=128"], GROUPS),
    "FPN, default": (smp.FPN, ["head=fpn"], 8),
}
"""Theirs, ours, and the groups of our decoder's norms (0: batch norms)."""


def make_batch(size: int) -> Batch:
    """Noise in rectangles of every class, some of it void."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (size, 3, *CANVAS), generator=generator, dtype=torch.uint8)
    cells = torch.randint(0, CLASSES, (size, 7, 10), generator=generator, dtype=torch.uint8)
    labels = cells.repeat_interleave(CANVAS[0] // 7, 1).repeat_interleave(CANVAS[1] // 10, 2)
    labels[:, :8] = VOID
    meta = tuple(ImageMeta(i, "", Letterbox(CANVAS, CANVAS)) for i in range(size))
    return Batch(images, MaskTargets(labels), meta)


def models(
    encoder: str, theirs: Callable[..., nn.Module], words: list[str], groups: int
) -> tuple[Model, Any]:
    """Both, their encoders with the same weights and batch norms."""
    parts = ["task=segmentation", "backbone=timm", f"backbone.name={encoder}", "neck=identity"]
    parts += ["model.norm=batch", "head.loss.dice=0"]
    torch.manual_seed(0)
    ours = build_model(plain(compose([*parts, "data.root=.", *words])), CLASSES)
    if groups:
        group_norms(ours.head, groups)
    other: Any = theirs(f"tu-{encoder}", encoder_weights=None, classes=CLASSES)
    other.encoder.model.load_state_dict(ours.backbone.net.state_dict())
    return ours, other


def in_turns(
    steps: int, mine: Callable[[], Any], other: Callable[[], Any], device: str
) -> tuple[list[float], list[float]]:
    """Milliseconds of each step of both, after a few that don't count."""
    spent: tuple[list[float], list[float]] = ([], [])
    for step in range(WARM_UP + steps):
        pair = [(0, mine), (1, other)]
        for which, work in pair if step % 2 else reversed(pair):
            start = time.perf_counter()
            work()
            if device != "cpu":
                torch.cuda.synchronize()
            if step >= WARM_UP:
                spent[which].append(1000 * (time.perf_counter() - start))
    return spent


def training(model: nn.Module, loss: Callable[[], Tensor]) -> Callable[[], None]:
    """A function that takes one step."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step() -> None:
        total = loss()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()

    return step


def measure(name: str, options: argparse.Namespace) -> Iterator[str]:
    """Compare one pair; yield the table's lines."""
    batch = make_batch(options.batch).to(options.device)
    images, labels = batch.images, batch.masks.labels.long()
    ours, theirs = (m.to(options.device) for m in models(options.encoder, *PAIRS[name]))
    normal = ours.normalise(images)
    if options.channels_last:
        layout = torch.channels_last
        ours.to(memory_format=layout)
        theirs.to(memory_format=layout)
        images, normal = (x.contiguous(memory_format=layout) for x in (images, normal))

    def our_loss() -> Tensor:
        (total,) = ours.head.loss(ours(images), batch).values()
        return total

    def their_loss() -> Tensor:
        return F.cross_entropy(theirs(normal), labels, ignore_index=VOID)

    turns = in_turns(
        options.steps, training(ours, our_loss), training(theirs, their_loss), options.device
    )
    yield line(f"{name}: training step", turns)
    ours.eval()
    theirs.eval()
    with torch.no_grad():
        turns = in_turns(
            options.steps,
            lambda: ours.head.predict(ours(images), batch),
            lambda: theirs(normal).argmax(1).cpu(),
            options.device,
        )
    yield line(f"{name}: inference", turns)
    mine, other = (sum(p.numel() for p in m.parameters()) / 1e6 for m in (ours, theirs))
    yield f"{f'{name}: M parameters':32}{mine:9.2f}{other:9.2f}{mine / other:8.3f}"


def line(name: str, turns: tuple[list[float], list[float]]) -> str:
    """A row of the table."""
    mine, other = map(statistics.median, turns)
    return f"{name:32}{mine:9.1f}{other:9.1f}{mine / other:8.3f}"


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--encoder", default="tf_efficientnet_lite0", help="a network of timm's")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--channels-last", action="store_true", help="both in NHWC order")
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {options.device}")
    print(f"{'milliseconds, medians':32}{'ours':>9}{'theirs':>9}{'ratio':>8}")
    for name in PAIRS:
        for text in measure(name, options):
            print(text, flush=True)


if __name__ == "__main__":
    main()
