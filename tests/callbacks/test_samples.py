"""Sheets of what the model says during training."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from visionkit.batch import Batch, MaskTargets
from visionkit.callbacks.samples import Samples
from visionkit.geometry import Letterbox
from visionkit.results import SemanticMask
from visionkit.sample import ImageMeta


class Task(SimpleNamespace):
    """What the callback asks a task for."""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Validate once with the given batches and results; return the sheet, None without."""
    monkeypatch.setattr("visionkit.callbacks.samples.SupervisedTask", Task)
    trainer: Any = SimpleNamespace(
        is_global_zero=True,
        sanity_checking=False,
        current_epoch=4,
        default_root_dir=str(tmp_path),
    )

    def validate(samples: Samples, seen: list[Any]) -> Any:
        samples.on_validation_epoch_start(trainer, Task())  # type: ignore[arg-type]
        for results in seen:
            task: Any = Task(entry={"classes": ["road", "car"]}, last_results=results)
            samples.on_validation_batch_end(trainer, task)
        samples.on_validation_epoch_end(trainer, Task())  # type: ignore[arg-type]
        return cv2.imread(str(tmp_path / "samples" / "epoch_005.jpg"))

    return validate


def masks(sizes: list[tuple[int, int]]) -> tuple[Batch, list[SemanticMask]]:
    canvas = (32, 48)
    meta = tuple(ImageMeta(i, "", Letterbox(size, canvas)) for i, size in enumerate(sizes))
    labels = np.stack(
        [m.letterbox.frame_labels(np.full(m.letterbox.size, 1, np.uint8)) for m in meta]
    )
    images = torch.full((len(sizes), 3, *canvas), 90, dtype=torch.uint8)
    said = [SemanticMask(np.zeros(size, np.uint8)) for size in sizes]
    return Batch(images, MaskTargets(torch.from_numpy(labels)), meta), said


def test_masks_of_any_size_stand_beside_their_truth(run: Any) -> None:
    seen = [masks([(20, 40), (333, 77)]), masks([(32, 48), (1, 30)])]
    sheet = run(Samples(count=4, width=120), seen)
    assert sheet.shape[1] > 2 * 2 * 160  # two in a row, each with its truth, legible
    assert run(Samples(count=1, width=120), seen).size < sheet.size


def test_without_results_there_is_no_sheet(run: Any) -> None:
    assert run(Samples(), [None]) is None
