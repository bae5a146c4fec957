"""Drawn masks and predictions, with an index over masks in memory."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from visionkit.data.mask_index import MaskIndex, wrong_size
from visionkit.data.strings import StringTable
from visionkit.errors import DataError
from visionkit.results import VOID, SemanticMask

Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class InMemory:
    """Masks that are arrays."""

    labels: tuple[Labels, ...]

    def mask(self, i: int) -> Labels:
        return self.labels[i]

    def name(self, i: int) -> str:
        return f"mask{i}.png"

    def wrong_size(
        self, i: int, size: tuple[int, int], picture: str, theirs: tuple[int, int]
    ) -> DataError:
        return wrong_size(self.name(i), size, picture, theirs)

    def only(self, keep: NDArray[np.bool_]) -> "InMemory":
        return InMemory(tuple(m for m, k in zip(self.labels, keep, strict=True) if k))


def make_index(
    truths: "list[Labels]", classes: int | tuple[str, ...] = 3, folder: Path | None = None
) -> MaskIndex:
    """An index over masks; with a folder there are pictures, too."""
    names = classes if isinstance(classes, tuple) else tuple(f"c{k}" for k in range(classes))
    files = [f"{folder or ''}/picture{i}.png" for i in range(len(truths))]
    if folder is not None:
        rng = np.random.default_rng(0)
        for file, truth in zip(files, truths, strict=True):
            cv2.imwrite(file, rng.integers(0, 255, (*truth.shape, 3)).astype(np.uint8))
    ids = np.random.default_rng(len(truths)).permutation(10 * len(truths))[: len(truths)]
    return MaskIndex(
        StringTable(files), ids.astype(np.int64), InMemory(tuple(truths)), classes=names
    )


def as_labels(rows: list[list[int]]) -> Labels:
    return np.array(rows, np.uint8)


def draw(seed: int, count: int = 21, classes: int = 7) -> tuple[list[Labels], list[Labels]]:
    """Masks of several sizes, and what is said of them, right about half the time.

    The last class doesn't occur, and the last but one is only said. Some pixels are void, some are
    said to be, one picture is all void, and one is all right.
    """
    rng = np.random.default_rng(seed)
    truths, said = [], []
    for n in range(count):
        height, width = rng.integers(3, 14, 2).tolist()
        scale = int(rng.integers(1, 4))
        truth = np.kron(
            rng.integers(0, classes - 2, (height, width)), np.ones((scale, scale), np.int64)
        )
        guess = rng.integers(0, classes - 1, truth.shape)
        claim = np.where(rng.random(truth.shape) < 0.5, truth, guess)
        if n != 4:
            claim[rng.random(truth.shape) < 0.05] = VOID
        truth[rng.random(truth.shape) < (1.0 if n == 3 else 0.1)] = VOID
        if n == 4:
            claim = np.where(truth == VOID, 0, truth)
        truths.append(truth.astype(np.uint8))
        said.append(claim.astype(np.uint8))
    return truths, said


def by_numpy(truths: list[Labels], said: list[Labels], classes: int) -> dict[str, float]:
    """The figures, from one ``np.bincount`` over all labelled pixels."""
    true = np.concatenate([t.ravel() for t in truths]).astype(np.int64)
    claim = np.concatenate([s.ravel() for s in said]).astype(np.int64)
    claim = np.where(claim == VOID, classes, claim)[true != VOID]
    true = true[true != VOID]
    pairs = np.bincount(true * (classes + 1) + claim, minlength=classes * (classes + 1))
    table = pairs.reshape(classes, classes + 1)
    right = np.diag(table)
    of_truth, of_said = table.sum(1), table[:, :classes].sum(0)
    with np.errstate(invalid="ignore"):
        iou = right / (of_truth + of_said - right)
        accuracy = right / of_truth
        dice = 2 * right / (of_truth + of_said)
    figures = {
        "miou": np.nanmean(iou),
        "pixel_accuracy": right.sum() / table.sum(),
        "mean_accuracy": np.nanmean(accuracy),
        "dice": np.nanmean(dice),
    }
    for kind, values in (("iou", iou), ("accuracy", accuracy), ("dice", dice)):
        figures |= {f"{kind}/c{k}": -1.0 if np.isnan(v) else v for k, v in enumerate(values)}
    return {name: float(value) for name, value in figures.items()}


def masks(said: list[Labels]) -> list[SemanticMask]:
    return [SemanticMask(s) for s in said]
