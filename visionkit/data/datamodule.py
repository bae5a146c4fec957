"""The splits of a data set as loaders, and what a model must know about them."""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import cv2
import lightning
import torch
from torch.utils.data import DataLoader

from visionkit.argtypes import Count, Positive, Range
from visionkit.batch import Batch, collate
from visionkit.data.cache import ImageCache
from visionkit.data.detection import DetectionDataset
from visionkit.data.index import DetectionIndex
from visionkit.data.layout import same_classes
from visionkit.data.samplers import EvalSampler, TrainSampler
from visionkit.data.transforms import DetectionAugment
from visionkit.errors import ConfigError, DataError
from visionkit.ops.distributed import rank, world_size

log = logging.getLogger(__name__)

Layout = Callable[[Path, str], DetectionIndex | None]
CACHE_LIMIT = 1 << 30
"""Bytes up to which ``cache=auto`` keeps decoded pictures in memory."""


@dataclass(frozen=True)
class DataInfo:
    """What a model is built from.

    Attributes:
        classes: names by label.
        canvas: height and width of every picture that the model sees.
    """

    classes: tuple[str, ...]
    canvas: tuple[int, int]


class DataModule(lightning.LightningDataModule):
    """Reads a data set's splits and loads them in batches.

    Args:
        layout: reads one split of a folder, see :mod:`visionkit.data.coco`.
        root: the folder.
        image_size: the canvas: N for a square, or height and width. Multiples of 32 suit most
            networks.
        batch_size: pictures for each rank and step.
        num_workers: processes that load, or ``auto``: one fewer than there are cores, 1 to 8.
        cache: keep decoded training pictures in memory: ``ram``, ``none``, or ``auto``: if they
            take at most 1 GiB.
        multiscale: training canvases differ by up to this part from batch to batch.
        augment: makes training samples.
        seed: of order and augmentation.
        epochs: length of the schedule.

    Attributes:
        splits: those read so far.
        start: epoch, and batches of it, that training goes on after. Lightning tells a sampler
            neither before its workers begin.
    """

    def __init__(
        self,
        layout: Layout,
        root: str,
        image_size: int | Sequence[int] = 640,
        batch_size: Positive = 16,
        num_workers: Count | Literal["auto"] = "auto",
        cache: Literal["auto", "ram", "none"] = "auto",
        multiscale: Annotated[float, Range(0, 0.9)] = 0.0,
        augment: DetectionAugment | None = None,
        seed: int = 0,
        epochs: int = 1,
    ) -> None:
        super().__init__()
        self.layout, self.root = layout, Path(root).expanduser()
        self.canvas = canvas_of(image_size)
        self.batch_size = batch_size
        self.workers = default_workers() if num_workers == "auto" else num_workers
        self.cache, self.multiscale = cache, multiscale
        self.augment, self.seed, self.epochs = augment, seed, epochs
        self.splits: dict[str, DetectionIndex] = {}
        self.start = (0, 0)

    def read(self, *splits: str) -> DataInfo:
        """Read splits that weren't read yet; those that the set lacks are left out.

        Raises:
            DataError: a file is missing or contradicts itself, or no split was found.
        """
        for split in splits:
            if split in self.splits:
                continue
            index = self.layout(self.root, split)
            if index is not None:
                self.splits[split] = index
                for warning in index.warnings:
                    log.warning("%s", warning)
        if not self.splits:
            raise DataError(f"{self.root}: no {' or '.join(splits)} split; check data.root")
        try:
            same_classes(self.splits)
        except DataError as error:
            raise DataError(f"{self.root}: {error}") from error
        return DataInfo(next(iter(self.splits.values())).classes, self.canvas)

    def need(self, split: str) -> DetectionIndex:
        """Return a split that must be there.

        Raises:
            DataError: it isn't.
        """
        self.read(split)
        if split not in self.splits:
            raise DataError(
                f"{self.root}: no {split} split; there are {', '.join(sorted(self.splits))}; "
                "add it or choose another data.root"
            )
        return self.splits[split]

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches of augmented samples."""
        index = self.need("train")
        if not len(index.boxes):
            raise DataError(
                f"{self.root}: no picture of the train split has a box to learn from; "
                "check its annotations"
            )
        room = ImageCache.size(len(index), *self.canvas)
        keep = self.cache == "ram" or (self.cache == "auto" and room <= CACHE_LIMIT)
        cache = ImageCache(len(index), *self.canvas) if keep and not self.multiscale else None
        dataset = DetectionDataset(index, self.canvas, self.augment, self.seed, cache)
        sampler = TrainSampler(
            len(index),
            self.batch_size,
            self.canvas,
            seed=self.seed,
            close=self.augment.close_mosaic if self.augment else 0.0,
            multiscale=self.multiscale,
            rank=rank(),
            ranks=world_size(),
        )
        sampler.epochs = self._schedule(len(sampler))
        sampler.resume(*self.start)
        return self._loader(dataset, sampler)

    def _schedule(self, batches: int) -> int:
        """Epochs until training ends, be it by ``max_epochs`` or by ``max_steps``."""
        trainer = self.trainer
        if trainer is None or trainer.max_steps < 0:
            return self.epochs
        limit = trainer.limit_train_batches
        if limit is not None:
            batches = int(batches * limit) if isinstance(limit, float) else min(batches, limit)
        steps = -(-max(1, batches) // trainer.accumulate_grad_batches)
        by_steps = -(-trainer.max_steps // steps)
        unbounded = trainer.max_epochs in (None, -1)
        return by_steps if unbounded else min(by_steps, self.epochs)

    def val_dataloader(self) -> DataLoader[Batch] | list[DataLoader[Batch]]:
        """The validation split, whole and in order; nothing where the set has none."""
        self.read("train", "val")
        return self.eval_dataloader("val") if "val" in self.splits else []

    def eval_dataloader(self, split: str) -> DataLoader[Batch]:
        """A split, whole and in order, letterboxed.

        Raises:
            DataError: it has fewer pictures than there are ranks, so that some would be idle and
                the others wait for them.
        """
        index = self.need(split)
        if len(index) < world_size():
            raise DataError(
                f"{self.root}: the {split} split has {len(index)} pictures for {world_size()} "
                "ranks; use fewer devices or add pictures"
            )
        sampler = EvalSampler(len(index), self.batch_size, rank(), world_size())
        return self._loader(DetectionDataset(index, self.canvas), sampler)

    def _loader(
        self, dataset: DetectionDataset, sampler: TrainSampler | EvalSampler
    ) -> DataLoader[Batch]:
        return DataLoader(
            cast(Any, dataset),
            batch_sampler=cast(Any, sampler),
            num_workers=self.workers,
            collate_fn=collate,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self.workers > 0,
            worker_init_fn=_one_thread,
        )


def _one_thread(_: int) -> None:
    cv2.setNumThreads(0)


def default_workers() -> int:
    """One fewer than the cores this process may use, 1 to 8."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2
    )
    return min(8, max(1, cores - 1))


def canvas_of(image_size: int | Sequence[int]) -> tuple[int, int]:
    """Height and width from N or [H, W].

    Raises:
        ConfigError: it is neither.
    """
    sides = [image_size] * 2 if isinstance(image_size, int) else list(image_size)
    if len(sides) != 2 or not all(isinstance(s, int) and s >= 32 for s in sides):
        raise ConfigError(
            f"data.image_size: {image_size} must be N or [H, W] of whole numbers from 32"
        )
    return sides[0], sides[1]
