"""A model that needs no training, and pictures for it."""

import io
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn

from visionkit.batch import Batch
from visionkit.options import PredictOptions
from visionkit.predict import run
from visionkit.results import VOID, Detections, Generated, SemanticMask

BOX = (40, 20, 80, 60)


class FindsBright(nn.Module):
    """One box around all pixels above 250; the score is the share of the canvas it takes."""

    samples = False
    says = "boxes"

    def __init__(self) -> None:
        super().__init__()
        self.options = PredictOptions()
        self.seen: list[PredictOptions] = []
        self.sizes: list[int] = []

    def check_options(self, options: PredictOptions) -> None:
        pass

    def predict(self, batch: Batch) -> list[Detections]:
        assert not self.training
        assert batch.images.dtype == torch.uint8
        self.seen.append(self.options)
        self.sizes.append(len(batch))
        results = []
        for image, meta in zip(batch.images.numpy(), batch.meta, strict=True):
            rows, columns = np.nonzero((image > 250).all(0))
            boxes, scores = np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
            if len(rows):
                box = [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]
                boxes = meta.letterbox.to_image(np.array(box, np.float64))
                scores = np.array([len(rows) / image[0].size], np.float32)
            found = Detections(boxes, scores, np.zeros(len(scores), np.int64))
            results.append(found.above(self.options.confidence))
        return results


class Inverts(FindsBright):
    """Makes of each picture its negative."""

    says = "pictures"

    def predict(self, batch: Batch) -> list[Any]:
        results = []
        for image, meta in zip(batch.images.permute(0, 2, 3, 1).numpy(), batch.meta, strict=True):
            results.append(Generated(255 - meta.letterbox.picture_to_image(image)))
        return results


class Shades(FindsBright):
    """Dark pixels are of class 0, others of class 1, those between have none."""

    says = "masks"

    def predict(self, batch: Batch) -> list[Any]:
        self.seen.append(self.options)
        self.sizes.append(len(batch))
        results = []
        for image, meta in zip(batch.images.numpy(), batch.meta, strict=True):
            assert image.shape[1:] == meta.letterbox.canvas
            levels = np.digitize(image[0], [100, 150])
            labels = np.array([0, VOID, 1], np.uint8)[levels]
            results.append(SemanticMask(meta.letterbox.labels_to_image(labels)))
        return results


@dataclass
class FakeLoaded:
    model: Any = field(default_factory=FindsBright)
    classes: tuple[str, ...] = ("lamp", "moon")
    canvas: tuple[int, int] = (64, 64)
    task: str = "detection"
    predict: dict[str, Any] = field(
        default_factory=lambda: {"confidence": 0.25, "iou": 0.7, "max_detections": 300}
    )


def stand_in(monkeypatch: pytest.MonkeyPatch) -> FakeLoaded:
    """Let every checkpoint hold the model that finds bright rectangles."""
    fake, module = FakeLoaded(), ModuleType("visionkit.checkpoint")
    module.load_model = lambda path: fake  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "visionkit.checkpoint", module)
    return fake


def picture(box: tuple[int, int, int, int] | None, size: tuple[int, int] = (64, 128)) -> Any:
    image = np.full((*size, 3), 30, np.uint8)
    if box:
        image[box[1] : box[3], box[0] : box[2]] = 255
    return image


def save(path: Path, image: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)
    return path


def config(source: Path | str, run_dir: Path) -> dict[str, Any]:
    options = {"confidence": 0.01, "iou": None, "max_detections": None}
    return {
        "checkpoint": "any.ckpt",
        "source": str(source),
        "n": None,
        "seed": None,
        "label": None,
        "run_dir": str(run_dir),
        "predict": options,
        "batch_size": 2,
        "workers": 1,
        "formats": None,
        "annotations": None,
        "every": 1,
        "frames": None,
    }


def command(source: Path | str, run_dir: Path) -> tuple[dict[str, Any], str]:
    console = Console(file=io.StringIO(), width=200)
    done = run(config(source, run_dir), console)
    return done, str(console.file.getvalue())  # type: ignore[attr-defined]
