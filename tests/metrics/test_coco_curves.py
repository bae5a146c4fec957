"""The engines against each other, on drawn cases that hold everything known to go wrong."""

from collections import Counter

import numpy as np
import pytest
from coco_cases import draw_arrays, draw_rules

from visionkit.data.index import DetectionIndex
from visionkit.metrics.coco_curves import COCO_AREAS, COCO_IOUS, ENGINES, Rules, Seen

PARTS, EACH = 8, 30


def assert_engines_agree(index: DetectionIndex, seen: Seen, rules: Rules, case: str) -> bool:
    """Compare all arrays bit by bit; return whether anything was found."""
    both = [ENGINES[name](index, seen, rules) for name in ("pycocotools", "hotcoco")]
    for name in ("precision", "recall", "scores"):
        reference, fast = (getattr(curves, name) for curves in both)
        assert reference.shape == fast.shape
        assert reference.tobytes() == fast.tobytes(), f"{case}: {name} differs"
    return bool((both[0].precision > 0).any())


@pytest.mark.parametrize("part", range(PARTS))
def test_engines_agree_to_the_last_bit(part: int) -> None:
    seeds = range(EACH * part, EACH * (part + 1))
    positive = 0
    for seed in seeds:
        limits = ((1, 10, 100), (3,), (1, 100), (5, 50, 500))[seed % 4]
        positive += assert_engines_agree(*draw_arrays(seed), Rules(limits), f"seed {seed}")
    assert positive > len(seeds) / 3


@pytest.mark.parametrize("part", range(4))
def test_engines_agree_whatever_the_thresholds_and_areas(part: int) -> None:
    seeds = range(1000 + EACH * part, 1000 + EACH * (part + 1))
    positive = 0
    for seed in seeds:
        rules = draw_rules(seed)
        positive += assert_engines_agree(*draw_arrays(seed), rules, f"seed {seed}, {rules}")
    assert positive > len(seeds) / 3


def test_cases_hold_what_goes_wrong() -> None:
    seen_in: Counter[str] = Counter()
    for seed in range(PARTS * EACH):
        index, seen = draw_arrays(seed)
        owner = np.repeat(index.image_ids, np.diff(index.first))
        images = np.repeat(seen.image_ids, seen.counts)
        many = Counter(zip(images.tolist(), seen.labels.tolist(), strict=True))
        classes = set(range(len(index.classes)))
        ids = sorted(index.image_ids.tolist())
        sizes = seen.coco_boxes[:, 2] * seen.coco_boxes[:, 3]
        seen_in.update(
            name
            for name, holds in {
                "ties in score": len(np.unique(seen.scores)) < len(seen.scores),
                "crowds": index.crowd.any(),
                "image id 0": 0 in ids,
                "category id 0": 0 in index.category_ids,
                "annotation id 0": 0 in index.annotation_ids,
                "gaps in image ids": ids != list(range(len(ids))),
                "gaps in category ids": len(index.classes) <= max(index.category_ids),
                "images without truth": set(ids) - set(owner.tolist()),
                "images without detections": (seen.counts == 0).any(),
                "classes without truth": classes - set(index.labels.tolist()),
                "classes without truth that are found": (
                    set(seen.labels.tolist()) - set(index.labels.tolist())
                ),
                "more than 100 detections of a class": max(many.values(), default=0) > 100,
                "truth on a border": np.isin(index.areas, (1024, 9216)).any(),
                "detections on a border": np.isin(sizes, (1024, 9216)).any(),
                "truth beyond all areas": (index.areas > 1e10).any(),
                "nothing found": not len(seen.scores),
                "no truth": not len(index.boxes),
            }.items()
            if holds
        )
    assert len(seen_in) == 17, sorted(seen_in)
    assert min(seen_in.values()) >= 5, seen_in


def test_coco_s_own_rules() -> None:
    from pycocotools.cocoeval import Params

    params = Params("bbox")
    rules = Rules()
    assert rules.iou_thresholds == COCO_IOUS == tuple(params.iouThrs.tolist())
    assert [list(area) for area in rules.areas] == params.areaRng
    assert [name[0] for name in params.areaRngLbl[1:]] == list(COCO_AREAS)[1:]
    assert list(rules.max_detections) == params.maxDets
