"""The order in which batches of several sets come: each batch is of one set."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visionkit.data.index import Index
from visionkit.data.joint_index import JointIndex
from visionkit.data.samplers import EvalSampler, SampleKey, TrainSampler


class AlternatingSampler:
    """Training batches of several sets, in turn and as often as each set is large.

    In an epoch each set is seen as its own sampler shows it, and its batches are spread evenly, so
    that all ranks train the same parts of a network in every step.

    Args:
        samplers: of each set, whose pictures are numbered one set after the other.
    """

    def __init__(self, samplers: Sequence[TrainSampler]) -> None:
        self.samplers = tuple(samplers)
        self.skip = 0

    @property
    def sampler(self) -> "AlternatingSampler":
        """Itself: Lightning calls ``set_epoch`` on a batch sampler's sampler."""
        return self

    @property
    def epochs(self) -> int:
        """Length of the schedule."""
        return self.samplers[0].epochs

    @epochs.setter
    def epochs(self, epochs: int) -> None:
        for sampler in self.samplers:
            sampler.epochs = epochs

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration draws."""
        for sampler in self.samplers:
            sampler.set_epoch(epoch)

    def resume(self, epoch: int, batches: int) -> None:
        """Let the next iteration draw what is left of ``epoch`` after so many batches."""
        self.set_epoch(epoch)
        self.skip = batches % len(self)

    def first_of_each(self) -> list[list[SampleKey]]:
        """The first batch of each set, in the order of the sets."""
        firsts = starts([sampler.count for sampler in self.samplers])
        return [
            [replace(key, index=key.index + first) for key in next(iter(sampler))]
            for first, sampler in zip(firsts, self.samplers, strict=True)
        ]

    def __len__(self) -> int:
        return sum(len(sampler) for sampler in self.samplers)

    def __iter__(self) -> Iterator[list[SampleKey]]:
        skip, self.skip = self.skip, 0
        firsts = starts([sampler.count for sampler in self.samplers])
        draws = [iter(sampler) for sampler in self.samplers]
        for step, which in enumerate(turns([len(sampler) for sampler in self.samplers])):
            keys = next(draws[which])
            if step >= skip:
                yield [replace(key, index=key.index + firsts[which]) for key in keys]


class GroupedEvalSampler:
    """Every picture of several sets exactly once over all ranks, in batches of one set.

    Args:
        counts: pictures of each set.
        batch_size: for each rank; lowered where ranks would be left without a batch.
        rank: of this process.
        ranks: number of processes, at most as many as there are pictures.
    """

    def __init__(
        self, counts: Sequence[int], batch_size: int, rank: int = 0, ranks: int = 1
    ) -> None:
        batches = _batches(counts, batch_size)
        while len(batches) < ranks and batch_size > 1:
            batch_size -= 1
            batches = _batches(counts, batch_size)
        self.mine = batches[rank::ranks]  # a set begins at the rank after the last one's end

    def __len__(self) -> int:
        return len(self.mine)

    def __iter__(self) -> Iterator[list[int]]:
        for places in self.mine:
            yield list(places)


def _batches(counts: Sequence[int], size: int) -> list[range]:
    ends = [(first, first + count) for first, count in zip(starts(counts), counts, strict=True)]
    return [range(i, min(i + size, end)) for first, end in ends for i in range(first, end, size)]


Sampler = TrainSampler | EvalSampler | AlternatingSampler | GroupedEvalSampler


def train_sampler(
    index: Index,
    batch_size: int,
    canvas: tuple[int, int],
    weights: NDArray[np.float64] | None = None,
    **how: Any,
) -> TrainSampler | AlternatingSampler:
    """Make the sampler of a training split, of one set or of several.

    Args:
        index: the split.
        batch_size: for each rank.
        canvas: height and width.
        weights: [N], see :class:`visionkit.data.samplers.TrainSampler`.
        how: its other arguments.
    """
    counts = groups(index)
    if len(counts) == 1:
        return TrainSampler(len(index), batch_size, canvas, weights=weights, **how)
    each = [None] * len(counts) if weights is None else np.split(weights, starts(counts)[1:])
    made = [
        TrainSampler(count, batch_size, canvas, weights=own, **how)
        for count, own in zip(counts, each, strict=True)
    ]
    return AlternatingSampler(made)


def eval_sampler(
    index: Index, batch_size: int, rank: int = 0, ranks: int = 1
) -> EvalSampler | GroupedEvalSampler:
    """Make the sampler of a split that is evaluated; see :func:`train_sampler`."""
    counts = groups(index)
    if len(counts) == 1:
        return EvalSampler(len(index), batch_size, rank, ranks)
    return GroupedEvalSampler(counts, batch_size, rank, ranks)


def groups(index: Index) -> tuple[int, ...]:
    """How many pictures each of an index's sets has."""
    return index.groups if isinstance(index, JointIndex) else (len(index),)


def turns(lengths: Sequence[int]) -> Iterator[int]:
    """Whose turn it is in each step, so that everyone's ``lengths`` turns are spread evenly."""
    given = [0] * len(lengths)
    for _ in range(sum(lengths)):
        # whose next turn, if evenly spread, has its middle earliest
        at = [
            (n + 0.5) / total if n < total else 2.0 for n, total in zip(given, lengths, strict=True)
        ]
        which = at.index(min(at))
        given[which] += 1
        yield which


def starts(counts: Sequence[int]) -> list[int]:
    """Where each of several lists begins if they stand one after the other."""
    return [sum(counts[:i]) for i in range(len(counts))]
