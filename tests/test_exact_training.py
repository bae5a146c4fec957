"""Every head on two ranks: nobody waits, replicas stay equal, two small batches are a large one."""

import json
import os
import socket

import lightning
import numpy as np
import pytest
import torch
import torch.distributed as dist
from omegaconf import open_dict
from ranks import join, on_ranks
from tiny import make_batch, make_label_batch, make_mask_batch, tiny_config
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from visionkit import checkpoint, evaluate, train
from visionkit.backbones.norms import group_norms
from visionkit.batch import Batch, BoxTargets, LabelTargets, MaskTargets
from visionkit.build import plain
from visionkit.compose import compose, config_dir, groups
from visionkit.models.model import build_model
from visionkit.ops.distributed import (
    gather_objects,
    mean_over_ranks,
    normaliser,
    rank,
    world_size,
)
from visionkit.results import VOID

STEPS = 50
SECONDS = 300
CANVAS = (32, 32)
K = 3
# those of critics are trained in test_gan_ranks.py
HEADS = [h for h in groups([config_dir()])["head"] if "discriminator" not in h]
SMALL = [
    *("backbone=csp", "backbone.width=0.125", "backbone.depth=0.1"),
    *("neck=fpn", "neck.strides=[4,8,16,32,64]", "neck.out_channels=16"),
]
RCNN = [
    *("head.representation=16", "head.samples=32", "head.rpn_samples=32"),
    "head.train_proposals=40",
]
# each in addition to what its file says
CASES = {head: (head, []) for head in HEADS} | {
    "faster_rcnn": ("faster_rcnn", RCNN),
    "cascade_rcnn": ("faster_rcnn", [*RCNN, "head.cascade_ious=[0.5,0.6]"]),
    "yolo": ("yolo", ["head.one_to_one=true"]),
    "classification": ("classification", ["head.activation=sigmoid"]),
}
# what is random is left out: all anchors and boxes are learned from
ALL = ["head.rpn_samples=100000", "head.samples=100000", "head.train_proposals=100000"]
EXACT = {"faster_rcnn": ALL, "cascade_rcnn": ALL, "fpn": ["head.loss.dice=1", "head.loss.focal=1"]}


def spec_of(name, *more):
    head, words = CASES[name]
    return plain(compose(["task=detection", "data.root=.", f"head={head}", *SMALL, *words, *more]))


def built(spec, norms=True):
    torch.manual_seed(0)
    model = build_model(spec, K)
    if not norms:
        group_norms(model)
    return model


def batch_for(learns, count, objects=True):
    """A batch of noise with some objects, or with none."""
    if learns == "boxes":
        rng = np.random.default_rng(1)
        corners = [rng.uniform(0, 14, (1 + i % 3, 2)) for i in range(count)]
        boxes = [np.hstack([c, c + rng.uniform(6, 18, c.shape)]).tolist() for c in corners]
        labels = [rng.integers(0, K, len(b)).tolist() for b in boxes]
        none = [[] for _ in range(count)]
        return make_batch(boxes, labels, CANVAS) if objects else make_batch(none, none, CANVAS)
    if learns == "classes":
        labels = [[i % K] if objects else [] for i in range(count)]
        return make_label_batch(labels, K, CANVAS)
    labels = torch.full((count, *CANVAS), VOID, dtype=torch.uint8)
    for i in range(count if objects else 0):
        labels[i, : 4 + 3 * i] = torch.arange(CANVAS[1]).to(torch.uint8) * K // CANVAS[1]
    return make_mask_batch(K, CANVAS, labels=labels)


def part_of(batch, rows):
    """Some pictures of a batch, as another."""
    targets = batch.targets
    if isinstance(targets, BoxTargets):
        mine = (targets.image >= rows.start) & (targets.image < rows.stop)
        targets = BoxTargets(
            targets.boxes[mine], targets.labels[mine], targets.image[mine] - rows.start
        )
    elif isinstance(targets, LabelTargets):
        targets = LabelTargets(targets.values[rows])
    else:
        targets = MaskTargets(targets.labels[rows])
    return Batch(batch.images[rows], targets, batch.meta[rows])


