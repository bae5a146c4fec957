"""Whether an exported file says what its checkpoint says, on real pictures."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from visionkit.about import About
from visionkit.data.index import Index
from visionkit.export.compare import SLACK, Difference, difference, merged
from visionkit.geometry import Image, Letterbox
from visionkit.options import PredictOptions, options_from
from visionkit.results import Generated
from visionkit.runtimes.base import Runtime, latents, one_hot
from visionkit.runtimes.torch_math import full_precision
from visionkit.sample import ImageMeta

BATCHES = (1, 3)
UNSEEN = 4
"""Canvases of other sizes than the training run's."""
_FACTORS = ((0.75, 1.25), (1.25, 0.75), (0.5, 1.0), (1.5, 1.5))

_EXACT = {
    "boxes": 0.05,
    "scores": 1e-3,
    "labels": 0.0,
    "unmatched": 0.0,
    "probabilities": 1e-3,
    "masks": 1e-3,
    "pictures": 1.0,
    "figure": 1e-3,
}
TOLERANCES: Mapping[str, Mapping[str, float]] = {
    "fp32": _EXACT,
    # where two boxes of one object are about equally good, the other one may suppress: that is as
    # good, but pixels away, so boxes are left to the figure
    "fp16": {
        "scores": 0.02,
        "probabilities": 0.02,
        "masks": 0.01,
        "pictures": 8.0,
        "figure": 5e-3,
    },
    "int8": {},
}
"""What may differ by how much, by precision; what isn't there may differ by anything.

The names are those of :data:`visionkit.export.compare.Difference`, and ``figure``: that of the
evaluator's ``monitor``, in parts of it where it is above 1.
"""


def tolerance(precision: str, given: Mapping[str, float | None]) -> dict[str, float]:
    """Return what may differ by how much.

    Args:
        precision: ``fp32``, ``fp16`` or ``int8``.
        given: values by name, in the place of those of the precision; None leaves one.
            ``scores`` counts for probabilities, too.
    """
    chosen = {name: limit for name, limit in given.items() if limit is not None and name in _EXACT}
    if "scores" in chosen:
        chosen["probabilities"] = chosen["scores"]
    return {**TOLERANCES[precision], **chosen}


