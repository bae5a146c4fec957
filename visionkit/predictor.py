"""Predictions for files and arrays from a loaded model."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from visionkit.batch import collate
from visionkit.errors import DataError
from visionkit.geometry import Image
from visionkit.heads.base import PredictOptions
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
        batch_size: int = 8,
        **options: Any,
    ) -> list[Any]:
        """Say what pictures show.

        Args:
            source: a file, a folder (the pictures directly in it, sorted), a glob pattern, a uint8
                array [H, W, 3] RGB or [H, W] grey, or a list of these.
            batch_size: pictures computed at once.
            options: what :class:`visionkit.heads.base.PredictOptions` lists; by default as the
                model was trained (``predict`` in its configuration). ``confidence``: the least
                score of a result, 0..1; ``iou``: boxes of one class that overlap by more than this
                are one object, 0..1; ``max_detections``: at most so many boxes for each picture;
                ``flip``: average with the mirrored picture.

        Returns:
            A result for each picture, in order and in its own pixels:
            :class:`visionkit.results.Detections` or :class:`visionkit.results.Classification`, as
            the model's task is.

        Raises:
            DataError: there is no picture, or one can't be read (:meth:`stream` can go on without).
            TypeError: ``source`` is of another kind, or there is no such option.
            ValueError: an option is out of its range.
            ConfigError: the model can't follow an option.
        """
        results = self.stream(source, batch_size=batch_size, **options)
        return [result for _, _, result in results]

    def stream(
        self,
        source: Source,
        *,
        batch_size: int = 8,
        errors: list[DataError] | None = None,
        **options: Any,
    ) -> Iterator[tuple[str, Image, Any]]:
        """Do what :meth:`predict` does, holding only one batch of pictures in memory.

        Args:
            source: see :meth:`predict`, as for the other options.
            batch_size: pictures computed at once.
            errors: pictures that can't be read are noted here and left out; without it, the first
                raises.
            options: see :meth:`predict`; None leaves one as the model was trained.

        Returns:
            An iterator of the file's path (empty for an array), the picture [H, W, 3] uint8 RGB,
            and its result. A wrong source or option raises at once, not at the first picture.
        """
        given = {k: v for k, v in options.items() if v is not None}
        chosen = replace(self.options, **given)
        if not (0 <= chosen.confidence <= 1 and 0 <= chosen.iou <= 1):
            raise ValueError(f"confidence and iou lie in 0..1, got {given}")
        if chosen.max_detections < 1 or batch_size < 1:
            raise ValueError("max_detections and batch_size are 1 or more")
        self.model.head.check_options(chosen)
        return self._stream(find(source), chosen, batch_size, errors)

    def _stream(
        self,
        items: list[Path | Image],
        options: PredictOptions,
        batch_size: int,
        errors: list[DataError] | None,
    ) -> Iterator[tuple[str, Image, Any]]:
        pairs = read_samples(items, self.canvas, errors)
        while chunk := list(islice(pairs, batch_size)):
            batch = collate([sample for sample, _ in chunk]).to(self.device)
            head, before = self.model.head, self.model.head.options
            head.options = options
            try:
                with torch.inference_mode():
                    results = self.model.predict(batch)
            finally:
                head.options = before
            for (sample, image), result in zip(chunk, results, strict=True):
                named = replace(result, classes=self.classes)
                yield sample.meta.path, image, named


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
