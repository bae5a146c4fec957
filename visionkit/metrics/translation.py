"""Figures of pictures that were turned into others: how far they are from what they should be."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from visionkit.data.defects import naming_way_out
from visionkit.errors import ConfigError
from visionkit.geometry import Image, resize_image
from visionkit.metrics.base import PartsEvaluator
from visionkit.metrics.tables import write_csv
from visionkit.results import Generated, Result

CAP = 100.0
"""Of the ratio of equal pictures, in dB."""
_WINDOW, _SIGMA = 11, 1.5
_PATIENCE = ((0.01 * 255) ** 2, (0.03 * 255) ** 2)


class Pairs(Protocol):
    """A split of pictures and what they are to be turned into."""

    @property
    def kind(self) -> str: ...  # noqa: D102

    @property
    def image_ids(self) -> NDArray[np.int64]: ...  # noqa: D102

    def path(self, i: int) -> object:
        """The file of picture ``i``."""
        ...

    def target(self, i: int) -> Image:
        """What picture ``i`` is to be turned into, [H, W, 3] uint8 RGB."""
        ...


@dataclass(frozen=True)
class Scores:
    """Those of n pictures.

    Attributes:
        image_ids: [n] int64.
        values: [n, 3] float64: l1, psnr, ssim.
    """

    image_ids: NDArray[np.int64]
    values: NDArray[np.float64]


class TranslationEvaluator(PartsEvaluator):
    """Compares each made picture with the one of its pair, at that one's own size.

    Figures, means over the pictures:

    - ``l1``: the absolute difference, of values 0..1.
    - ``psnr``: the peak signal-to-noise ratio in dB, 100 for equal pictures.
    - ``ssim``: the structural similarity, see :func:`ssim`.

    Without pictures each is -1. How pictures are ordered, batched or shared among ranks changes
    nothing, not even the last bit.

    Args:
        index: the split.

    Raises:
        ConfigError: its pictures have no partners.
    """

    monitor = "l1"
    mode = "min"

    def __init__(self, index: Pairs) -> None:
        if index.kind != "pairs":
            raise ConfigError(
                f"evaluator: TranslationEvaluator compares pictures with their partners, and the "
                f"data has none (its kind is {index.kind}); choose data=pairs or another evaluator"
            )
        self.index = index
        super().__init__(index.image_ids)

    def update(self, image_ids: Sequence[int], results: Sequence[Result]) -> None:
        """Take what a few pictures were turned into.

        Raises:
            ValueError: a picture came twice or isn't of this split.
            DataError: the other picture of a pair can't be read.
        """
        if len(image_ids) != len(results):
            raise ValueError(f"{len(image_ids)} image ids for {len(results)} results")
        for image_id, result in zip(image_ids, results, strict=True):
            place = self._place(int(image_id))
            with naming_way_out():
                truth = self.index.target(place)
            made = resize_image(cast(Generated, result).image, (truth.shape[0], truth.shape[1]))
            row = [l1(made, truth), psnr(made, truth), ssim(made, truth)]
            self._add(Scores(np.array([image_id], np.int64), np.array([row])))

    def scores(self) -> Scores:
        """Return the figures of each picture, in the order of the index."""
        parts: list[Scores] = self._parts
        ids = np.concatenate([np.zeros(0, np.int64), *(p.image_ids for p in parts)])
        values = np.concatenate([np.zeros((0, 3)), *(p.values for p in parts)])
        order = np.argsort([self._position[i] for i in ids.tolist()], kind="stable").astype(int)
        return Scores(ids[order], values[order])

    def state(self) -> Scores:
        """What this rank has seen."""
        return self.scores()

    def compute(self) -> dict[str, float]:
        """Return the figures that the class lists."""
        values = self.scores().values
        means = values.mean(0).tolist() if len(values) else [-1.0, -1.0, -1.0]
        return dict(zip(("l1", "psnr", "ssim"), means, strict=True))

    def report(self, folder: Path) -> None:
        """Write ``pictures.csv``: the id, file and figures of each picture, the worst l1 first."""
        folder.mkdir(parents=True, exist_ok=True)
        scores = self.scores()
        rows: list[list[object]] = []
        for n in np.argsort(-scores.values[:, 0], kind="stable").tolist():
            image_id = int(scores.image_ids[n])
            file = str(self.index.path(self._position[image_id]))
            rows.append([image_id, file, *(f"{v:.6f}" for v in scores.values[n].tolist())])
        header = ("image_id", "file", "l1", "psnr", "ssim")
        write_csv(folder / "pictures.csv", header, rows)


def l1(made: Image, truth: Image) -> float:
    """Return the mean absolute difference of two uint8 pictures, 0..1."""
    return float(cv2.absdiff(made, truth).mean() / 255)


def psnr(made: Image, truth: Image) -> float:
    """Return the peak signal-to-noise ratio of two uint8 pictures in dB, at most 100."""
    error = float(np.square(made.astype(np.float64) - truth).mean())
    return CAP if error == 0 else min(CAP, float(10 * np.log10(255**2 / error)))


def ssim(made: Image, truth: Image) -> float:
    """Return the mean structural similarity of two uint8 pictures [H, W, C] (Wang et al. 2004).

    With the paper's constants and its window, a Gaussian of 11 x 11 pixels with a deviation of 1.5,
    in each channel by itself, over the places where the window lies inside. Pictures of less than
    11 pixels have the largest odd window that they hold.
    """
    x, y = made.astype(np.float64), truth.astype(np.float64)
    mean_x, mean_y = _windowed(x), _windowed(y)
    var_x = _windowed(x * x) - mean_x**2
    var_y = _windowed(y * y) - mean_y**2
    shared = _windowed(x * y) - mean_x * mean_y
    light, contrast = _PATIENCE
    above = (2 * mean_x * mean_y + light) * (2 * shared + contrast)
    below = (mean_x**2 + mean_y**2 + light) * (var_x + var_y + contrast)
    return float((above / below).mean())


def _windowed(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted means of the windows that lie inside a picture [H, W, C]."""
    kernels = [_gaussian(side) for side in x.shape[:2]]
    found = cv2.sepFilter2D(x, cv2.CV_64F, kernels[1], kernels[0])
    top, left = (len(k) // 2 for k in kernels)
    height, width = x.shape[:2]
    return np.asarray(found[top : height - top, left : width - left], np.float64)


def _gaussian(side: int) -> NDArray[np.float64]:
    reach = min(_WINDOW, side - 1 + side % 2) // 2
    weights = np.exp(-np.square(np.arange(-reach, reach + 1)) / (2 * _SIGMA**2))
    return np.asarray(weights / weights.sum(), np.float64)
