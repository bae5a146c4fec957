"""Every backbone of conf/ under every neck and head of conf/: loss, gradient, prediction."""

import numpy as np
import pytest
import torch
from tiny import make_batch

from visionkit.build import plain
from visionkit.compose import compose, config_dir, groups
from visionkit.errors import ConfigError
from visionkit.models.model import build_model

FOUND = groups([config_dir()])
BATCH = make_batch([[[8, 8, 60, 50], [40, 30, 90, 90]], []], [[0, 2], []], canvas=(96, 96))
COMBINATIONS = [
    (backbone, neck, head)
    for backbone in FOUND["backbone"]
    for neck in FOUND["neck"]
    for head in FOUND["head"]
]


def test_there_is_something_to_test():
    assert {"csp", "timm", "torchvision"} <= set(FOUND["backbone"])
    assert len(COMBINATIONS) >= 21


@pytest.mark.parametrize(("backbone", "neck", "head"), COMBINATIONS)
def test_a_combination_learns_and_predicts(backbone, neck, head):
    words = [f"backbone={backbone}", f"neck={neck}", f"head={head}"]
    spec = plain(compose(["task=detection", "data.root=.", *words]))
    torch.manual_seed(0)
    try:
        model = build_model(spec, 3).train()
    except ConfigError as error:
        if "no feature map at stride" in str(error):
            pytest.skip(str(error))
        raise
    losses = model.head.loss(model(BATCH.images), BATCH)
    total = sum(losses.values())
    assert torch.isfinite(total)
    total.backward()
    used = {f.name for f in model.neck.features}
    assert used
    unused = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert unused == [], "DDP would wait for these"
    model.eval()
    results = model.predict(BATCH)
    assert len(results) == 2
    for result in results:
        assert result.boxes.shape == (len(result), 4)
        assert result.boxes.dtype == result.scores.dtype == np.float32
        assert ((result.boxes >= 0) & (result.boxes <= 96)).all()
        assert (np.diff(result.scores) <= 0).all()
        assert set(result.labels.tolist()) <= {0, 1, 2}
    again = model.predict(BATCH)
    assert all(np.array_equal(a.boxes, b.boxes) for a, b in zip(results, again, strict=True))


@pytest.mark.parametrize("backbone", FOUND["backbone"])
def test_frozen_and_multiplied_backbones_build(backbone):
    words = [f"backbone={backbone}", "backbone.frozen_stages=1", "backbone.frozen_norm=true"]
    spec = plain(compose(["task=detection", "data.root=.", *words, "backbone.lr_multiplier=0.1"]))
    model = build_model(spec, 3)
    assert model.backbone.lr_multiplier == 0.1
    assert not next(model.backbone.parameters()).requires_grad
