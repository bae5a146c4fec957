"""Predictions for files and arrays from a loaded model."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from visionkit.batch import collate
from visionkit.errors import DataError
from visionkit.geometry import Image
from visionkit.heads.base import PredictOptions
from visionkit.models.views import PIXELS
from visionkit.options import options_from
from visionkit.sample import Sample
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
        self.options = options_from(loaded.predict)

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
            batch_size: pictures computed at once; fewer where they keep their size and it is large.
            options: what :class:`visionkit.heads.base.PredictOptions` lists; by default as the
                model was trained (``predict`` in its configuration). ``confidence``: the least
                score of a result, 0..1; ``iou``: boxes of one class that overlap by more than this
                are one object, 0..1; ``max_detections``: at most so many boxes for each picture;
                ``flip``: average with the mirrored picture; ``scales``: average what is said of the
                picture at these sizes, 0.25..4, where 1 is the canvas; ``window``: N or (H, W) from
                32, windows of that size slide over each picture in its own pixels, ``"none"`` for
                the whole picture on the model's canvas; ``overlap``: the part of a window that the
                next one sees again, 0..0.9.

        Returns:
            A result for each picture, in order and in its own pixels, one of those in
            :mod:`visionkit.results`, as the model's task is.

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
        chosen = options_from(options, self.options)
        if batch_size < 1:
            raise ValueError(f"batch_size is 1 or more, got {batch_size}")
        self.model.head.check_options(chosen)
        return self._stream(find(source), chosen, batch_size, errors)

    def _stream(
        self,
        items: list[Path | Image],
        options: PredictOptions,
        batch_size: int,
        errors: list[DataError] | None,
    ) -> Iterator[tuple[str, Image, Any]]:
        pairs = read_samples(items, self.canvas, errors, options.window)
        room = PIXELS if options.window else None
        for chunk in _of_one_canvas(pairs, batch_size, room):
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


def _of_one_canvas(
    pairs: Iterable[tuple[Sample, Image]], most: int, room: int | None
) -> Iterator[list[tuple[Sample, Image]]]:
    """Put what follows one another on canvases of one size together.

    Args:
        pairs: samples, each with its picture.
        most: so many at most.
        room: pixels that their canvases have at most, unless it is one alone.
    """
    chunk: list[tuple[Sample, Image]] = []
    for pair in pairs:
        height, width = pair[0].image.shape[:2]
        if chunk and pair[0].image.shape != chunk[0][0].image.shape:
            yield chunk
            chunk = []
        chunk.append(pair)
        full = room is not None and (len(chunk) + 1) * height * width > room
        if full or len(chunk) == most:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


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
