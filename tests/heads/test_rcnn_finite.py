"""What a network says that isn't finite: it may ruin a loss, but never a result."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_rcnn import SOME, make_rcnn

from visionkit.heads.rcnn_proposals import PLAIN, Anchored, maps_apart, proposal_losses, propose
from visionkit.heads.rcnn_stage import BoxStage
from visionkit.ops.assignment import Padded

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("soft_nms", ["none", "gaussian"])
@pytest.mark.parametrize("cascade", [None, [0.5, 0.6]])
def test_a_network_that_is_not_finite_finds_nothing(value, soft_nms, cascade):
    model = make_rcnn(soft_nms=soft_nms, cascade_ious=cascade, score_floor=0.0)
    for parameter in model.parameters():
        parameter.data.fill_(value)
    model.train()
    losses = model.head.loss(model(SOME.images), SOME)
    assert not torch.isfinite(sum(losses.values()))
    model.eval()
    with torch.no_grad():
        decoded = model.head.decode(model(SOME.images))
        assert decoded.boxes.isfinite().all()
        assert (decoded.scores == -1).all()
        assert [len(r) for r in model.predict(SOME)] == [0, 0]


@pytest.mark.parametrize("part", ["objectness", "deltas", "features"])
def test_a_picture_that_is_not_finite_spoils_no_other(part):
    model = make_rcnn(seed=1, cascade_ious=[0.5, 0.6]).eval()
    with torch.no_grad():
        raw = model(SOME.images)
        expected = model.head.predict(raw, SOME)
        if part == "features":
            for x in raw.features:
                x[0] = NAN
        else:
            getattr(raw.said, part)[0] = NAN
        found = model.head.predict(raw, SOME)
    assert len(found[0]) == 0 < len(found[1])
    np.testing.assert_array_equal(found[1].boxes, expected[1].boxes)
    np.testing.assert_array_equal(found[1].scores, expected[1].scores)


def said(objectness, deltas, anchors):
    return Anchored(objectness, deltas, anchors, (len(anchors),), (64, 64))


def test_places_without_a_proposal_are_not_found_at_any_score():
    model = make_rcnn(score_floor=0.0, candidates=2000, proposals=1000).eval()
    with torch.no_grad():
        raw = model(SOME.images)
        _, real = propose(raw.said, 1000, 1000, model.head.rpn_nms_iou)
        found = model.head.decode(raw)
    assert (real.sum(1) < 1000).all()
    assert ((found.scores >= 0).sum(1) <= 2 * real.sum(1)).all()


ANCHORS = torch.tensor([[0.0, 0, 20, 20], [30, 30, 50, 50], [0, 0, 20, 10], [10, 0, 30, 20]])


def test_anchors_of_nan_leave_their_places_to_others():
    objectness = torch.tensor([[NAN, 1.0, NAN, 0.0]])
    boxes, real = propose(said(objectness, torch.zeros(1, 4, 4), ANCHORS), 2, 2, 0.7)
    assert real.tolist() == [[True, True]]
    assert boxes[0].tolist() == ANCHORS[[1, 3]].tolist()
    deltas = torch.zeros(1, 4, 4)
    deltas[0, 1, 0] = NAN
    boxes, real = propose(said(torch.ones(1, 4), deltas, ANCHORS), 4, 4, 0.7)
    assert real.tolist() == [[True, True, True, False]]
    assert boxes.isfinite().all()


def test_what_no_anchor_learns_has_no_part_in_the_losses():
    """The third anchor is between object and background, the second and fourth have no box."""
    truth = Padded(
        torch.tensor([[[0.0, 0, 20, 20]]]), torch.zeros(1, 1).long(), torch.tensor([[True]])
    )
    objectness, deltas = torch.zeros(1, 4), torch.zeros(1, 4, 4)
    expected = proposal_losses(said(objectness, deltas, ANCHORS), truth, (0.7, 0.4), 8, 0.5)
    objectness[0, 2], deltas[0, 1:] = NAN, INF
    objectness.requires_grad_()
    deltas.requires_grad_()
    losses = proposal_losses(said(objectness, deltas, ANCHORS), truth, (0.7, 0.4), 8, 0.5)
    assert [v.item() for v in losses] == pytest.approx([v.item() for v in expected])
    assert expected[0].item() == pytest.approx(np.log(2))
    sum(losses).backward()
    assert deltas.grad.isfinite().all()


@pytest.mark.parametrize("box_loss", ["smooth_l1", "giou"])
@pytest.mark.parametrize("agnostic", [False, True])
def test_background_has_no_part_in_the_box_loss(box_loss, agnostic):
    stage = BoxStage(2, 7, 1, "mlp", 4, "none", agnostic, PLAIN)
    logits, label = torch.zeros(2, 2), torch.tensor([1, 0])
    boxes = torch.tensor([[0.0, 0, 20, 20], [NAN, 0, 5, 0]])
    objects = torch.tensor([[0.0, 0, 20, 10], [0, 0, 0, 0]])
    deltas = torch.zeros(2, 1 if agnostic else 2, 4)
    deltas[1] = INF
    deltas.requires_grad_()
    _, loss = stage.losses(logits, deltas, boxes, label, objects, box_loss)
    offset = [0.25 - 1 / 18, np.log(2) - 1 / 18]  # of the centre and of the height
    expected = sum(offset) if box_loss == "smooth_l1" else 0.5
    assert loss.item() == pytest.approx(expected / 2)
    loss.backward()
    assert deltas.grad.isfinite().all()


def test_small_anchors_give_finite_losses():
    for options in ({"anchor_sizes": [1, 2, 4, 8, 16]}, {"anchor_ratios": [0.01, 1, 100]}):
        model = make_rcnn(**options).train()
        losses = model.head.loss(model(SOME.images), SOME)
        sum(losses.values()).backward()
        assert all(torch.isfinite(v) for v in losses.values())
        assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_maps_are_moved_apart_by_the_canvas_whatever_is_in_it():
    boxes = torch.tensor([[[0.0, 0, 64, 48]] * 3, [[NAN] * 4, [1, 1, 2, 2], [3, 3, 4, 4]]])
    apart = maps_apart(boxes, [2, 1], 64)
    assert apart[0].tolist() == [[0, 0, 64, 48], [0, 0, 64, 48], [65, 65, 129, 113]]
    assert apart[1, 1:].tolist() == [[1, 1, 2, 2], [68, 68, 69, 69]]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_proposes_the_same():
    torch.manual_seed(0)
    model = make_rcnn(seed=1).eval()
    with torch.no_grad():
        raw = model(SOME.images).said
        raw.objectness.normal_()
        raw.deltas.normal_(std=0.5)
        raw.deltas[0, 5] = NAN
        tensors = {n: getattr(raw, n).cuda() for n in ("objectness", "deltas", "anchors")}
        mine, other = (propose(x, 300, 200, 0.5) for x in (raw, replace(raw, **tensors)))
    assert torch.equal(mine[1], other[1].cpu())
    torch.testing.assert_close(mine[0][mine[1]], other[0].cpu()[mine[1]], rtol=0, atol=1e-3)
