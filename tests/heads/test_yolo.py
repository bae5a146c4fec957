"""The detection head: constant losses, the same in every mode, and boxes that come home."""

import numpy as np
import pytest
import torch
from tiny import draw_squares, make_batch, make_model

from visionkit.batch import collate
from visionkit.errors import ConfigError
from visionkit.geometry import Letterbox
from visionkit.ops.boxes import box_iou
from visionkit.options import PredictOptions
from visionkit.sample import Boxes, ImageMeta, Sample
from visionkit.tasks.optim import Muon, parameter_groups

SOME = make_batch([[[8, 8, 40, 40], [30, 2, 60, 30]], []], [[0, 1], []])
NONE = make_batch([[], []], [[], []])


@pytest.mark.parametrize("one_to_one", [False, True])
@pytest.mark.parametrize("batch", [SOME, NONE], ids=["some", "none"])
def test_losses_are_constant_in_name_and_reach_every_parameter(batch, one_to_one):
    model = make_model(one_to_one=one_to_one).train()
    losses = model.head.loss(model(batch.images), batch)
    names = ["box", "class", "dfl"]
    assert list(losses) == names + [f"one_{n}" for n in names if one_to_one]
    assert all(v.ndim == 0 and v.dtype == torch.float32 for v in losses.values())
    assert all(torch.isfinite(v) for v in losses.values())
    sum(losses.values()).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("classes", [1, 3, 80])
def test_the_first_loss_is_sane(classes):
    """A rebuilt class layer without its prior bias would cost thousands."""
    model = make_model(classes).train()
    batch = make_batch([[[8, 8, 40, 40], [30, 2, 60, 30]]] * 4, [[0, classes - 1]] * 4)
    losses = model.head.loss(model(batch.images), batch)
    assert 0 < sum(losses.values()).item() < 40
    scores = model(batch.images).many.classes.sigmoid()
    assert scores.mean().item() == pytest.approx(min(0.01, 0.06 / classes), rel=0.2)


@pytest.mark.parametrize("one_to_one", [False, True])
def test_loss_decode_and_predict_do_not_depend_on_the_mode(one_to_one):
    model = make_model(one_to_one=one_to_one).train()
    with torch.no_grad():
        raw = model(SOME.images)
    outcomes = []
    for mode in (True, False):
        model.train(mode)
        outcomes.append(
            (model.head.loss(raw, SOME), model.head.decode(raw), model.head.predict(raw, SOME))
        )
    (loss_a, decoded_a, found_a), (loss_b, decoded_b, found_b) = outcomes
    assert loss_a == loss_b
    assert all(torch.equal(a, b) for a, b in zip(decoded_a, decoded_b, strict=True))
    for a, b in zip(found_a, found_b, strict=True):
        assert np.array_equal(a.boxes, b.boxes)


def test_decode_is_of_fixed_size_best_first():
    model = make_model().eval()
    for batch in (SOME, NONE):
        decoded = model.head.decode(model(batch.images))
        assert decoded.boxes.shape == (2, 100, 4)
        assert decoded.labels.dtype == torch.int64
        assert (decoded.scores.diff(dim=1) <= 0).all()
    small = make_model(candidates=10_000).eval()
    cells = 8 * 8 + 4 * 4 + 2 * 2
    assert small.head.decode(small(SOME.images)).scores.shape == (2, cells * 2)


def test_the_head_computes_in_float32_under_autocast():
    model = make_model().eval()
    raw = model(SOME.images)
    plain = model.head.decode(raw)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model(SOME.images)
        losses = model.head.loss(mixed, SOME)
        decoded = model.head.decode(raw)
    assert mixed.many.sides.dtype == torch.bfloat16
    assert {v.dtype for v in losses.values()} == {torch.float32}
    assert decoded.boxes.dtype == torch.float32
    torch.testing.assert_close(decoded.boxes, plain.boxes, rtol=0, atol=1e-4)


def test_the_one_to_one_branch_teaches_neither_neck_nor_backbone():
    model = make_model(one_to_one=True).train()
    losses = model.head.loss(model(SOME.images), SOME)
    sum(v for k, v in losses.items() if k.startswith("one_")).backward()
    touched = {
        n.split(".")[0] + "." + n.split(".")[1]
        for n, p in model.named_parameters()
        if p.grad is not None and p.grad.abs().sum() > 0
    }
    assert touched == {"head.one"}


def test_only_the_one_to_one_branch_predicts_without_suppression():
    for one_to_one in (False, True):
        model = make_model(one_to_one=one_to_one).eval()
        head = model.head
        head.options = PredictOptions(confidence=0.0, iou=0.1, max_detections=1000)
        raw = model(SOME.images)
        kept = [len(r) for r in head.predict(raw, SOME)]
        assert (kept == [100, 100]) == one_to_one
        branch = raw.one if one_to_one else raw.many
        best = branch.classes.sigmoid().flatten(1).amax(1)
        assert [r.scores[0] for r in head.predict(raw, SOME)] == pytest.approx(best.tolist())


def test_boxes_come_back_to_original_pixels():
    """What is predicted on the canvas is the inverse of what the letterbox did to the truth."""
    model = make_model(1).eval()
    head = model.head
    head.options = PredictOptions(confidence=0.5)
    box = Letterbox((50, 200), (64, 64))  # scale 0.32, 24 rows of pad
    batch = make_batch([[]], [[]])
    batch = batch.__class__(batch.images, batch.targets, (ImageMeta(7, "", box),))
    raw = model(batch.images)
    raw.many.classes.data.fill_(-9)
    raw.many.classes.data[0, 3 * 8 + 3] = 5  # the cell at x 28, y 28 of stride 8
    raw.many.sides.data[0, 3 * 8 + 3] = -99
    for side, distance in enumerate((2, 0, 1, 1)):
        raw.many.sides.data[0, 3 * 8 + 3, side, distance] = 99
    (found,) = head.predict(raw, batch)
    expected = [(28 - 16) / 0.32, (28 - 24) / 0.32, (28 + 8) / 0.32, (28 + 8 - 24) / 0.32]
    assert found.boxes[0] == pytest.approx(expected, abs=1e-3)
    assert found.boxes.dtype == np.float32
    assert found.labels.tolist() == [0]


def test_a_tiny_model_learns_two_pictures_by_heart():
    samples = []
    for seed in (1, 2):
        image, boxes, labels = draw_squares(64, seed)
        corners = np.array([[x, y, x + w, y + h] for x, y, w, h in boxes], np.float32)
        meta = ImageMeta(seed, "", Letterbox((64, 64), (64, 64)))
        samples.append(Sample(image, Boxes(corners, np.array(labels)), meta))
    batch = collate(samples)
    model = make_model(seed=3).train()
    optimizer = Muon(parameter_groups(model, 0.01, 0.0), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        sum(model.head.loss(model(batch.images), batch).values()).backward()
        optimizer.step()
    for _ in range(60):  # the norms' statistics catch up
        model(batch.images)
    found = model.eval().predict(batch)
    for i, result in enumerate(found):
        best = {int(k): b for k, b in zip(result.labels[::-1], result.boxes[::-1], strict=True)}
        mine = batch.targets.image == i
        for truth, label in zip(
            batch.targets.boxes[mine], batch.targets.labels[mine].tolist(), strict=True
        ):
            assert box_iou(truth, torch.from_numpy(best[label])) > 0.7
        assert len(result.above(0.5)) == 2


def test_no_map_at_all_is_refused():
    with pytest.raises(ConfigError, match=r"^head.strides: \[\] must be ascending, .* not empty$"):
        make_model(strides=[])
