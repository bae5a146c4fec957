"""The splits of a data set as loaders, and what a model must know about them."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import cv2
import lightning
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from visionkit.argtypes import Count, Positive, Range
from visionkit.batch import Batch, collate
from visionkit.data.augment import Augment
from visionkit.data.cache import ImageCache
from visionkit.data.cache_rooms import Folder, folder_of, shared
from visionkit.data.class_lists import same_classes
from visionkit.data.cores import cores
from visionkit.data.dropping import Dropping
from visionkit.data.fingerprint import fingerprint
from visionkit.data.index import DataInfo, Index, Layout
from visionkit.data.joint_index import JointIndex
from visionkit.data.joint_samplers import Sampler, eval_sampler, train_sampler
from visionkit.data.prefetch import Loader
from visionkit.errors import ConfigError, DataError
from visionkit.ops.distributed import rank, world_size

log = logging.getLogger(__name__)

CACHE_LIMIT = 1 << 30
"""Bytes up to which ``cache=auto`` keeps decoded pictures in memory."""


class DataModule(lightning.LightningDataModule):
    """Reads a data set's splits and loads them in batches.

    Args:
        layout: reads one split of a folder, see :mod:`visionkit.data.coco`.
        root: the folder.
        image_size: the canvas: N for a square, or height and width. Multiples of 32 suit most
            networks.
        batch_size: pictures for each rank and step.
        num_workers: processes that load, or ``auto``: one fewer than there are cores, 1 to 8.
        cache: keep decoded training pictures, once for all workers and ranks of a machine: in
            memory (``ram``), in files that the next run finds again (``disk``), ``none``, or
            ``auto``: in memory if they take at most 1 GiB.
        cache_dir: where ``disk`` keeps them; None for the person's own folder of caches.
        multiscale: training canvases differ by up to this part from batch to batch.
        sampling: ``uniform``: each picture once an epoch; ``balanced``: as many draws, but so that
            classes come about equally often.
        defects: ``stop`` at the first annotation, picture or class that can't be used, or ``drop``
            them all and go on, see :class:`visionkit.data.dropping.Dropping`.
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
        cache: Literal["auto", "ram", "disk", "none"] = "auto",
        cache_dir: str | None = None,
        multiscale: Annotated[float, Range(0, 0.9)] = 0.0,
        sampling: Literal["uniform", "balanced"] = "uniform",
        defects: Literal["stop", "drop"] = "stop",
        augment: Augment | None = None,
        seed: int = 0,
        epochs: int = 1,
    ) -> None:
        super().__init__()
        if not callable(layout):
            raise ConfigError(
                f"data.layout: {layout!r} reads no data set; give its function as "
                "{_target_: visionkit.data.coco.read_coco, _partial_: true}, or choose data=coco"
            )
        self.layout, self.root = layout, Path(root).expanduser()
        self.canvas = canvas_of(image_size)
        if multiscale and min(self.canvas) < 64:
            raise ConfigError(
                f"data.multiscale: a canvas of {min(self.canvas)} pixels can't vary by 32; "
                "leave it 0 or choose a data.image_size from 64"
            )
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.cache, self.cache_dir = cache, cache_dir
        self.multiscale, self.sampling = multiscale, sampling
        self.augment, self.seed, self.epochs = augment, seed, epochs
        self.splits: dict[str, Index] = {}
        self._dropping = Dropping(layout, self.root) if defects == "drop" else None
        self.start = (0, 0)
        self._caches = True

    def read(self, *splits: str) -> DataInfo:
        """Read splits that weren't read yet; those that the set lacks are left out.

        Raises:
            DataError: a file is missing or contradicts itself, or no split was found.
        """
        wanted = [split for split in splits if split not in self.splits]
        if self._dropping is not None:
            for split, index in self._dropping.read(wanted).items():
                self._add(split, index)
        else:
            for split in wanted:
                self._add(split, self.layout(self.root, split))
        if not self.splits:
            raise DataError(f"{self.root}: no {' or '.join(splits)} split; check data.root")
        same_classes(self.root, self.splits)
        first = self.splits.get("train") or next(iter(self.splits.values()))
        told = (first.kind, first.counts, first.exclusive, first.grey)
        parts = first.infos(self.canvas) if isinstance(first, JointIndex) else {}
        return DataInfo(first.classes, self.canvas, *told, parts=parts)

    def _add(self, split: str, index: Index | None) -> None:
        if index is not None:
            self.splits[split] = index
            for warning in index.warnings:
                log.warning("%s", warning)

    def need(self, split: str) -> Index:
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
        reason = index.untrainable()
        if reason is not None:
            raise DataError(f"{self.root}: train split: {reason}; check its annotations")
        dataset = self._training(index)
        sampler = train_sampler(
            index,
            self.batch_size,
            self.canvas,
            seed=self.seed,
            close=self.augment.close if self.augment else 0.0,
            multiscale=self.multiscale,
            weights=index.weights() if self.sampling == "balanced" else None,
            rank=rank(),
            ranks=world_size(),
        )
        sampler.epochs = self._schedule(len(sampler))
        sampler.resume(*self.start)
        return self._loader(dataset, sampler)

    def _training(self, index: Index) -> Dataset[Any]:
        """Training samples; a cache is made, or refused, only where they can be kept."""
        how = (self.canvas, self.augment, self.seed)
        dataset = index.dataset(*how)
        self._caches = not self.multiscale and getattr(dataset, "caches", True)
        if self._caches:
            cache = self._cache(index)
            return dataset if cache is None else index.dataset(*how, cache)
        if self.cache in ("ram", "disk") and not getattr(dataset, "batched", False):
            log.warning(
                "data.cache: %s isn't used: training pictures are of sizes that differ, or are cut "
                "from the original ones",
                self.cache,
            )
        return dataset

    def _cache(self, index: Index) -> ImageCache | None:
        """What the training pictures are kept in, if they are."""
        if self.cache == "none" or (self.cache == "auto" and self._room(index) > CACHE_LIMIT):
            return None
        if self.cache != "disk":
            return ImageCache(len(index), *self.canvas, place=shared)
        folder = folder_of(self.root, self.cache_dir)
        place = Folder(folder, "train", fingerprint(index, self.root.absolute()))
        return ImageCache(len(index), *self.canvas, place=place)

    def could_keep(self) -> int | None:
        """Bytes that a cache of the training pictures would take; None if there can be no other."""
        index = self.splits.get("train")
        if index is None or not self._caches or self.cache in ("ram", "disk"):
            return None
        room = self._room(index)
        return None if self.cache == "auto" and room <= CACHE_LIMIT else room

    def _room(self, index: Index) -> int:
        """Bytes that a full cache takes; an index whose dataset keeps more than that says so."""
        own = getattr(index, "cached_bytes", None)
        if own is not None:
            return int(own(self.canvas, self.augment))
        return ImageCache.size(len(index), *self.canvas)

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
        sampler = eval_sampler(index, self.batch_size, rank(), world_size())
        return self._loader(index.dataset(self.canvas), sampler)

    def _loader(self, dataset: Dataset[Any], sampler: Sampler) -> DataLoader[Batch]:
        batched = bool(getattr(dataset, "batched", False))
        if self.num_workers == "auto":  # what lies in memory as an array is faster at hand
            workers = 0 if batched else default_workers()
        else:
            workers = int(self.num_workers)
        how: dict[str, Any] = (
            {"sampler": sampler, "batch_size": None, "collate_fn": _as_it_is}
            if batched
            else {"batch_sampler": sampler, "collate_fn": collate}
        )
        loader = Loader(
            dataset,
            num_workers=workers,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=workers > 0,
            worker_init_fn=_one_thread,
            **how,
        )
        if self.trainer is not None:
            loader.device = self.trainer.strategy.root_device
        return loader

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Mix pictures of a training batch, if the augmentation does so."""
        trainer = self.trainer
        if trainer is None or not trainer.training or self.augment is None:
            return batch
        # counted within the epoch: a step that an interrupt undid is done again alike
        batch_idx = trainer.fit_loop.batch_idx + 1
        rng = np.random.default_rng((self.seed, trainer.current_epoch, batch_idx, rank()))
        return self.augment.mix(batch, rng)


def _as_it_is(batch: Batch) -> Batch:
    return batch


def _one_thread(_: int) -> None:
    cv2.setNumThreads(0)


def default_workers() -> int:
    """One fewer than the cores this process may use, 1 to 8."""
    return min(8, max(1, cores() - 1))


def canvas_of(image_size: int | Sequence[int]) -> tuple[int, int]:
    """Height and width from N or [H, W].

    Raises:
        ConfigError: it is neither.
    """
    sides = [image_size] * 2 if isinstance(image_size, int) else list(image_size)
    if len(sides) != 2 or not all(isinstance(s, int) and s >= 8 for s in sides):
        raise ConfigError(
            f"data.image_size: {image_size} must be N or [H, W] of whole numbers from 8"
        )
    return sides[0], sides[1]
