"""What waits together is computed together."""

import threading
import time
from concurrent.futures import wait

import pytest
from serving import until

from visionkit.serve.batching import Batcher


class Doubles:
    """Computes twice the number; waits for the gate, and fails at 13."""

    def __init__(self):
        self.calls = []
        self.gate = threading.Event()

    def __call__(self, kind, items):
        assert self.gate.wait(10)
        self.calls.append((kind, items))
        if 13 in items:
            raise ValueError("13")
        return [2 * item for item in items]


@pytest.fixture
def doubles():
    return Doubles()


@pytest.fixture
def batcher(doubles):
    made = Batcher(doubles, size=3, wait=0)
    yield made
    doubles.gate.set()
    made.close()


def busy(batcher, doubles):
    """Let the thread begin with a first item, so that others gather behind it."""
    first = batcher.submit("first", 0)
    until(lambda: len(batcher) == 0)
    return first


def test_what_gathers_meanwhile_is_computed_in_full_batches(batcher, doubles):
    busy(batcher, doubles)
    answers = [batcher.submit("a", n) for n in range(1, 8)]
    assert len(batcher) == 7
    doubles.gate.set()
    assert [a.result(5) for a in answers] == [2, 4, 6, 8, 10, 12, 14]
    assert [items for _, items in doubles.calls] == [[0], [1, 2, 3], [4, 5, 6], [7]]
    assert (batcher.items, batcher.batches) == (8, 4)


def test_kinds_stay_apart_and_who_waits_longest_is_next(batcher, doubles):
    busy(batcher, doubles)
    answers = [batcher.submit(kind, n) for n, kind in enumerate("abab", 1)]
    doubles.gate.set()
    wait(answers, 5)
    assert doubles.calls[1:] == [("a", [1, 3]), ("b", [2, 4])]


def test_one_item_waits_for_others_no_longer_than_it_should(doubles):
    doubles.gate.set()
    batcher = Batcher(doubles, size=3, wait=0.5)
    start = time.monotonic()
    answers = [batcher.submit("a", n) for n in (1, 2)]
    wait(answers, 5)
    assert 0.45 < time.monotonic() - start < 5
    start = time.monotonic()
    wait([batcher.submit("a", n) for n in (3, 4, 5)], 5)  # enough: nobody waits
    assert time.monotonic() - start < 0.5
    assert [items for _, items in doubles.calls] == [[1, 2], [3, 4, 5]]
    batcher.close()


def test_only_what_is_at_fault_fails(batcher, doubles):
    busy(batcher, doubles)
    answers = [batcher.submit("a", n) for n in (1, 13, 2)]
    doubles.gate.set()
    assert (answers[0].result(5), answers[2].result(5)) == (2, 4)
    with pytest.raises(ValueError, match="13"):
        answers[1].result(5)
    assert batcher.alive


def test_a_wrong_number_of_answers_is_an_error():
    batcher = Batcher(lambda kind, items: [], size=3, wait=0)
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        batcher.submit("a", 1).result(5)
    batcher.close()


def test_what_is_taken_back_is_not_computed(batcher, doubles):
    busy(batcher, doubles)
    answers = [batcher.submit("a", n) for n in (1, 2)]
    assert answers[0].cancel()
    assert len(batcher) == 1  # it isn't even held
    doubles.gate.set()
    assert answers[1].result(5) == 4
    assert doubles.calls[-1] == ("a", [2])


def test_closing_computes_what_waits(doubles):
    batcher = Batcher(doubles, size=3, wait=60)
    answers = [batcher.submit("a", n) for n in (1, 2)]
    doubles.gate.set()
    batcher.close()
    assert [a.result(0) for a in answers] == [2, 4]
    assert not batcher.alive
    with pytest.raises(RuntimeError, match="closed"):
        batcher.submit("a", 1)
