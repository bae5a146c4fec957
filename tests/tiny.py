"""Tiny models, batches and data sets that many tests share."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from visionkit.batch import Batch, BoxTargets, LabelTargets, MaskTargets
from visionkit.compose import compose
from visionkit.geometry import Letterbox
from visionkit.models.model import Model, build_model
from visionkit.results import VOID
from visionkit.sample import ImageMeta

CSP = {"_target_": "visionkit.backbones.csp.CspBackbone", "width": 0.125, "depth": 0.1}
NECK = {"_target_": "visionkit.necks.fpn.PAFPN", "out_channels": [16, 24, 32]}
HEAD = {"_target_": "visionkit.heads.yolo.YoloHead", "bins": 8, "candidates": 100}
CLASSES = ("red", "green")


def make_model(num_classes: int = 2, seed: int = 0, **head: Any) -> Model:
    torch.manual_seed(seed)
    return build_model({"backbone": CSP, "neck": NECK, "head": HEAD | head}, num_classes)


def make_batch(
    boxes: list[list[list[float]]],
    labels: list[list[int]],
    canvas: tuple[int, int] = (64, 64),
    images: torch.Tensor | None = None,
) -> Batch:
    """A batch of noise (or ``images``) with the given boxes and labels of each picture."""
    if images is None:
        generator = torch.Generator().manual_seed(0)
        shape = (len(boxes), 3, *canvas)
        images = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    flat = [b for image in boxes for b in image]
    return Batch(
        images=images,
        targets=BoxTargets(
            boxes=torch.tensor(flat, dtype=torch.float32).reshape(-1, 4),
            labels=torch.tensor([n for image in labels for n in image], dtype=torch.long),
            image=torch.tensor([i for i, image in enumerate(boxes) for _ in image]).long(),
        ),
        meta=tuple(ImageMeta(i, "", Letterbox(canvas, canvas)) for i in range(len(boxes))),
    )


def make_label_batch(
    labels: list[list[int]],
    num_classes: int,
    canvas: tuple[int, int] = (64, 64),
) -> Batch:
    """A batch of noise whose pictures are of the given classes."""
    generator = torch.Generator().manual_seed(0)
    shape = (len(labels), 3, *canvas)
    values = torch.zeros(len(labels), num_classes)
    for i, mine in enumerate(labels):
        values[i, mine] = 1
    return Batch(
        images=torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8),
        targets=LabelTargets(values),
        meta=tuple(ImageMeta(i, "", Letterbox(canvas, canvas)) for i in range(len(labels))),
    )


def make_mask_batch(
    num_classes: int,
    canvas: tuple[int, int] = (64, 64),
    count: int = 2,
    labels: torch.Tensor | None = None,
) -> Batch:
    """A batch of noise; ``labels`` [B, H, W], or stripes of all classes below a void row."""
    generator = torch.Generator().manual_seed(0)
    if labels is None:
        stripes = torch.arange(canvas[1]) * num_classes // canvas[1]
        labels = stripes.to(torch.uint8).repeat(count, canvas[0], 1)
        labels[:, 0] = VOID
    shape = (len(labels), 3, *labels.shape[1:])
    size = (int(labels.shape[1]), int(labels.shape[2]))
    return Batch(
        images=torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8),
        targets=MaskTargets(labels),
        meta=tuple(ImageMeta(i, "", Letterbox(size, size)) for i in range(len(labels))),
    )


def make_folders(root: Path, splits: dict[str, int] | None = None, side: int = 32) -> Path:
    """Class folders of red and of green pictures, ``count`` of each class."""
    for number, (split, count) in enumerate((splits or {"train": 6, "val": 3}).items()):
        rng = np.random.default_rng(number)
        for label, name in enumerate(CLASSES):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                image = rng.integers(0, 60, (side, side + 4 * i, 3)).astype(np.uint8)
                image[..., 2 - label] += 150  # BGR: red, then green
                cv2.imwrite(str(folder / f"{i}.png"), image)
    return root


def draw_squares(side: int, seed: int) -> tuple[np.ndarray, list[list[int]], list[int]]:
    """A dark picture with a red and a green square: pixels, boxes ``x y w h``, labels."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 40, (side, side, 3)).astype(np.uint8)
    boxes = []
    for label in (0, 1):
        size = int(rng.integers(side // 4, side // 2 - 4))
        x = label * side // 2 + int(rng.integers(0, side // 2 - size))
        y = int(rng.integers(0, side - size))
        image[y : y + size, x : x + size] = (220, 30, 30) if label == 0 else (30, 220, 30)
        boxes.append([x, y, size, size])
    return image, boxes, [0, 1]


def make_coco(
    root: Path, splits: dict[str, int] | None = None, side: int = 64, empty: int = 1
) -> Path:
    """A COCO-format set of red and green squares; the last ``empty`` pictures have none."""
    for number, (split, count) in enumerate((splits or {"train": 8, "val": 4}).items()):
        folder = root / split
        folder.mkdir(parents=True)
        images, annotations = [], []
        for i in range(count):
            image, boxes, labels = draw_squares(side, 100 * number + i)
            if count - i <= empty:
                image, boxes, labels = np.full_like(image, 20), [], []
            name = f"{i}.png"
            cv2.imwrite(str(folder / name), image[..., ::-1])
            images.append({"id": 10 + i, "file_name": name, "width": side, "height": side})
            for box, label in zip(boxes, labels, strict=True):
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": 10 + i,
                        "category_id": 3 + 4 * label,
                        "bbox": box,
                        "area": box[2] * box[3],
                        "iscrowd": 0,
                    }
                )
        content = {
            "images": images,
            "annotations": annotations,
            "categories": [{"id": 3 + 4 * k, "name": name} for k, name in enumerate(CLASSES)],
        }
        (root / "annotations").mkdir(exist_ok=True)
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    return root


def tiny_config(root: Path, run_dir: Path, *overrides: str) -> Any:
    """A detection run of a second or two."""
    return compose(
        [
            "task=detection",
            "data=coco",
            f"data.root={root}",
            f"run_dir={run_dir}",
            "data.image_size=64",
            "data.batch_size=4",
            "data.num_workers=0",
            "backbone.width=0.125",
            "backbone.depth=0.1",
            "neck.out_channels=[16,24,32]",
            "head.bins=8",
            "trainer=cpu",
            "trainer.max_epochs=2",
            "logger=none",
            "ema.ramp=2",
            *overrides,
        ]
    )


def tiny_classifier(root: Path, run_dir: Path, *overrides: str) -> Any:
    """A classification run of a second or two."""
    return compose(
        [
            "task=classification",
            "data=folder",
            f"data.root={root}",
            f"run_dir={run_dir}",
            "data.image_size=32",
            "data.batch_size=4",
            "data.num_workers=0",
            "backbone=lenet",
            "trainer=cpu",
            "trainer.max_epochs=2",
            "logger=none",
            "ema.ramp=2",
            *overrides,
        ]
    )
