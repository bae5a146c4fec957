"""Losses over a split: what they draw by lot, and what they leave of the random numbers."""

import numpy as np
import pytest
import torch
from mask_cases import as_labels, make_index
from small_rcnn import SOME, make_rcnn
from tiny import make_batch, make_label_batch, make_model

from visionkit.metrics.segmentation import SegmentationEvaluator
from visionkit.ops.lots import drawing_by_pictures
from visionkit.options import PredictOptions
from visionkit.runtimes.base import Runtime, latents
from visionkit.runtimes.torch_math import full_precision
from visionkit.tasks.scoring import Scorer, answers, score, score_runtime

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


class Answers(Runtime):
    """Finds nothing in pictures; makes pictures whose level is the class."""

    task, classes, canvas, options = "some task", ("a", "b", "c"), (64, 64), PredictOptions()

    def __init__(self, says, conditional=False):
        self.says, self.conditional, self.latent = says, conditional, 4

    def check_options(self, options):
        raise AssertionError("this is the caller's to do")

    def predict(self, images, meta, options):
        assert images.flags.c_contiguous
        self.asked = images, options
        return [f"picture {m.image_id}" for m in meta]

    def make(self, z, labels, truncation):
        self.asked = z, truncation
        levels = np.zeros(len(z)) if labels is None else labels.argmax(1)
        return [np.full((2, 2, 3), level, np.uint8) for level in levels]


def test_a_runtime_is_asked_as_a_network_is():
    options = PredictOptions(confidence=0.125, truncation=0.5)
    runtime = Answers("boxes")
    assert answers(runtime, SOME, options) == ["picture 0", "picture 1"]
    assert runtime.asked[1] is options
    assert np.array_equal(runtime.asked[0], SOME.images.numpy())
    batch = make_label_batch([[2], [0], [1]], 3)
    made = answers(Answers("noise", conditional=True), batch, options)
    assert [(g.label, g.seed, g.image.max()) for g in made] == [(2, 0, 2), (0, 1, 0), (1, 2, 1)]
    runtime = Answers("noise")
    made = answers(runtime, batch, options)
    assert [(g.label, g.seed) for g in made] == [(None, 0), (None, 1), (None, 2)]
    assert np.array_equal(runtime.asked[0], latents([0, 1, 2], 4))
    assert runtime.asked[1] == 0.5


def test_a_runtime_has_every_figure_but_the_loss():
    evaluator = SegmentationEvaluator(make_index([as_labels([[0, 1]])]))
    figures = score_runtime(Answers("masks"), PredictOptions(), [], evaluator)
    assert figures["boundary_f1"] == figures["miou"] == -1
    assert figures["images"] == 0
    assert figures["seconds"] >= 0
    assert "loss" not in figures


def test_precision_is_as_it_was_afterwards():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        with pytest.raises(RuntimeError), full_precision():
            assert torch.get_float32_matmul_precision() == "highest"
            raise RuntimeError
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)
