"""Predictions for files and arrays from a loaded model."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from visionkit.argtypes import nearest
from visionkit.batch import collate
from visionkit.errors import ConfigError, DataError
from visionkit.geometry import Image
from visionkit.heads.base import PredictOptions
from visionkit.models.views import PIXELS
from visionkit.options import options_from
from visionkit.results import Generated
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
                next one sees again, 0..0.9; ``reverse``: turn pictures of the second kind into the
                first, of a model that learned both ways.

        Returns:
            A result for each picture, in order and in its own pixels, one of those in
            :mod:`visionkit.results`, as the model's task is.

        Raises:
            DataError: there is no picture, or one can't be read (:meth:`stream` can go on without).
            TypeError: ``source`` is of another kind, or there is no such option.
            ValueError: an option is out of its range.
            ConfigError: the model can't follow an option, or makes pictures from noise, see
                :meth:`sample`.
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
        if self.model.samples:
            raise ConfigError(
                "source: this model makes pictures from noise and looks at none; leave it out, and "
                "say how many with n=64"
            )
        self.model.check_options(chosen)
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
            before = self.model.options
            self.model.options = options
            try:
                with torch.inference_mode():
                    results = self.model.predict(batch)
            finally:
                self.model.options = before
            for (sample, image), result in zip(chunk, results, strict=True):
                named = replace(result, classes=self.classes)
                yield sample.meta.path, image, named

    def sample(
        self,
        n: int,
        seed: int = 0,
        labels: int | str | Sequence[int | str] | None = None,
        truncation: float | None = None,
        batch_size: int = 32,
    ) -> list[Generated]:
        """Make pictures from noise.

        Args:
            n: how many.
            seed: of the first one's noise, 0 or larger; the next one's is larger by 1. A picture
                depends on its own seed alone, and on its class.
            labels: the class that is wanted, by number or name, or that of each picture; None for
                each class in turn.
            truncation: below 1, pictures are more alike, and each of them is better; 0.01..1. None
                as the model was trained (``predict.truncation``).
            batch_size: pictures computed at once.

        Returns:
            Pictures of the canvas's size, in order.

        Raises:
            ValueError: a number is out of its range.
            ConfigError: the model wants pictures, or there is no such class.
        """
        if n < 1 or seed < 0 or batch_size < 1:
            raise ValueError(
                f"n and batch_size are 1 or more, seed is 0 or more, got {n}, {batch_size}, {seed}"
            )
        strength = options_from({"truncation": truncation}, self.options).truncation
        chosen = self.numbers(labels, n)
        made: list[Generated] = []
        for start in range(0, n, batch_size):
            stop = min(n, start + batch_size)
            wanted = None if chosen is None else chosen[start:stop]
            with torch.inference_mode():
                made += self.model.sample(range(seed + start, seed + stop), wanted, strength)
        return [replace(picture, classes=self.classes) for picture in made]

    def numbers(self, labels: int | str | Sequence[int | str] | None, n: int) -> list[int] | None:
        """Return the class of each of ``n`` pictures, None if none is wanted; see :meth:`sample`.

        Raises:
            ConfigError: the model wants pictures, or there is no such class.
        """
        if not self.model.samples:
            raise ConfigError(
                "n: this model makes no pictures from noise; give it pictures with "
                "source=IMAGE|DIR|GLOB"
            )
        if labels is None:
            return None
        if not self.model.conditional:
            raise ConfigError(
                "label: this model wasn't told the classes of its pictures; leave it out, or train "
                "one with gan.conditional=true"
            )
        if np.ndim(labels) == 0:  # NumPy's and torch's numbers, too
            return [self._label(labels)] * n
        each = cast(Sequence[int | str], labels)
        if len(each) != n:
            raise ValueError(f"{len(each)} labels for {n} pictures; give one for each")
        return [self._label(label) for label in each]

    def _label(self, label: Any) -> int:
        """The number of a class by its name, or else by its number."""
        name = str(label.item() if hasattr(label, "item") else label)
        if name in self.classes:
            return self.classes.index(name)
        number = int(name) if name.isdecimal() else -1
        if not 0 <= number < len(self.classes):
            raise ConfigError(
                f"label: the model has no class {name!r}{nearest(name, self.classes)}"
            )
        return number


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
