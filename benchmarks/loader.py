"""How many training pictures a second the loader makes, beside what a model wants.

    python benchmarks/loader.py [COCO_ROOT] [--size 640] [--workers 1 2] [--seconds 15]
        [--device cuda]

Batches are those of `visionkit train task=detection data=coco` with its augmentation: a mosaic of
four pictures, flipped and in other colours. "whole" are single pictures, letterboxed only. Pictures
come from JPEG files, from files decoded and scaled before (data.cache=disk) or from memory
(data.cache=ram); the pass that fills a cache doesn't count. Without COCO_ROOT 256 made pictures of
640 x 480 pixels are read. Nothing but the loader runs meanwhile.

What a model wants is measured by steps of YOLO nano (forward, loss, backward, optimizer) on a batch
that is there already. Workers needed are the model's images/s over those of one worker.
"""

import argparse
import functools
import json
import math
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from reference_loops import make_batches
from train_step import SUBJECTS, bare_steps

from visionkit.benchmarking.machine import processor
from visionkit.build import build, plain
from visionkit.compose import compose
from visionkit.data.cores import cores

PICTURES = 256
WARM_UP = 2
"""Batches."""
ROWS = [("whole", "none"), ("mosaic", "none"), ("mosaic", "disk"), ("mosaic", "ram")]


def make_set(root: Path, count: int) -> None:
    """Write pictures with as much detail as photographs have, and a few boxes each."""
    rng = np.random.default_rng(0)
    (root / "images").mkdir(parents=True)
    (root / "annotations").mkdir()
    images, boxes = [], []
    for i in range(count):
        picture = np.zeros((480, 640, 3), np.float32)
        for side, strength in ((8, 60), (40, 30), (160, 12), (480, 5)):
            noise = rng.normal(0, strength, (side, side * 4 // 3, 3)).astype(np.float32)
            picture += cv2.resize(noise, (640, 480), interpolation=cv2.INTER_CUBIC)
        picture = np.clip(picture + 120, 0, 255).astype(np.uint8)
        cv2.imwrite(str(root / "images" / f"{i}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 90])
        images.append({"id": i + 1, "file_name": f"{i}.jpg", "height": 480, "width": 640})
        for x, y, w, h in rng.uniform((0, 0, 20, 20), (440, 280, 200, 200), (7, 4)).tolist():
            box = {"image_id": i + 1, "category_id": 1, "bbox": [x, y, w, h], "area": w * h}
            boxes.append(box | {"id": len(boxes) + 1, "iscrowd": 0})
    about = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "thing"}]}
    for split in ("train", "val"):
        file = root / "annotations" / f"instances_{split}.json"
        file.write_text(json.dumps(about), "utf-8")


def data_module(root: Path, kept: Path, samples: str, cache: str, workers: int, size: int) -> Any:
    """The data of a run."""
    words = ["task=detection", "data=coco", f"data.root={root}", f"data.image_size={size}"]
    words += [f"data.cache={cache}", f"data.cache_dir={kept}", f"data.num_workers={workers}"]
    spec = plain(compose(words))
    augment = build(spec["augment"], "augment") if samples == "mosaic" else None
    return build(spec["data"], "data", augment=augment, seed=0, epochs=100)


def rate(data: Any, seconds: float, fill: bool) -> float:
    """Pictures a second."""
    loader = data.train_dataloader()
    if fill:
        for _ in loader:
            pass
    seen, start, batches = 0, math.inf, 0
    while time.perf_counter() - start < seconds:
        for batch in loader:
            batches += 1
            if batches == WARM_UP:
                start = time.perf_counter()
            elif batches > WARM_UP:
                seen += len(batch)
            if time.perf_counter() - start >= seconds:
                break
    return seen / (time.perf_counter() - start)


def wanted(size: int, seconds: float, device: str) -> float:
    """Pictures a second that YOLO nano trains on."""
    subject, count = SUBJECTS["yolo"], 64 if device == "cuda" else 8
    options = argparse.Namespace(device=device, precision="32", channels_last=False)
    if device == "cuda":
        options.precision = "bf16"
    batches = make_batches("yolo", subject.classes, size, count, device == "cuda")
    step = bare_steps(subject, batches, size, options)
    wait = torch.cuda.synchronize if device == "cuda" else functools.partial(int, 0)
    spent: list[float] = []
    while len(spent) < 5 or sum(spent) < seconds:
        start = time.perf_counter()
        step(len(spent))
        wait()
        spent.append(time.perf_counter() - start)
    return count / statistics.median(spent[2:])


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("root", nargs="?", type=Path)
    parser.add_argument("--size", type=int, default=640)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=15, help="of each measurement")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args()
    print(f"{processor()}, {cores()} cores, canvas {options.size}, torch {torch.__version__}")
    need = wanted(options.size, options.seconds, options.device)
    print(f"YOLO nano on {options.device} trains on {need:.1f} images/s")
    print(f"{'samples':9}{'cache':7}{'workers':>8}{'images/s':>10}{'each':>8}{'needed':>8}")
    with tempfile.TemporaryDirectory() as place:
        root = options.root
        if root is None:
            root = Path(place) / "set"
            make_set(root, PICTURES)
        for samples, cache in ROWS:
            for workers in options.workers:
                kept = Path(place) / "kept"
                data = data_module(root, kept, samples, cache, workers, options.size)
                found = rate(data, options.seconds, cache != "none")
                each = found / max(1, workers)
                print(
                    f"{samples:9}{cache:7}{workers:8d}{found:10.1f}{each:8.1f}{need / each:8.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
