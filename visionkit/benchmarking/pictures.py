"""Pictures to measure with."""

from pathlib import Path
from typing import Any

import numpy as np

from visionkit.data import drawing
from visionkit.report import write_picture

COUNT = 8
"""Pictures that are drawn."""
MOST = 32
"""Pictures of a split that are taken."""
SIZE = (480, 640)
"""Height and width of those that are drawn: as far as a small camera's."""


def drawn(folder: Path) -> list[Path]:
    """Draw pictures of one shape each, on gradients with noise, and write them as JPEG files.

    Args:
        folder: where they go.
    """
    files = [folder / f"{number}.jpg" for number in range(COUNT)]
    for number, file in enumerate(files):
        rng = np.random.default_rng(number)
        name = drawing.CLASSES[number % len(drawing.CLASSES)]
        write_picture(file, drawing.one_shape(rng, name, SIZE, (80, 320)))
    return files


def of_split(index: Any, canvas: tuple[int, int], folder: Path) -> list[Path]:
    """Find the files of pictures from all over a split.

    Args:
        index: of the split, see :class:`visionkit.data.index.Index`.
        canvas: height and width.
        folder: where pictures go that have no file of their own.
    """
    dataset: Any = index.dataset(canvas)
    count = min(MOST, len(index))
    files: list[Path] = []
    for number, place in enumerate(np.linspace(0, len(index) - 1, count).round().astype(int)):
        if getattr(dataset, "batched", False):
            batch = dataset[[int(place)]]
            meta, image = batch.meta[0], batch.images[0].permute(1, 2, 0).numpy()
        else:
            sample = dataset[int(place)]
            meta, image = sample.meta, sample.image
        file = Path(meta.path)
        if not meta.path or not file.is_file():
            file = folder / f"{number}.png"
            write_picture(file, np.ascontiguousarray(meta.letterbox.unframe(image)))
        files.append(file)
    return files