class Losses(nn.Module):
    """What DDP wraps: one call that gives the total loss."""

    def __init__(self, model) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch):
        return torch.stack(list(self.model.head.loss(self.model(batch.images), batch).values()))


def _train(number, spec):
    """Steps of which the second rank never sees an object."""
    model = built(spec)
    ddp = DistributedDataParallel(Losses(model), find_unused_parameters=False)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    batch = batch_for(model.head.learns, 2, objects=number == 0)
    start = {k: v.detach().clone() for k, v in model.named_parameters()}
    finite = True
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = ddp(batch).sum()
        finite &= bool(torch.isfinite(loss))
        loss.backward()
        optimizer.step()
    weights = {k: v.detach() for k, v in model.named_parameters() if v.requires_grad}
    return {"finite": finite, "weights": weights, "start": start}


def _losses_of(spec, model_of=lambda model: model, rows=slice(0, 8)):
    """Losses and gradients of some pictures of one batch, without batch norms and dropout."""
    model = built(spec, norms=False).eval()
    batch = part_of(batch_for(model.head.learns, 8), rows)
    torch.manual_seed(1)
    wrapped = model_of(Losses(model))
    losses = wrapped(batch)
    losses.sum().backward()
    gradients = {k: p.grad for k, p in model.named_parameters() if p.requires_grad}
    return {"losses": losses.detach(), "gradients": gradients}


def _work(number, folder, specs, exact):
    join(number, 2, f"{folder}/store")
    assert (rank(), world_size(), gather_objects(number)) == (number, 2, [0, 1])
    assert mean_over_ranks(torch.tensor(float(number))).item() == 0.5
    assert normaliser(torch.tensor(0.0), 1.0).item() == 0.5  # 1 over both
    with torch.no_grad():  # in validation ranks may have different numbers of batches
        assert mean_over_ranks(torch.tensor(float(number))).item() == number
        assert normaliser(torch.tensor(0.0), 1.0).item() == 1
    found = {name: _train(number, spec) for name, spec in specs.items()}
    torch.save(found, f"{folder}/trained{number}.pt")
    mine = slice(4 * number, 4 * number + 4)
    halves = {name: _losses_of(spec, DistributedDataParallel, mine) for name, spec in exact.items()}
    torch.save(halves, f"{folder}/halves{number}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """The folder in which two ranks left what they found, and what they were to learn from."""
    folder = tmp_path_factory.mktemp("training")
    specs = {name: spec_of(name) for name in CASES}
    exact = {name: spec_of(name, *EXACT.get(name, [])) for name in CASES}
    on_ranks(_work, 2, SECONDS, str(folder), specs, exact)
    return folder, exact


def loaded(folder, what):
    return [torch.load(folder / f"{what}{n}.pt", weights_only=False) for n in (0, 1)]


@pytest.mark.parametrize("name", list(CASES))
def test_a_rank_without_objects_holds_nobody_up_and_replicas_stay_equal(ranks, name):
    a, b = (found[name] for found in loaded(ranks[0], "trained"))
    assert a["finite"] and b["finite"]
    assert [k for k, v in a["weights"].items() if not torch.equal(v, b["weights"][k])] == []
    still = [k for k, v in a["weights"].items() if torch.equal(v, a["start"][k])]
    assert len(still) < len(a["weights"]) / 10


@pytest.mark.parametrize("name", list(CASES))
def test_two_batches_of_four_are_one_of_eight(ranks, name):
    folder, exact = ranks
    a, b = (found[name] for found in loaded(folder, "halves"))
    whole = _losses_of(exact[name])
    # what each rank says is averaged, as gradients are
    together = (a["losses"] + b["losses"]) / 2
    torch.testing.assert_close(together, whole["losses"], rtol=1e-5, atol=1e-6)
    assert (a["losses"] - b["losses"]).abs().max() > 1e-3
    for key, gradient in whole["gradients"].items():
        torch.testing.assert_close(
            a["gradients"][key], gradient, rtol=1e-5, atol=1e-5 * float(gradient.abs().max() + 0.1)
        )


class Keep(lightning.Callback):
    """Leaves which pictures each rank's epochs drew."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.drawn: dict[int, list[int]] = {}

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        epoch = self.drawn.setdefault(trainer.current_epoch, [])
        epoch += [meta.image_id for meta in batch.meta]

    def on_train_end(self, trainer, module):
        with open(f"{self.folder}/{trainer.global_rank}.json", "w") as file:
            json.dump(list(self.drawn.values()), file)
        torch.save(dict(module.model.named_parameters()), f"{self.folder}/{trainer.global_rank}.pt")


def _run(number, port, cfgs):
    torch.set_num_threads(1)
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "RANK": str(number),
        "LOCAL_RANK": str(number),
        "GROUP_RANK": "0",
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "TORCHELASTIC_RUN_ID": "here",
    }
    for cfg in cfgs:
        train.run(cfg)


