"""Predictions for files and arrays from a loaded model."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, cast

import torch

from visionkit.batch import collate
from visionkit.errors import DataError
from visionkit.geometry import Image
from visionkit.heads.base import PredictOptions
from visionkit.results import Detections
from visionkit.sources import Source, find, read_samples


class Predictor:
    """A trained model, ready for pictures.

    Every picture is read, letterboxed and stacked by the code that evaluation uses, and a picture's
    result doesn't depend on the others of its batch.

    Args:
        loaded: a checkpoint's ``model``, ``classes``, ``canvas``, ``task`` and ``predict``.
        device: where the model computes; a GPU if there is one, unless given.
    """

    def __init__(self, loaded: Any, device: torch.device | str | None = None) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model = loaded.model.to(self.device).eval()
        self.classes: tuple[str, ...] = tuple(loaded.classes)
        self.canvas: tuple[int, int] = loaded.canvas
        self.task: str = loaded.task
        self.options = PredictOptions(**loaded.predict)

    def predict(
        self,
        source: Source,
        *,
        confidence: float | None = None,
        iou: float | None = None,
        max_detections: int | None = None,
        batch_size: int = 8,
    ) -> list[Detections]:
        """Find the objects in pictures.

        Args:
            source: a file, a folder (the pictures directly in it, sorted), a glob pattern, a uint8
                array [H, W, 3] RGB or [H, W] grey, or a list of these.
            confidence: the least score of a result, 0..1. This and the next two are by default as
                the model was trained (``predict`` in its configuration).
            iou: boxes of one class that overlap by more than this are one object, 0..1.
            max_detections: at most so many for each picture.
            batch_size: pictures computed at once.

        Returns:
            For each picture, in order, its boxes in original pixels, best first, with class names.

        Raises:
            DataError: there is no picture, or one can't be read (:meth:`stream` can go on without).
            TypeError: ``source`` is of another kind.
            ValueError: an option is out of its range.
        """
        results = self.stream(
            source,
            confidence=confidence,
            iou=iou,
            max_detections=max_detections,
            batch_size=batch_size,
        )
        return [result for _, _, result in results]

    def stream(
        self,
        source: Source,
        *,
        confidence: float | None = None,
        iou: float | None = None,
        max_detections: int | None = None,
        batch_size: int = 8,
        errors: list[DataError] | None = None,
    ) -> Iterator[tuple[str, Image, Detections]]:
        """Do what :meth:`predict` does, holding only one batch of pictures in memory.

        Args:
            source: see :meth:`predict`, as for the other options.
            confidence: the least score.
            iou: the overlap that makes one object of two boxes.
            max_detections: at most so many for each picture.
            batch_size: pictures computed at once.
            errors: pictures that can't be read are noted here and left out; without it, the first
                raises.

        Returns:
            An iterator of the file's path (empty for an array), the picture [H, W, 3] uint8 RGB,
            and its result. A wrong source or option raises at once, not at the first picture.
        """
        given: dict[str, Any] = {
            "confidence": confidence,
            "iou": iou,
            "max_detections": max_detections,
        }
        options = replace(self.options, **{k: v for k, v in given.items() if v is not None})
        if not (0 <= options.confidence <= 1 and 0 <= options.iou <= 1):
            raise ValueError(f"confidence and iou lie in 0..1, got {confidence} and {iou}")
        if options.max_detections < 1 or batch_size < 1:
            raise ValueError("max_detections and batch_size are 1 or more")
        return self._stream(find(source), options, batch_size, errors)

    def _stream(
        self,
        items: list[Path | Image],
        options: PredictOptions,
        batch_size: int,
        errors: list[DataError] | None,
    ) -> Iterator[tuple[str, Image, Detections]]:
        pairs = read_samples(items, self.canvas, errors)
        while chunk := list(islice(pairs, batch_size)):
            batch = collate([sample for sample, _ in chunk]).to(self.device)
            head, before = self.model.head, self.model.head.options
            head.options = options
            try:
                with torch.inference_mode():
                    results = cast(list[Detections], self.model.predict(batch))
            finally:
                head.options = before
            for (sample, image), result in zip(chunk, results, strict=True):
                yield sample.meta.path, image, self._named(result)

    def _named(self, result: Detections) -> Detections:
        return Detections(result.boxes, result.scores, result.labels, self.classes)


def load(path: str | Path, device: torch.device | str | None = None) -> Predictor:
    """Load a checkpoint for prediction.

    Args:
        path: a ``.ckpt`` that visionkit's training wrote; it needs no other file.
        device: where to compute; a GPU if there is one, unless given.

    Raises:
        CheckpointError: the file is missing, damaged, or of another kind.
    """
    from visionkit.checkpoint import load_model

    return Predictor(load_model(path), device)
