"""In which order pictures are drawn, on one rank and on several."""

import numpy as np
import pytest

from visionkit.data.samplers import EvalSampler, TrainSampler, nth
from visionkit.errors import ConfigError


def indices(sampler, epoch=0):
    sampler.set_epoch(epoch)
    return [key.index for batch in sampler for key in batch]


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_evaluation_draws_every_picture_once_over_all_ranks(ranks):
    samplers = [EvalSampler(21, 4, rank, ranks) for rank in range(ranks)]
    drawn = [[i for batch in s for i in batch] for s in samplers]
    assert sorted(i for part in drawn for i in part) == list(range(21))
    assert all(len(s) == len(list(s)) for s in samplers)
    whole = [list(range(i, min(i + 4, 21))) for i in range(0, 21, 4)]
    assert sorted(batch for s in samplers for batch in s) == whole  # a batch is the same on any
    assert list(EvalSampler(1, 4, 1, 2)) == []


@pytest.mark.parametrize("ranks", [2, 3, 5, 21])
@pytest.mark.parametrize("batch_size", [1, 4, 16, 64])
def test_no_rank_is_left_without_a_picture_to_score(ranks, batch_size):
    samplers = [EvalSampler(21, batch_size, rank, ranks) for rank in range(ranks)]
    assert min(len(s) for s in samplers) > 0
    assert sorted(i for s in samplers for batch in s for i in batch) == list(range(21))


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("count", [21, 2])
def test_training_gives_every_rank_as_many_batches(ranks, count):
    samplers = [TrainSampler(count, 4, (64, 64), rank=rank, ranks=ranks) for rank in range(ranks)]
    drawn = [indices(s) for s in samplers]
    assert len({len(part) for part in drawn}) == 1
    assert {len(list(s)) for s in samplers} == {len(samplers[0])}
    every = [i for part in drawn for i in part]
    assert set(every) == set(range(count))
    assert len(every) - count < 2 * ranks  # ranks are evened out, a last batch of one topped up


def test_no_batch_is_of_one_picture():
    batches = list(TrainSampler(9, 4, (64, 64)))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert batches[2][1].index == batches[0][0].index
    assert [len(batch) for batch in TrainSampler(1, 4, (64, 64))] == [1]


def test_the_order_depends_on_seed_and_epoch_only():
    a, b = (TrainSampler(21, 4, (64, 64), seed=3) for _ in range(2))
    assert indices(a, 5) == indices(b, 5)
    assert indices(a, 5) != indices(a, 6)
    assert indices(a, 5) != indices(TrainSampler(21, 4, (64, 64), seed=4), 5)


def test_balanced_sampling_draws_by_weight():
    weights = np.array([3.0] * 10 + [1.0] * 30)  # each class half of the time
    sampler = TrainSampler(40, 8, (64, 64), weights=weights)
    drawn = [i for epoch in range(100) for i in indices(sampler, epoch)]
    assert len(drawn) == 100 * 40
    assert np.mean(np.array(drawn) < 10) == pytest.approx(0.5, abs=0.03)
    assert indices(sampler, 7) == indices(sampler, 7)
    keys = [key for batch in sampler for key in batch]
    assert len({(key.index, key.draw) for key in keys}) == len(keys)  # so repeats differ
    assert max(key.draw for key in keys) >= 1


@pytest.mark.parametrize(("ranks", "batch_size"), [(2, 8), (3, 4), (2, 19)])
def test_ranks_share_the_draws_of_balanced_sampling(ranks, batch_size):
    weights = np.array([3.0] * 10 + [1.0] * 30)
    samplers = [
        TrainSampler(40, batch_size, (64, 64), weights=weights, rank=rank, ranks=ranks)
        for rank in range(ranks)
    ]
    drawn, orders = [], []
    for epoch in range(60):
        for sampler in samplers:
            sampler.set_epoch(epoch)
        keys = [[key for batch in s for key in batch] for s in samplers]
        every = [(key.index, key.draw) for part in keys for key in part]
        assert len(set(every)) == len(every)  # no sample twice, on whichever ranks
        drawn += [[key.index for key in part] for part in keys]
        orders.append(tuple(index for index, _ in every))
    assert len(set(orders)) == 60  # each epoch is another
    for rank in range(ranks):  # and each rank's part by the weights
        mine = np.concatenate(drawn[rank::ranks])
        assert np.mean(mine < 10) == pytest.approx(0.5, abs=0.05)


def test_what_has_come_before_is_counted():
    assert nth(np.array([3, 1, 3, 3, 1, 0])).tolist() == [0, 0, 1, 2, 1, 0]
    assert nth(np.array([], np.int64)).tolist() == []


def test_the_last_part_of_the_schedule_is_whole():
    sampler = TrainSampler(4, 4, (64, 64), epochs=10, close=0.25)
    whole = []
    for epoch in range(10):
        sampler.set_epoch(epoch)
        whole.append(next(iter(sampler))[0].whole)
    assert whole == [False] * 8 + [True] * 2
    assert not next(iter(TrainSampler(4, 4, (64, 64), epochs=1, close=0.0)))[0].whole


@pytest.mark.parametrize("multiscale", [0.0, 0.5])
def test_an_interrupted_epoch_goes_on_where_it_was(multiscale):
    options = {"seed": 1, "multiscale": multiscale}
    sampler = TrainSampler(21, 4, (64, 64), **options)
    sampler.set_epoch(2)
    whole = list(sampler)
    again = TrainSampler(21, 4, (64, 64), **options)
    again.resume(2, 4)
    assert list(again) == whole[4:]
    assert list(again) == whole  # only once
    again.resume(2, len(whole))
    assert list(again) == whole  # a finished epoch leaves nothing to skip


def test_canvases_vary_from_batch_to_batch_but_not_between_ranks():
    samplers = [TrainSampler(64, 2, (320, 320), multiscale=0.5, rank=r, ranks=2) for r in range(2)]
    drawn = [[{key.canvas for key in batch} for batch in s] for s in samplers]
    assert drawn[0] == drawn[1]
    assert all(len(of_batch) == 1 for of_batch in drawn[0])
    sides = np.array([next(iter(c)) for c in drawn[0]])
    assert (sides % 32 == 0).all()
    assert sides.min() >= 160
    assert sides.max() <= 480
    assert len(np.unique(sides)) > 3


def test_no_pictures():
    with pytest.raises(ConfigError, match="no pictures"):
        TrainSampler(0, 4, (64, 64))
