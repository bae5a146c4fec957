"""Predictions for files and arrays from a loaded model, wherever it computes. No torch."""

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from visionkit import looks
from visionkit.argtypes import nearest
from visionkit.errors import ConfigError, DataError
from visionkit.geometry import Image
from visionkit.options import PredictOptions, options_from
from visionkit.results import Generated
from visionkit.runtimes.base import Runtime, latents, one_hot
from visionkit.sources import Source, find
from visionkit.streaming import answers

if TYPE_CHECKING:
    from visionkit.video import Frame, Video


FILES = {".onnx": "onnx", ".xml": "openvino", ".pt2": "program"}
"""How the names of exported files end, and what runs them."""
LOOKS_AT_NONE = (
    "source: this model makes pictures from noise and looks at none; leave it out, and say how "
    "many with n=64"
)
MAKES_NONE = "this model makes no pictures from noise; give it pictures with source=IMAGE|DIR|GLOB"


class Predictor:
    """A trained model, ready for pictures.

    Every picture is read, letterboxed and stacked by the code that evaluation uses, and a picture's
    result doesn't depend on the others of its batch.

    Args:
        runtime: answers for the model, see :func:`load`.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.classes, self.canvas, self.task = runtime.classes, runtime.canvas, runtime.task
        self.options = runtime.options

    def predict(
        self,
        source: Source,
        *,
        batch_size: int = 8,
        workers: int = 2,
        **options: Any,
    ) -> list[Any]:
        """Say what pictures show.

        Args:
            source: a file, a folder (the pictures directly in it, sorted), a glob pattern, a uint8
                array [H, W, 3] RGB or [H, W] grey, or a list of these.
            batch_size: pictures computed at once; fewer where they keep their size and it is large.
            workers: threads that read pictures while others are computed; 0 for none.
            options: what :class:`visionkit.options.PredictOptions` lists; by default as the
                model was trained (``predict`` in its configuration). ``confidence``: the least
                score of a result, 0..1; ``iou``: boxes of one class that overlap by more than this
                are one object, 0..1; ``max_detections``: at most so many boxes for each picture;
                ``flip``: average with the mirrored picture; ``scales``: average what is said of the
                picture at these sizes, 0.25..4, where 1 is the canvas; ``window``: N or (H, W) from
                32, windows of that size slide over each picture in its own pixels, ``"none"`` for
                the whole picture on the model's canvas; ``overlap``: the part of a window that the
                next one sees again, 0..0.9 (how boxes of several looks become one list:
                :func:`visionkit.looks.detect`); ``reverse``: turn pictures of the second kind into
                the first, of a model that learned both ways.

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
        results = self.stream(source, batch_size=batch_size, workers=workers, **options)
        return [result for _, _, result in results]

    def stream(
        self,
        source: Source,
        *,
        batch_size: int = 8,
        workers: int = 2,
        errors: list[DataError] | None = None,
        **options: Any,
    ) -> Iterator[tuple[str, Image, Any]]:
        """Do what :meth:`predict` does, holding only two batches of pictures in memory.

        Args:
            source: see :meth:`predict`, as for the other options.
            batch_size: pictures computed at once.
            workers: see :meth:`predict`.
            errors: pictures that can't be read are noted here and left out; without it, the first
                raises.
            options: see :meth:`predict`; None leaves one as the model was trained.

        Returns:
            An iterator of the file's path (empty for an array), the picture [H, W, 3] uint8 RGB,
            and its result. A wrong source or option raises at once, not at the first picture.
        """
        chosen = self._checked(options, batch_size, workers)
        return answers(self.runtime, find(source), chosen, batch_size, workers, errors)

    def watch(
        self,
        video: "Video | str | Path | int",
        *,
        every: int = 1,
        batch_size: int = 8,
        workers: int = 2,
        errors: list[DataError] | None = None,
        **options: Any,
    ) -> Iterator[tuple["Frame", Any]]:
        """Say what the frames of a video show.

        Args:
            video: a file, the number of a camera, or what :func:`visionkit.video.open_video` gave.
            every: look at every so many frames.
            batch_size: frames computed at once; of a camera one, so that none waits.
            workers: see :meth:`predict`.
            errors: frames that can't be decoded are noted here and left out; without it, the first
                raises.
            options: see :meth:`predict`.

        Returns:
            An iterator of the frame and its result. A wrong option raises at once.

        Raises:
            DataError: the video can't be opened.
        """
        from visionkit.video import Video, open_video

        if every < 1:
            raise ValueError(f"every is 1 or more, got {every}")
        chosen = self._checked(options, batch_size, workers)
        opened = video if isinstance(video, Video) else open_video(video)
        if opened.live:
            batch_size, workers = 1, 0
        waiting: deque[Frame] = deque()

        def images() -> Iterator[Image]:
            for frame in opened.frames(every, errors):
                waiting.append(frame)
                yield frame.image

        results = answers(self.runtime, images(), chosen, batch_size, workers)
        return ((waiting.popleft(), result) for _, _, result in results)

    def _checked(self, options: dict[str, Any], batch_size: int, workers: int) -> PredictOptions:
        chosen = options_from(options, self.options)
        if batch_size < 1:
            raise ValueError(f"batch_size is 1 or more, got {batch_size}")
        if workers < 0:
            raise ValueError(f"workers is 0 or more, got {workers}")
        if self.runtime.samples:
            raise ConfigError(LOOKS_AT_NONE)
        self.runtime.check_options(looks.once(chosen) if looks.takes(self.runtime) else chosen)
        return chosen

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
        seeds = range(seed, seed + n)
        if self.runtime.conditional and chosen is None:
            chosen = [s % len(self.classes) for s in seeds]
        made: list[Image] = []
        for start in range(0, n, batch_size):
            part = slice(start, start + batch_size)
            wanted = None if chosen is None else one_hot(chosen[part], len(self.classes))
            made += self.runtime.make(latents(seeds[part], self.runtime.latent), wanted, strength)
        known = chosen if chosen is not None else [None] * n
        return [
            Generated(picture, self.classes, label, s)
            for picture, label, s in zip(made, known, seeds, strict=True)
        ]

    def numbers(self, labels: int | str | Sequence[int | str] | None, n: int) -> list[int] | None:
        """Return the class of each of ``n`` pictures, None if none is wanted; see :meth:`sample`.

        Raises:
            ConfigError: the model wants pictures, or there is no such class.
        """
        if not self.runtime.samples:
            raise ConfigError(f"n: {MAKES_NONE}")
        if labels is None:
            return None
        if not self.runtime.conditional:
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


