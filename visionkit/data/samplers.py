"""In which order, and as which batches, samples are drawn on each rank."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visionkit.errors import ConfigError


@dataclass(frozen=True)
class SampleKey:
    """All that a training sample depends on, besides the seed.

    Attributes:
        index: of the picture.
        epoch: counts from 0.
        whole: whether the sample is of one whole picture (no mosaic any more).
        canvas: height and width.
        draw: which of the epoch's draws of the picture it is, where it may be drawn repeatedly.
    """

    index: int
    epoch: int
    whole: bool
    canvas: tuple[int, int]
    draw: int = 0


class TrainSampler:
    """Batches of a new order each epoch, the same on every run with the same seed.

    Every rank gets the same number of batches; the few samples left over are taken from the front
    of the epoch's order again, so that no rank waits for another.

    Args:
        count: number of pictures.
        batch_size: for each rank.
        canvas: height and width.
        seed: of the order.
        epochs: length of the schedule.
        close: the last part of the schedule, 0..1, whose samples are whole.
        multiscale: batches differ in canvas by up to this part, in steps of 32 pixels.
        weights: [count], how often to draw each picture, at random with replacement; None for
            every picture once.
        rank: of this process.
        ranks: number of processes.
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        canvas: tuple[int, int],
        seed: int = 0,
        epochs: int = 1,
        close: float = 0.0,
        multiscale: float = 0.0,
        weights: NDArray[np.float64] | None = None,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self.weights = None if weights is None else weights / weights.sum()
        self.count, self.batch_size, self.canvas = count, batch_size, canvas
        self.seed, self.epochs, self.close = seed, epochs, close
        self.multiscale, self.rank, self.ranks = multiscale, rank, ranks
        self.epoch = 0
        self.skip = 0
        if count == 0:
            raise ConfigError("data.root: the training split has no pictures; check the folder")

    @property
    def sampler(self) -> "TrainSampler":
        """Itself: Lightning calls ``set_epoch`` on a batch sampler's sampler."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration draws."""
        self.epoch = epoch

    def resume(self, epoch: int, batches: int) -> None:
        """Let the next iteration draw what is left of ``epoch`` after so many batches."""
        self.epoch, self.skip = epoch, batches % len(self)

    def __len__(self) -> int:
        per_rank = -(-self.count // self.ranks)
        return -(-per_rank // self.batch_size)

    def __iter__(self) -> Iterator[list[SampleKey]]:
        rng = np.random.default_rng((self.seed, self.epoch))
        if self.weights is None:
            order = rng.permutation(self.count)
        else:
            order = rng.choice(self.count, self.count, p=self.weights)
        short = -self.count % self.ranks
        rest = (self.count + short) // self.ranks % self.batch_size
        if rest == 1 and self.count > self.ranks:
            short += self.ranks  # a norm can't do with a batch of one small map
        if short:
            order = np.concatenate([order, np.resize(order, short)])
        mine, draws = order[self.rank :: self.ranks], nth(order)[self.rank :: self.ranks]
        whole = self.epoch >= round(self.epochs * (1 - self.close))
        skip, self.skip = self.skip, 0
        for batch, start in enumerate(range(0, len(mine), self.batch_size)):
            canvas = self._canvas(rng)
            if batch < skip:
                continue
            part = slice(start, start + self.batch_size)
            yield [
                SampleKey(int(i), self.epoch, whole, canvas, int(draw))
                for i, draw in zip(mine[part], draws[part], strict=True)
            ]

    def _canvas(self, rng: np.random.Generator) -> tuple[int, int]:
        if not self.multiscale:
            return self.canvas
        factor = rng.uniform(1 - self.multiscale, 1 + self.multiscale)
        height, width = (max(32, round(side * factor / 32) * 32) for side in self.canvas)
        return height, width


def nth(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often each value of [N] has come before."""
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    lengths = np.diff(np.append(starts, len(values)))
    found = np.empty(len(values), np.int64)
    found[order] = np.arange(len(values)) - np.repeat(starts, lengths)
    return found


class EvalSampler:
    """Every picture exactly once over all ranks: nothing padded, nothing dropped.

    Whole batches are dealt out, so that a batch holds the same pictures whatever the number of
    ranks: losses that are normalised by batch, and the last bits of results, are those of one rank.

    Args:
        count: number of pictures.
        batch_size: for each rank; lowered where ranks would be left without a batch.
        rank: of this process.
        ranks: number of processes.
    """

    def __init__(self, count: int, batch_size: int, rank: int = 0, ranks: int = 1) -> None:
        if ranks > 1:
            batch_size = min(batch_size, max(1, (count - 1) // (ranks - 1)))
        self.count, self.batch_size = count, batch_size
        self.mine = range(rank * batch_size, count, ranks * batch_size)

    def __len__(self) -> int:
        return len(self.mine)

    def __iter__(self) -> Iterator[list[int]]:
        for start in self.mine:
            yield list(range(start, min(start + self.batch_size, self.count)))