def canvases(about: About) -> list[tuple[int, int]]:
    """Return the sizes that a file is proven on: the training run's, and others if it takes any.

    These lie across and upright, one is smaller and one larger; where sides may be any number, one
    is the least, and one has odd sides.
    """
    chosen = [about.canvas]
    if about.says == "noise" or not about.sizes.canvas:
        return chosen
    step, (height, width) = about.sizes.multiple, about.canvas
    least = -(-about.sizes.least // step) * step
    scaled = [(f * height, g * width) for f, g in _FACTORS]
    if step == 1:
        scaled[2:] = [(least, least + 1), (int(scaled[3][0]) | 1, (int(scaled[3][1]) | 1) + 2)]
    stepped = (
        (height + rows * step, width + columns * step)
        for n in itertools.count(1)
        for rows, columns in ((0, n), (n, 0))
    )
    for size in itertools.chain(scaled, stepped):
        if len(chosen) > UNSEEN:
            break
        rows, columns = (max(least, round(side / step) * step) for side in size)
        if (rows, columns) not in chosen:
            chosen.append((rows, columns))
    return chosen


def batches(about: About) -> tuple[int, ...]:
    """Return how many pictures at once a file is proven on."""
    return BATCHES if about.sizes.batch else BATCHES[:1]


def proving_options(about: About) -> PredictOptions:
    """The options that were built into a file, and every score that it gives."""
    return replace(options_from(about.predict), confidence=about.floor)


def pictures_of(index: Index, count: int) -> list[tuple[str, Image]]:
    """Return at most ``count`` pictures of a split, spread over it, each with its name."""
    split: Any = index
    return [(str(split.path(i)) or f"picture {i}", split.image(i)) for i in spread(index, count)]


def spread(index: Index, count: int | None) -> list[int]:
    """Return the places of at most ``count`` pictures, evenly spread over a split; None: of all."""
    size = len(index)
    if count is None or count >= size:
        return list(range(size))
    return [n * size // count for n in range(count)]


@dataclass(frozen=True)
class Row:
    """What differs on one canvas and with one size of batches.

    Attributes:
        canvas: height and width.
        batch: pictures at once.
        pictures: their number.
        difference: of all of them together.
        worst: by the name of what differs, the picture where it does so most; left out if none
            differs.
    """

    canvas: tuple[int, int]
    batch: int
    pictures: int
    difference: Difference
    worst: Mapping[str, str]


def prove(
    reference: Runtime,
    file: Runtime,
    pictures: Sequence[tuple[str, Image]],
    sizes: Sequence[tuple[int, int]],
    numbers: Sequence[int],
    options: PredictOptions,
    slack: float = SLACK,
) -> list[Row]:
    """Give a checkpoint and a file the same canvases, and compare what they say, canvas pixels all.

    Runtimes that make pictures from noise make as many as there are pictures, from the same noise.

    Args:
        reference: the checkpoint's network.
        file: the exported one.
        pictures: each with its name.
        sizes: canvases that they are letterboxed onto.
        numbers: of pictures that the file is given at once; the reference gets as many as the
            largest of them.
        options: that both follow.
        slack: see :func:`visionkit.export.compare.difference`.

    Returns:
        A row for each canvas and number.

    Raises:
        VisionkitError: the file can't be run on such canvases.
    """
    rows = []
    names = [f"seed {n}" if file.samples else name for n, (name, _) in enumerate(pictures)]
    with full_precision():
        for canvas in sizes:
            inputs = _Inputs(file, [image for _, image in pictures], canvas)
            expected = inputs.answers(reference, max(numbers), options)
            for number in numbers:
                found = inputs.answers(file, number, options)
                pairs = zip(expected, found, strict=True)
                parts = [difference(one, other, options, slack) for one, other in pairs]
                rows.append(_row(canvas, number, names, parts))
    return rows


def _row(
    canvas: tuple[int, int], number: int, names: Sequence[str], parts: list[Difference]
) -> Row:
    total, worst = merged(parts), {}
    for name in total:
        values = [part[name] for part in parts]
        if max(values):
            worst[name] = names[values.index(max(values))]
    return Row(canvas, number, len(parts), total, worst)


class _Inputs:
    """What several runtimes are given alike: canvases, or noise.

    Args:
        runtime: one of them.
        images: that go onto the canvas; of noise their number counts.
        canvas: height and width.
    """

    def __init__(self, runtime: Runtime, images: Sequence[Image], canvas: tuple[int, int]) -> None:
        self.count, self.z = len(images), None
        if runtime.samples:
            self.z = latents(range(len(images)), runtime.latent)
            wanted = [n % max(1, len(runtime.classes)) for n in range(len(images))]
            self.labels = one_hot(wanted, len(runtime.classes)) if runtime.conditional else None
            return
        seen = [Letterbox((i.shape[0], i.shape[1]), canvas).apply(i) for i in images]
        self.images = np.stack(seen).transpose(0, 3, 1, 2)
        self.meta = ImageMeta(0, "", Letterbox(canvas, canvas))

    def answers(self, runtime: Runtime, number: int, options: PredictOptions) -> list[Any]:
        """Return a result for each input, asked for so many at once; the last are filled up."""
        found: list[Any] = []
        groups = -(-self.count // number)
        for part in np.resize(np.arange(self.count), (groups, number)):
            if self.z is None:
                images = np.ascontiguousarray(self.images[part])
                found += runtime.predict(images, [self.meta] * number, options)
            else:
                labels = None if self.labels is None else self.labels[part]
                made = runtime.make(self.z[part], labels, options.truncation)
                found += [Generated(picture) for picture in made]
        return found[: self.count]
