"""Two processes: no rank waits for another, replicas stay equal, figures are those of one."""

import functools
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from mask_cases import draw, make_index, masks
from runs import two_processes
from tiny import make_batch, make_model
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from visionkit.data.coco import read_coco
from visionkit.data.datamodule import DataModule
from visionkit.metrics.coco import CocoEvaluator
from visionkit.metrics.segmentation import SegmentationEvaluator
from visionkit.ops.distributed import (
    from_first_rank,
    gather_objects,
    mean_over_ranks,
    rank,
    world_size,
)
from visionkit.tasks.optim import Muon, parameter_groups
from visionkit.tasks.scoring import score

SECONDS = 120


class Trained(nn.Module):
    """What DDP wraps: one call that gives the total loss."""

    def __init__(self, model) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch):
        return sum(self.model.head.loss(self.model(batch.images), batch).values())


def _join(number: int, folder: str) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(str(Path(folder) / "store"), 2)
    dist.init_process_group("gloo", store=store, rank=number, world_size=2)


def _work(number: int, folder: str, root: str) -> None:
    """All that two processes do, in one go: to start them takes longer than the work."""
    _join(number, folder)
    assert (rank(), world_size()) == (number, 2)
    _train(number, folder)
    np.save(f"{folder}/{number}.npy", np.array(list(_metrics(root).items()), dtype=object))
    found = _of_masks([7 * number + i for i in range(7 + 7 * number)])  # 7 and 14 pictures
    np.save(f"{folder}/masks{number}.npy", np.array(list(found.items()), dtype=object))
    dist.destroy_process_group()


def _train(number: int, folder: str) -> None:
    model = make_model(one_to_one=True, seed=number)  # DDP makes them equal
    ddp = DistributedDataParallel(Trained(model), find_unused_parameters=False)
    optimizer = Muon(parameter_groups(model, 0.01, 0.01), lr=0.01)
    boxes, labels = ([[8, 8, 40, 40]], [1]) if number == 0 else ([], [])
    batch = make_batch([boxes, boxes], [labels, labels])
    for _ in range(10):
        optimizer.zero_grad()
        loss = ddp(batch)
        assert torch.isfinite(loss)
        loss.backward()
        optimizer.step()
    torch.save(dict(model.named_parameters()), f"{folder}/{number}.pt")
    assert mean_over_ranks(torch.tensor(float(number))).item() == 0.5
    with torch.no_grad():
        assert mean_over_ranks(torch.tensor(float(number))).item() == number
    assert gather_objects(number) == [0, 1]


def _metrics(root: str) -> dict[str, float]:
    data = DataModule(
        functools.partial(read_coco), root, image_size=64, batch_size=2, num_workers=0
    )
    evaluator = CocoEvaluator(index=data.need("train"))
    batches = data.eval_dataloader("train")
    found = score(make_model().eval(), batches, evaluator, torch.device("cpu"))
    return {k: v for k, v in found.items() if k != "seconds"}


def _of_masks(mine: list[int]) -> dict[str, float]:
    """The figures over all ranks, of which this one sees some pictures."""
    truths, said = draw(0)
    evaluator = SegmentationEvaluator(make_index(truths, 7))
    evaluator.detailed = True
    for start in range(0, len(mine), 4):
        some = mine[start : start + 4]
        ids = [int(evaluator.index.image_ids[i]) for i in some]
        evaluator.update(ids, masks([said[i] for i in some]))
    evaluator.merge(gather_objects(evaluator.state()))
    return from_first_rank(evaluator.compute) | from_first_rank(evaluator.details)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory, squares):
    """The folder in which two processes left what they found."""
    folder = tmp_path_factory.mktemp("ranks")
    two_processes(_work, SECONDS, str(folder), str(squares))
    return folder


def test_a_rank_without_boxes_holds_nobody_up_and_replicas_stay_equal(ranks):
    a, b = (torch.load(ranks / f"{n}.pt", weights_only=False) for n in (0, 1))
    assert a.keys() == b.keys()
    assert [k for k in a if not torch.equal(a[k], b[k])] == []
    start = dict(make_model(one_to_one=True, seed=0).named_parameters())
    assert all(not torch.equal(a[k], start[k]) for k in a if k.endswith("0.weight"))


def test_two_ranks_score_exactly_what_one_does(ranks, squares):
    alone = _metrics(str(squares))
    assert alone["images"] == 8
    for number in (0, 1):
        found = dict(np.load(ranks / f"{number}.npy", allow_pickle=True))
        losses = {k for k in found if k.startswith("loss")}
        assert {k: v for k, v in found.items() if k not in losses} == {
            k: v for k, v in alone.items() if k not in losses
        }
        # a batch's loss is divided by its own objects, and batches are others on two ranks
        assert all(np.isfinite(found[k]) for k in losses)


def test_two_ranks_score_masks_to_the_last_bit_as_one_does(ranks):
    alone = _of_masks(list(range(21)))
    assert 0.2 < alone["miou"] < 0.8 and alone["boundary_f1"] > 0.2
    for number in (0, 1):
        assert dict(np.load(ranks / f"masks{number}.npy", allow_pickle=True)) == alone
