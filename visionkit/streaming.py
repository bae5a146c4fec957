"""Pictures in, results out, a few at a time, whatever runtime answers. No torch."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from visionkit import looks
from visionkit.errors import DataError
from visionkit.geometry import Image
from visionkit.options import PredictOptions
from visionkit.runtimes.base import Runtime
from visionkit.sample import Sample
from visionkit.sources import read_samples

PIXELS = 1 << 21
"""Of canvases of their own size that are computed together: eight of 512 by 512."""


def answers(
    runtime: Runtime,
    items: Iterable[Path | Image],
    options: PredictOptions,
    batch_size: int,
    workers: int = 0,
    errors: list[DataError] | None = None,
) -> Iterator[tuple[str, Image, Any]]:
    """Ask a runtime about pictures, in order.

    Args:
        runtime: that looks at pictures.
        items: see :func:`visionkit.sources.read_samples`; taken as they are needed.
        options: checked ones.
        batch_size: canvases computed at once; fewer where they keep their size and it is large.
        workers: threads that read while others are computed.
        errors: pictures that can't be read are noted here and left out; without it, the first
            raises.

    Yields:
        The file's path (empty for an array), the picture [H, W, 3] uint8 RGB, and its result.
    """
    by_looks = looks.takes(runtime) and looks.several(options)
    window = None if by_looks else options.window
    # large pictures don't wait for one another, and their windows fill the batches
    ahead = batch_size if options.window is None else 0
    together = 1 if by_looks and options.window else batch_size
    pairs = read_samples(items, runtime.canvas, errors, window, workers, ahead)
    for chunk in _of_one_canvas(pairs, together, PIXELS if window else None):
        samples, images = [sample for sample, _ in chunk], [image for _, image in chunk]
        if by_looks:
            results: list[Any] = looks.detect(runtime, images, options, batch_size)
        else:
            canvases = np.stack([sample.image.transpose(2, 0, 1) for sample in samples])
            results = runtime.predict(canvases, [sample.meta for sample in samples], options)
        for sample, image, result in zip(samples, images, results, strict=True):
            yield sample.meta.path, image, runtime.named(result)


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