def load(path: str | Path, device: str | None = None) -> Predictor:
    """Load a checkpoint or an exported file for prediction.

    Args:
        path: a ``.ckpt`` that visionkit's training wrote, or an ``.onnx``, ``.pt2`` or OpenVINO
            ``.xml`` that ``visionkit export`` wrote; it needs no other file of the training run.
        device: where to compute; a GPU if there is one, unless given.

    Raises:
        CheckpointError: the file is missing, damaged, or of another kind.
    """
    return Predictor(load_runtime(path, device))


def load_runtime(
    path: str | Path, device: str | None = None, threads: int | None = None
) -> Runtime:
    """Do what :func:`load` does, without what reads pictures.

    Args:
        path: see :func:`load`.
        device: likewise.
        threads: that compute on the processor; as many as the library chooses, unless given. Of
            torch they hold for the whole process.
    """
    kind = FILES.get(Path(path).suffix.lower())
    if kind == "onnx":
        from visionkit.runtimes.onnx import OnnxRuntime

        return OnnxRuntime(path, device, threads)
    if kind == "openvino":
        from visionkit.runtimes.openvino import OpenvinoRuntime

        return OpenvinoRuntime(path, device, threads)
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    if kind == "program":
        from visionkit.runtimes.program import ProgramRuntime

        return ProgramRuntime(path, device)
    from visionkit.checkpoint import load_model
    from visionkit.runtimes.network import NetworkRuntime

    return NetworkRuntime(load_model(path), device)
