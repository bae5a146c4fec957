"""The two-stage detector: losses, boxes, and what they must not depend on."""

import numpy as np
import pytest
import torch
from small_rcnn import NONE, SOME, VARIANTS, make_rcnn
from tiny import draw_squares, make_batch

from visionkit.batch import collate
from visionkit.geometry import Letterbox
from visionkit.ops.boxes import box_iou
from visionkit.options import PredictOptions
from visionkit.sample import Boxes, ImageMeta, Sample
from visionkit.tasks.optim import Muon, parameter_groups


@pytest.mark.parametrize("variant", VARIANTS)
def test_losses_have_the_same_names_and_reach_every_parameter(variant):
    names = set()
    for batch in (SOME, NONE):
        model = make_rcnn(**variant).train()
        losses = model.head.loss(model(batch.images), batch)
        names.add(tuple(losses))
        assert all(v.shape == () and torch.isfinite(v) for v in losses.values())
        sum(losses.values()).backward()
        assert [n for n, p in model.named_parameters() if p.grad is None] == []
        assert all(torch.isfinite(p.grad).all() for p in model.parameters())
        boxes = [v.item() for k, v in losses.items() if "box" in k]
        assert all(b == 0 for b in boxes) == (batch is NONE)
    (found,) = names
    if "cascade_ious" not in variant:
        assert found == ("objectness", "rpn_box", "class", "box")
    else:
        stages = range(1, 1 + len(variant["cascade_ious"]))
        both = [name for n in stages for name in (f"class{n}", f"box{n}")]
        assert found == ("objectness", "rpn_box", *both)


@pytest.mark.parametrize("variant", [v for v in VARIANTS if v.get("norm") or "box_head" not in v])
def test_losses_and_results_are_the_same_in_training_and_in_evaluation(variant):
    model = make_rcnn(**variant)
    with torch.no_grad():
        raw = model.eval()(SOME.images)
        seen = []
        for mode in (True, False):
            model.head.train(mode)
            torch.manual_seed(5)
            losses = model.head.loss(raw, SOME)
            results = [r.to_dict() for r in model.head.predict(raw, SOME)]
            seen.append(({k: v.item() for k, v in losses.items()}, results))
    assert seen[0] == seen[1]


def test_the_first_losses_are_those_of_chance():
    """Objectness of one half, and background as likely as it is frequent, for many classes too."""
    for classes in (2, 80):
        model = make_rcnn(classes).eval()
        losses = model.head.loss(model(SOME.images), SOME)
        assert losses["objectness"].item() == pytest.approx(np.log(2), abs=0.05)
        background, object_ = -np.log(0.75), -np.log(0.25 / classes)
        assert losses["class"] < 0.75 * background + 0.25 * object_ + 0.1