@pytest.fixture(scope="module")
def runs(squares, tmp_path_factory):
    """The folder of three runs on two ranks each: one, and one in parts that was resumed."""
    folder = tmp_path_factory.mktemp("runs")
    words = ["trainer.devices=2", "data.batch_size=2", "scheduler=null", "augment=none"]
    whole = tiny_config(squares, folder / "whole", *words, "strategy=ddp", "trainer.max_epochs=3")
    with open_dict(whole):
        whole.allow = ["test_exact_training"]
        keep = {"_target_": "test_exact_training.Keep", "folder": str(folder)}
        whole.callbacks = {"keep": keep}
    words += ["strategy=fsdp", "callbacks=null"]
    begun = tiny_config(squares, folder / "begun", *words, "trainer.max_epochs=2")
    words += ["trainer.max_epochs=3", f"resume={folder}/begun"]
    (folder / "begun").mkdir()
    parts = tiny_config(squares, folder / "parts", *words)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    on_ranks(_run, 2, SECONDS, port, [whole, begun, parts])
    return folder


def test_each_epoch_is_shared_and_in_another_order(runs):
    first, second = (json.loads((runs / f"{n}.json").read_text()) for n in (0, 1))
    for a, b in zip(first, second, strict=True):
        assert sorted(a + b) == list(range(10, 18))  # every picture once, on one of the ranks
    assert len({tuple(epoch) for epoch in first}) == 3
    one, other = (torch.load(runs / f"{n}.pt", weights_only=False) for n in (0, 1))
    assert [k for k in one if not torch.equal(one[k], other[k])] == []


@pytest.mark.parametrize("name", ["whole", "parts"])
def test_what_two_ranks_score_is_what_one_scores(runs, tmp_path, name):
    words = [f"checkpoint={runs}/{name}/checkpoints/best.ckpt", f"run_dir={tmp_path}"]
    found = evaluate.run(compose([*words, "split=val"], "evaluate"))
    written = json.loads((runs / name / "metrics.json").read_text())
    del found["seconds"], written["seconds"]
    assert found == written


def test_weights_in_parts_learn_what_whole_ones_do_and_are_resumed(runs):
    whole, parts = (checkpoint.read(runs / n / "checkpoints/last.ckpt") for n in ("whole", "parts"))
    for get in (lambda c: c["state_dict"], lambda c: c["ema"]["model"]):
        one, other = get(whole), get(parts)
        assert one.keys() == other.keys()
        for key, value in one.items():
            torch.testing.assert_close(other[key], value, rtol=1e-3, atol=3e-4)
    assert whole["epoch"] == parts["epoch"] and whole["global_step"] == parts["global_step"] == 6
