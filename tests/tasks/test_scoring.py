"""Losses over a split: what they draw by lot, and what they leave of the random numbers."""

import pytest
import torch
from mask_cases import as_labels, make_index
from small_rcnn import SOME, make_rcnn
from tiny import make_batch, make_model

from visionkit.metrics.segmentation import SegmentationEvaluator
from visionkit.ops.lots import drawing_by_pictures
from visionkit.tasks.scoring import Scorer, score

BOXES = [[[4, 4, 30, 28], [30, 30, 60, 62]], [[10, 20, 50, 60]]]


def loss_after(seed, model, raw):
    torch.manual_seed(seed)
    scorer = Scorer(None)
    scorer.update(*model.weigh(raw, SOME), SOME)
    return scorer.metrics()["loss"]


def test_a_split_has_one_loss_whatever_was_drawn_before():
    model = make_rcnn(samples=8, rpn_samples=8).eval()
    with torch.no_grad():
        raw = model(SOME.images)
        torch.manual_seed(1)
        first = sum(model.head.loss(raw, SOME).values())
        assert first != sum(model.head.loss(raw, SOME).values())  # lots are drawn
        assert loss_after(1, model, raw) == loss_after(2, model, raw)


def test_other_pictures_draw_other_lots():
    def drawn(batch):
        with drawing_by_pictures(batch):
            return torch.rand(3).tolist()

    assert drawn(SOME) == drawn(make_batch(BOXES, [[0, 1], [1]])) != drawn(make_batch([[]], [[]]))


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
        ),
    ],
)
def test_the_stream_of_random_numbers_goes_on_as_if_none_were_drawn(device):
    torch.manual_seed(4)
    expected = [torch.rand(3), torch.rand(3, device=device).cpu()]
    torch.manual_seed(4)
    batch = SOME.to(device)
    inside = []
    for _ in range(2):
        with drawing_by_pictures(batch):
            inside.append(torch.cat([torch.rand(3), torch.rand(3, device=device).cpu()]))
    assert torch.equal(*inside)
    after = [torch.rand(3), torch.rand(3, device=device).cpu()]
    assert all(map(torch.equal, after, expected))
    with pytest.raises(RuntimeError), drawing_by_pictures(batch):
        raise RuntimeError


def test_details_are_in_the_final_report_alone():
    evaluator = SegmentationEvaluator(make_index([as_labels([[0, 1]])]))
    assert "boundary_f1" not in Scorer(evaluator).metrics()
    figures = score(make_model(), [], evaluator, torch.device("cpu"))
    assert figures["boundary_f1"] == figures["miou"] == -1
    assert figures["images"] == 0
