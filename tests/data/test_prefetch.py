"""Batches that are copied ahead."""

import functools
import time

import pytest
import torch
from tiny import make_batch, make_label_batch
from torch.utils.data import DataLoader

from visionkit.data.coco import read_coco
from visionkit.data.datamodule import DataModule
from visionkit.data.prefetch import Loader, ahead, side_stream


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_each_batch_is_sent_before_the_one_before_it_is_used(count):
    events = []

    def send(batch):
        events.append(f"send {batch}")
        return batch, "event"

    def arrive(sent):
        events.append(f"use {sent[0]}")
        return sent[0]

    assert list(ahead(iter(range(count)), send, arrive)) == list(range(count))
    for i in range(count - 1):
        assert events.index(f"send {i + 1}") < events.index(f"use {i}")
        assert events.index(f"use {i}") < events.index(f"use {i + 1}")
    assert len(events) == 2 * count


class Slow(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, i):
        time.sleep(0.02)
        return torch.tensor(i)


@pytest.mark.parametrize("workers", [0, 1])
def test_waiting_is_measured(workers):
    loader = Loader(Slow(), num_workers=workers, persistent_workers=workers > 0)
    for epoch in range(2):
        before = loader.waited
        assert [int(b) for b in loader] == [0, 1, 2, 3]
        assert 0.08 <= loader.waited - before < 30
        assert epoch < 2
    for _ in loader:
        before = loader.waited
        time.sleep(0.06)
        assert loader.waited == before  # what is done with a batch isn't waiting
    assert isinstance(loader, DataLoader)


def test_workers_start_with_the_pass_not_with_the_first_batch():
    loader = Loader(Slow(), num_workers=1, persistent_workers=True)
    batches = iter(loader)
    assert loader._iterator is not None
    assert int(next(batches)) == 0


def test_a_processor_needs_no_copies(squares, monkeypatch):
    monkeypatch.setattr("visionkit.data.prefetch.side_stream", None)
    data = DataModule(functools.partial(read_coco), str(squares), 64, 3, num_workers=0)
    loader = data.eval_dataloader("train")
    loader.device = torch.device("cpu")
    assert [len(b) for b in loader] == [3, 3, 2]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_copies_on_a_gpu_are_whole():
    device = torch.device("cuda", 0)
    made = [make_batch([[[8, 8, 40, 40]]] * 4, [[i]] * 4) for i in range(6)]
    made += [make_label_batch([[0], [1]], 2)]
    seen = list(ahead((b.pin_memory() for b in made), *side_stream(device)))
    for batch, copy in zip(made, seen, strict=True):
        assert copy.images.device == device
        assert torch.equal(copy.images.cpu(), batch.images)
    assert torch.equal(seen[1].targets.boxes.cpu(), made[1].targets.boxes)
