"""Options of a two-stage detector that are refused, and the least that it works with."""

import pytest
import torch
from small_rcnn import HEAD, SOME, make_rcnn

from visionkit.build import build
from visionkit.errors import ConfigError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"anchor_sizes": [8, 16]}, r"head.anchor_sizes: 2 given for 5 strides; give one for each"),
        ({"cascade_ious": [0.6, 0.5]}, r"head.cascade_ious: \[0.6, 0.5\] must be ascending"),
        ({"cascade_ious": []}, r"head.cascade_ious: \[\] must be ascending and not empty"),
        ({"strides": [2, 4]}, "head: no feature map at stride 2; there are strides 4, 8, 16"),
        ({"strides": []}, r"head.strides: \[\] must be ascending, each once, not empty"),
        ({"anchor_ratios": []}, r"head.anchor_ratios: \[\] leaves no anchor; give heights over"),
        ({"samples": 0}, r"head.samples.*at least 1"),
        ({"rpn_samples": 1}, r"head.rpn_samples.*at least 2, got 1"),
        ({"samples": 3}, r"head.samples: of 3 boxes head.positives=0.25 lets none be an object"),
        ({"positives": 0.0}, r"head.samples: of 32 boxes head.positives=0 lets none be an object"),
        ({"box_loss": "giuo"}, "head.box_loss.*did you mean 'giou'"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        make_rcnn(**options)


def test_maps_of_different_width_are_refused():
    model = make_rcnn()
    with pytest.raises(ConfigError, match=r"need the same channels; got .*; choose neck=fpn"):
        build(
            HEAD | {"strides": [8, 16]}, "head", in_features=model.backbone.features, num_classes=2
        )


def test_the_refusals_are_one_line():
    for options in ({"strides": []}, {"anchor_ratios": []}, {"samples": 1}):
        with pytest.raises(ConfigError) as error:
            make_rcnn(**options)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("box_head", ["mlp", "conv"])
def test_the_least_of_everything_still_learns_and_predicts(box_head):
    model = make_rcnn(
        box_head=box_head, proposals=1, train_proposals=1, candidates=1, samples=2, positives=0.5,
        rpn_samples=2, score_floor=0.0,
    )  # fmt: skip
    losses = model.train().head.loss(model(SOME.images), SOME)
    assert torch.isfinite(sum(losses.values()))
    assert all(v > 0 for k, v in losses.items() if k != "box")
    model.eval()
    with torch.no_grad():
        assert model.head.decode(model(SOME.images)).boxes.shape == (2, 1, 4)
        results = model.predict(SOME)
    assert [len(r) for r in results] == [1, 1]