def test_a_picture_does_not_depend_on_its_companions():
    model = make_rcnn(seed=1).eval()
    with torch.no_grad():
        both = model.head.decode(model(SOME.images))
        for i in range(2):
            alone = model.head.decode(model(SOME.images[i : i + 1]))
            torch.testing.assert_close(alone.scores[0], both.scores[i], rtol=0, atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_decoded_tensors_have_a_fixed_size_and_an_order(variant):
    model = make_rcnn(**variant).eval()
    with torch.no_grad():
        found = model.head.decode(model(SOME.images))
    assert found.boxes.shape == (2, 40, 4)
    assert found.scores.shape == found.labels.shape == (2, 40)
    assert (found.scores.diff(dim=1) <= 0).all()
    assert ((found.scores >= 0.01) | (found.scores == -1)).all()
    assert ((found.boxes >= 0) & (found.boxes <= 64)).all()
    model.head.score_floor = 0.9999
    with torch.no_grad():
        assert (model.head.decode(model(SOME.images)).scores == -1).all()
        assert [len(r) for r in model.predict(SOME)] == [0, 0]


def test_fixed_shapes_give_the_same_boxes(monkeypatch):
    model = make_rcnn(cascade_ious=[0.5, 0.6], score_floor=0.0).eval()
    with torch.no_grad():
        raw = model(SOME.images)
        eager = model.head.decode(raw)
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
        fixed = model.head.decode(raw)
    torch.testing.assert_close(fixed.scores, eager.scores, rtol=0, atol=1e-5)
    torch.testing.assert_close(fixed.boxes[:, 0], eager.boxes[:, 0], rtol=0, atol=1e-3)


def test_the_head_computes_in_float32_under_autocast():
    model = make_rcnn().eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        raw = model(SOME.images)
        losses = model.head.loss(raw, SOME)
        decoded = model.head.decode(raw)
    assert raw.said.objectness.dtype == raw.features[0].dtype == torch.bfloat16
    assert {v.dtype for v in losses.values()} == {torch.float32}
    assert decoded.boxes.dtype == decoded.scores.dtype == torch.float32
    with torch.no_grad():  # what was computed under autocast may be decoded outside
        outside = model.head.decode(raw)
    torch.testing.assert_close(outside.scores, decoded.scores, rtol=0, atol=0.02)


def settled(model, *biases, deltas=None):
    """A single proposal for each picture, of which every box head says the same."""
    head = model.eval().head
    head.proposals = 1
    for stage, bias in zip(head.stages, biases, strict=True):
        stage.classes.weight.data.zero_()
        stage.boxes.weight.data.zero_()
        stage.classes.bias.data.copy_(torch.tensor(bias).log())
        if deltas is not None:
            stage.boxes.bias.data.copy_(torch.tensor(deltas).repeat(len(stage.boxes.bias) // 4))
    return head


def point_at(raw, image, anchor):
    """Make ``anchor`` the proposal of a picture, as it is."""
    raw.said.objectness[image] = -9
    raw.said.objectness[image, anchor] = 9
    raw.said.deltas[image] = 0


# anchors of stride 8, the second map: 16 x 16 cells of stride 4 before it, three ratios each
def anchor_of_stride_8(row, column):
    return 3 * 256 + 3 * (8 * row + column) + 1


def test_boxes_come_back_to_original_pixels():
    """A proposal of 64 pixels around (32, 24), moved by an eighth to the right and halved."""
    model = make_rcnn(2)
    halve = 5 * np.log(0.5)
    head = settled(model, [0.1, 0.2, 0.7], deltas=[1.25, 0.0, halve, halve])
    head.options = PredictOptions(confidence=0.5)
    batch = make_batch([[]], [[]])
    box = Letterbox((50, 200), (64, 64))  # scale 0.32, 24 rows of pad
    batch = batch.__class__(batch.images, batch.targets, (ImageMeta(7, "", box),))
    with torch.no_grad():
        raw = model(batch.images)
        point_at(raw, 0, anchor_of_stride_8(3, 4))
        assert raw.said.anchors[anchor_of_stride_8(3, 4)].tolist() == [0, -8, 64, 56]
        (found,) = head.predict(raw, batch)
    # clipped to 0..56 in height before it is looked at: centre 28
    on_canvas = np.array([40 - 16, 28 - 14, 40 + 16, 28 + 14])
    expected = [24 / 0.32, 0, 56 / 0.32, 50]  # within the picture
    assert on_canvas.tolist() == [24, 14, 56, 42]
    assert found.boxes[0] == pytest.approx(expected, abs=1e-3)
    assert found.boxes.dtype == np.float32
    assert found.scores.tolist() == pytest.approx([0.7], abs=1e-6)
    assert found.labels.tolist() == [1]


def test_a_cascade_averages_classes_and_moves_boxes_step_by_step():
    model = make_rcnn(1, cascade_ious=[0.5, 0.6])
    # the first moves by 5 / 10 of a width to the right, the second by 5 / 20
    head = settled(model, [0.4, 0.6], [0.1, 0.9], deltas=[5.0, 0.0, 0.0, 0.0])
    with torch.no_grad():
        raw = model(SOME.images)
        for i in range(2):
            point_at(raw, i, 3 * (16 * 5 + 5) + 1)  # 32 pixels around (20, 20)
        found = head.decode(raw)
    assert found.scores[:, 0].tolist() == pytest.approx([0.75, 0.75])
    # 4..36 to 20..52, then to 28..60
    assert found.boxes[0, 0].tolist() == pytest.approx([28, 4, 60, 36], abs=1e-3)


def test_a_stage_of_a_cascade_wants_better_boxes_than_the_one_before():
    """A box of IoU 0.55 is an object for the first head and background for the second."""
    model = make_rcnn(1, cascade_ious=[0.5, 0.6], samples=2, positives=0.5, train_proposals=1)
    head = settled(model, [0.5, 0.5], [0.5, 0.5], deltas=[0.0, 0.0, 0.0, 0.0])
    batch = make_batch([[[4, 4, 36, 21.6]]], [[0]])
    with torch.no_grad():
        raw = model(batch.images)
        point_at(raw, 0, 3 * (16 * 5 + 5) + 1)
        head.stages[0].classes.bias.data[:] = torch.tensor([0.0, 20])
        head.stages[1].classes.bias.data[:] = torch.tensor([20.0, 0])
        for _ in range(8):  # the object itself may be the sample's only positive
            losses = head.loss(raw, batch)
            if losses["class2"] < 1e-6:
                break
    # the proposal alone: the first says object, the second background, and both are right
    assert losses["class1"].item() == pytest.approx(0, abs=1e-6)
    assert losses["class2"].item() == pytest.approx(0, abs=1e-6)


def test_soft_suppression_keeps_what_suppression_removes():
    model = make_rcnn(1).eval()
    head = model.head
    head.options = PredictOptions(confidence=0.0, iou=0.2, max_detections=30)
    with torch.no_grad():
        raw = model(SOME.images)
        hard = [len(r) for r in head.predict(raw, SOME)]
        best = [r.scores[0] for r in head.predict(raw, SOME)]
        head.soft_nms = "gaussian"
        soft = head.predict(raw, SOME)
    assert all(len(s) == 30 > h for s, h in zip(soft, hard, strict=True))
    assert [s.scores[0] for s in soft] == pytest.approx(best)


@pytest.mark.parametrize(
    ("steps", "variant"), [(60, {}), (40, {"cascade_ious": [0.5, 0.6], "class_agnostic": True})]
)
def test_a_tiny_model_learns_two_pictures_by_heart(steps, variant):
    samples = []
    for seed in (1, 2):
        image, boxes, labels = draw_squares(64, seed)
        corners = np.array([[x, y, x + w, y + h] for x, y, w, h in boxes], np.float32)
        meta = ImageMeta(seed, "", Letterbox((64, 64), (64, 64)))
        samples.append(Sample(image, Boxes(corners, np.array(labels)), meta))
    batch = collate(samples)
    model = make_rcnn(seed=3, representation=64, **variant).train()
    optimizer = Muon(parameter_groups(model, 0.01, 0.0), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        sum(model.head.loss(model(batch.images), batch).values()).backward()
        optimizer.step()
    with torch.no_grad():
        for _ in range(60):  # the norms' statistics catch up
            model(batch.images)
    model.eval().head.options = PredictOptions(confidence=0.5, iou=0.5)
    for i, result in enumerate(model.predict(batch)):
        mine = batch.targets.image == i
        assert sorted(result.labels.tolist()) == batch.targets.labels[mine].tolist()
        best = {int(k): b for k, b in zip(result.labels, result.boxes, strict=True)}
        for truth, label in zip(
            batch.targets.boxes[mine], batch.targets.labels[mine].tolist(), strict=True
        ):
            assert box_iou(truth, torch.from_numpy(best[label])) > 0.7


class Decoder(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        return tuple(self.model.head.decode(self.model(images)))


@pytest.mark.slow
def test_a_graph_of_fixed_shapes_finds_the_same():
    model = make_rcnn(seed=1, score_floor=0.0).eval()
    with torch.no_grad():
        model.head.stages[0].classes.weight.mul_(100)  # so that scores differ
        graph = torch.export.export(Decoder(model), (SOME.images,)).module()
        for images in (SOME.images, SOME.images.flip(-1)):
            boxes, scores, _ = graph(images)
            eager = model.head.decode(model(images))
            torch.testing.assert_close(scores, eager.scores, rtol=0, atol=1e-5)
            torch.testing.assert_close(boxes[:, :5], eager.boxes[:, :5], rtol=0, atol=1e-3)
