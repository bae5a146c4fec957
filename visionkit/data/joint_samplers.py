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
        batch_size: for each rank.
        rank: of this process.
        ranks: number of processes.
    """

    def __init__(
        self, counts: Sequence[int], batch_size: int, rank: int = 0, ranks: int = 1
    ) -> None:
        self.firsts = starts(counts)
        self.samplers = [EvalSampler(count, batch_size, rank, ranks) for count in counts]

    def __len__(self) -> int:
        return sum(len(sampler) for sampler in self.samplers)

    def __iter__(self) -> Iterator[list[int]]:
        for first, sampler in zip(self.firsts, self.samplers, strict=True):
            for places in sampler:
                yield [first + place for place in places]


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
