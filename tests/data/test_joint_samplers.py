"""Steps that alternate between sets: evenly, alike on all ranks, resumable."""

import numpy as np
import pytest

from visionkit.data.joint_samplers import AlternatingSampler, GroupedEvalSampler, turns
from visionkit.data.samplers import TrainSampler

COUNTS = (20, 7)


def make(rank=0, ranks=1, **how):
    samplers = [TrainSampler(n, 2, (64, 64), seed=3, rank=rank, ranks=ranks, **how) for n in COUNTS]
    return AlternatingSampler(samplers)


@pytest.mark.parametrize("lengths", [(4, 4), (6, 2), (1, 5), (3, 2, 1)])
def test_turns_are_spread_evenly(lengths):
    order = list(turns(lengths))
    assert [order.count(i) for i in range(len(lengths))] == list(lengths)
    for i, total in enumerate(lengths):
        places = [t for t, who in enumerate(order) if who == i]
        ideal = (np.arange(total) + 0.5) / total * len(order) - 0.5
        assert np.abs(np.array(places) - ideal).max() <= 1.5


def test_batches_are_of_one_set_and_show_every_picture():
    batches = list(make())
    assert len(batches) == len(make()) == 10 + 4
    for keys in batches:
        assert len({key.index >= COUNTS[0] for key in keys}) == 1
    assert {key.index for keys in batches for key in keys} == set(range(sum(COUNTS)))


def test_ranks_are_in_the_same_set_at_every_step():
    first, second = list(make(0, 2)), list(make(1, 2))
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert (a[0].index >= COUNTS[0]) == (b[0].index >= COUNTS[0])
    one = {key.index for keys in first for key in keys}
    other = {key.index for keys in second for key in keys}
    assert one | other == set(range(sum(COUNTS)))


def test_epochs_differ_and_a_resumed_one_goes_on():
    sampler = make()
    sampler.set_epoch(1)
    whole = list(sampler)
    assert whole != list(make())
    again = make()
    again.resume(1, 5)
    assert list(again) == whole[5:]
    assert list(again) == whole  # the next time from the front


def test_the_schedule_reaches_every_set():
    sampler = make(close=0.5)
    sampler.epochs = 4
    assert sampler.epochs == 4
    assert not any(key.whole for keys in sampler for key in keys)
    sampler.set_epoch(2)
    assert all(key.whole for keys in sampler for key in keys)


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_evaluation_sees_every_picture_once(ranks):
    seen = []
    for rank in range(ranks):
        sampler = GroupedEvalSampler(COUNTS, 4, rank, ranks)
        batches = list(sampler)
        assert len(batches) == len(sampler)
        for places in batches:
            assert len({place >= COUNTS[0] for place in places}) == 1
            seen += places
    assert sorted(seen) == list(range(sum(COUNTS)))


@pytest.mark.parametrize(("counts", "ranks"), [((2, 2), 3), ((5, 5), 4), ((1, 1, 1), 3)])
def test_every_rank_has_something_to_evaluate(counts, ranks):
    dealt = [list(GroupedEvalSampler(counts, 4, rank, ranks)) for rank in range(ranks)]
    assert all(dealt)
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1
    assert sorted(p for batches in dealt for b in batches for p in b) == list(range(sum(counts)))
