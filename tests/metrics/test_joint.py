"""Figures of several parts are those of each part's own evaluator."""

import functools
import json
from dataclasses import replace

import numpy as np
import pytest
from small_joint import make_joint_set

from visionkit.data.coco import read_coco
from visionkit.data.coco_masks import read_coco_masks
from visionkit.data.joint import read_joint, read_sets, read_shown
from visionkit.errors import ConfigError
from visionkit.metrics.classification import ClassificationEvaluator
from visionkit.metrics.coco import CocoEvaluator
from visionkit.metrics.joint import JointEvaluator
from visionkit.metrics.segmentation import SegmentationEvaluator
from visionkit.results import Detections, Joint, SemanticMask

READERS = {"detection": read_coco, "segmentation": read_coco_masks}
PARTS = {
    "detection": functools.partial(CocoEvaluator, engine="pycocotools"),
    "segmentation": SegmentationEvaluator,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_joint_set(tmp_path_factory.mktemp("joint"))


@pytest.fixture(scope="module")
def index(root):
    return read_joint(root, "train", READERS)


def said(index, name, i):
    """Right about most of a picture."""
    at = int(index.sets[0].rows[name][i]) if len(index.sets) == 1 else i
    if name == "detection":
        boxes, labels = index.indices[name].targets(at, (64, 64))
        keep = np.arange(len(labels)) >= i % 2
        scores = np.linspace(0.9, 0.5, len(labels)).astype(np.float32)
        return Detections(boxes[keep] + np.float32(i % 3), scores[keep], labels[keep])
    mask = index.indices[name].mask(at).copy()
    mask[: 4 * i] = 0
    return SemanticMask(mask)


def fill(evaluator, index, pictures):
    ids = index.image_ids
    for i in pictures:
        parts = {name: said(index, name, i) for name in index.indices}
        evaluator.update([int(ids[i])], [Joint(parts)])
    return evaluator


def test_figures_and_report_are_those_of_each_part(index, tmp_path):
    joint = JointEvaluator(index, PARTS)
    joint.detailed = True
    figures = fill(joint, index, range(8)).compute()
    for name, factory in PARTS.items():
        alone = factory(index=index.indices[name])
        alone.detailed = True
        for i in range(8):
            alone.update([int(index.indices[name].image_ids[i])], [said(index, name, i)])
        want = alone.compute()
        assert {k.removeprefix(f"{name}/"): v for k, v in figures.items()
                if k.startswith(f"{name}/")} == want  # fmt: skip
        assert set(joint.details()) >= {f"{name}/{k}" for k in alone.details()}
        assert 0 < want[alone.monitor] < 1
    chosen = [figures["detection/AP"], figures["segmentation/miou"]]
    assert figures["score"] == sum(chosen) / 2
    assert (joint.monitor, joint.mode) == ("score", "max")
    joint.report(tmp_path)
    assert (tmp_path / "segmentation" / "confusion_matrix.png").is_file()
    boxes = json.loads((tmp_path / "detection" / "predictions.json").read_text())
    assert {entry["image_id"] for entry in boxes} <= set(range(10, 18))


def test_ranks_together_give_the_figures_of_one(index):
    whole = fill(JointEvaluator(index, PARTS), index, range(8))
    parts = [fill(JointEvaluator(index, PARTS), index, range(r, 8, 3)) for r in range(3)]
    states = [part.state() for part in parts]
    for part in parts:
        part.merge(states)
        assert part.compute() == whole.compute()
    whole.reset()
    assert (
        whole.compute()["segmentation/pixel_accuracy"]
        != parts[0].compute()["segmentation/pixel_accuracy"]
    )


def test_only_pictures_with_a_truth_count(root):
    """An exported file answers with all parts for every picture."""
    sets = {
        "boxes": {"root": str(root), "parts": {"detection": read_coco}},
        "masks": {"root": str(root), "parts": {"segmentation": read_coco_masks}},
    }
    index = read_sets(".", "val", sets)
    joint = JointEvaluator(index, PARTS)
    for i in range(8):
        parts = {name: said(index, name, i % 4) for name in index.indices}
        joint.update([i], [Joint(parts)])
    alone = CocoEvaluator(index=index.indices["detection"], engine="pycocotools")
    for i in range(4):
        alone.update([10 + i], [said(index, "detection", i)])
    assert joint.compute()["detection/AP"] == alone.compute()["AP"]


def test_undefined_figures_are_left_out_of_the_score(index):
    joint = JointEvaluator(index, PARTS)
    joint.parts["detection"].compute = lambda: {"AP": -1.0}
    joint.parts["segmentation"].compute = lambda: {"miou": 0.5}
    assert joint.compute()["score"] == 0.5
    joint.parts["segmentation"].compute = lambda: {"miou": float("nan")}
    assert joint.compute()["score"] == -1.0


def test_a_chosen_figure(index):
    joint = JointEvaluator(index, PARTS, monitor="segmentation/miou")
    assert (joint.monitor, joint.mode) == ("segmentation/miou", "max")
    assert set(joint.judged) == {"detection/AP", "segmentation/miou"}
    for wrong in ("AP", "boxes/AP"):
        with pytest.raises(ConfigError, match=rf"^evaluator.monitor: there is no '{wrong}'"):
            JointEvaluator(index, PARTS, monitor=wrong)


def test_figures_that_validation_does_not_give_are_refused(index):
    for wrong, near in (
        ("detection/AP5", "detection/AP"),
        ("segmentation/mioU", "segmentation/miou"),
        ("segmentation/boundary_f1", "segmentation/"),  # of the final report alone
    ):
        says = rf"^evaluator.monitor: validation gives no '{wrong}'; .*{near}"
        with pytest.raises(ConfigError, match=says):
            JointEvaluator(index, PARTS, monitor=wrong)
    chosen = fill(JointEvaluator(index, PARTS, monitor="detection/AP/red"), index, range(8))
    assert chosen.compute()[chosen.monitor] > 0


def test_a_calibration_error_is_to_fall(root):
    readers = {"detection": read_coco, "shown": lambda r, s: read_shown(r, s, read_coco)}
    index = read_joint(root, "train", readers)
    parts = {"detection": PARTS["detection"], "shown": ClassificationEvaluator}
    assert JointEvaluator(index, parts, monitor="shown/ece").mode == "min"
    assert JointEvaluator(index, parts, monitor="shown/micro_f1").mode == "max"


def test_parts_without_labels_are_named(index, root):
    with pytest.raises(ConfigError, match=r"^evaluator.parts.road: the data have labels for det"):
        JointEvaluator(index, {**PARTS, "road": SegmentationEvaluator})
    with pytest.raises(ConfigError, match=r"^evaluator: is for pictures with labels of several"):
        JointEvaluator(read_coco(root, "val"), PARTS)
    fewer = JointEvaluator(index, {"segmentation": SegmentationEvaluator})
    assert list(fewer.parts) == ["segmentation"]


def test_parts_that_get_better_as_they_fall_have_no_mean(index):
    class Falling(SegmentationEvaluator):
        mode = "min"

    with pytest.raises(ConfigError, match=r"^evaluator.monitor: segmentation/miou gets better"):
        JointEvaluator(index, {**PARTS, "segmentation": Falling})
    chosen = JointEvaluator(index, {**PARTS, "segmentation": Falling}, "segmentation/miou")
    assert chosen.mode == "min"
    assert replace(index).groups == (8,)
