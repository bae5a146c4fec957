"""Settings that change the speed of training, not what is learned: every task, on a processor."""

import functools
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from small_joint import SMALL, make_joint_batch
from small_translation import batch_of, loader, noise
from tiny import make_batch, make_label_batch, make_mask_batch

from visionkit.build import build, plain
from visionkit.compose import compose
from visionkit.models.build import build_network

CSP = ["backbone=csp", "backbone.width=0.125", "backbone.depth=0.1"]
BOXES = ([[[8, 8, 40, 40]], [[4, 12, 30, 60], [20, 20, 60, 50]]], [[0], [1, 0]])
CASES: dict[str, tuple[list[str], Any]] = {
    "classification": (["task=classification", *CSP], lambda: make_label_batch([[0], [1]], 2)),
    "yolo": (["task=detection", *CSP, "neck.out_channels=[16,24,32]"], lambda: make_batch(*BOXES)),
    "faster_rcnn": (
        [
            *("task=detection", "model=faster_rcnn", *CSP, "neck.strides=[8,16,32]"),
            *("neck.out_channels=16", "head.strides=[8,16,32]", "head.representation=16"),
            *("head.samples=16", "head.train_proposals=50"),
        ],
        lambda: make_batch(*BOXES),
    ),
    "segmentation": (["task=segmentation", *CSP, "head.dropout=0"], lambda: make_mask_batch(2)),
    "generation": (
        ["task=generation", "model=dcgan", "generator.width=8", "backbone.width=8"],
        lambda: make_label_batch([[], []], 0, (32, 32)),
    ),
    "translation": (
        [
            *("task=generation", "model=pix2pix", "data=pairs", "generator.width=8"),
            *("backbone.width=8", "backbone.stages=2"),
        ],
        lambda: batch_of(noise(2, 32), noise(2, 32, 1)),
    ),
}
CASES["joint"] = (
    ["task=multitask", "backbone.width=0.125", "backbone.depth=0.1", *SMALL],
    lambda: make_joint_batch("detection", "segmentation"),
)
CLASSES = {"generation": 0, "translation": 0, "joint": {"detection": 2, "segmentation": 3}}
SUPERVISED = ("classification", "yolo", "faster_rcnn", "segmentation")


class Losses(lightning.Callback):
    def __init__(self) -> None:
        self.found: list[float] = []
        self.steps: list[int] = []

    def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
        self.found.append(float(trainer.callback_metrics["train/loss"]))
        self.steps.append(trainer.global_step)


@functools.cache
def spec_of(case: str) -> dict[str, Any]:
    words, _ = CASES[case]
    return plain(compose([*words, "data.root=.", "optimizer=sgd", "optimizer.lr=0.01"]))


def train(case: str, batches: int = 2, trainer: dict[str, Any] | None = None, **task: Any):
    """Train on one batch, again and again; return the losses, the steps, and the weights."""
    spec = spec_of(case)
    batch = CASES[case][1]()
    torch.manual_seed(0)
    model = build_network(spec, CLASSES.get(case, 2), batch.canvas)
    module = build(
        spec["task"],
        "task",
        model=model,
        entry={},
        optimizer=build(spec["optimizer"], "optimizer"),
        **task,
    )
    losses = Losses()
    lightning.Trainer(
        accelerator="cpu",
        max_epochs=1,
        limit_val_batches=0,
        logger=False,
        callbacks=[losses],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        **(trainer or {}),
    ).fit(module, loader([batch] * batches))
    weights = {k: v.detach().clone() for k, v in model.named_parameters()}
    return losses.found, losses.steps, weights


@functools.cache
def usual(case: str):
    return train(case)


@pytest.mark.parametrize("case", CASES)
def test_channels_last(case):
    found, _, weights = train(case, channels_last=True)
    assert found == pytest.approx(usual(case)[0], rel=2e-3)
    assert any(w.ndim == 4 and w.shape[1] > 1 for w in weights.values())


@pytest.mark.parametrize("case", CASES)
def test_bf16(case):
    found, _, weights = train(case, trainer={"precision": "bf16-mixed"})
    assert found[0] == pytest.approx(usual(case)[0][0], rel=0.05)
    assert found != usual(case)[0]  # it was used
    assert all(w.dtype == torch.float32 and torch.isfinite(w).all() for w in weights.values())


QUICK = ("generation",)


@pytest.mark.parametrize(
    "case", [c if c in QUICK else pytest.param(c, marks=pytest.mark.slow) for c in CASES]
)
def test_compile(case, monkeypatch):
    """What is captured is the same; what a compiler makes of it is slow to wait for."""
    calls = []

    def backend(graph, inputs):
        calls.append(len(inputs))
        return graph.forward

    whole = torch.compile
    monkeypatch.setattr(torch, "compile", functools.partial(whole, backend=backend))
    found, _, _ = train(case, compile=True)
    assert calls
    assert found == pytest.approx(usual(case)[0], rel=1e-3)
    torch._dynamo.reset()


@pytest.mark.parametrize("case", SUPERVISED)
def test_accumulated_gradients(case):
    """Two batches that are alike are as good as one."""
    found, steps, weights = train(case, 3, {"accumulate_grad_batches": 2})
    assert steps == [0, 1, 2]  # what is left over makes a step, too
    once, _, _ = usual(case)
    close = 2e-3 if case == "faster_rcnn" else 1e-5  # each batch has its own draw of boxes
    assert found[1] == pytest.approx(found[0], rel=close)
    assert found[2] == pytest.approx(once[1], rel=10 * close)
    assert all(np.isfinite(w.numpy()).all() for w in weights.values())
