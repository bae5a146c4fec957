import math

import pytest
from small_gans import make_images, words
from small_joint import SMALL, make_joint_set
from tiny import make_folders

from visionkit.finding.steps import in_a_process, measure_here
from visionkit.tasks.joint import JointTask


def test_training_is_measured(tmp_path):
    root = make_folders(tmp_path / "set")
    given = [
        *("task=classification", "backbone=lenet", "data=folder", f"data.root={root}"),
        *("data.image_size=64", "data.multiscale=0.5", "trainer=cpu"),
    ]
    seen = measure_here(given, None, str(tmp_path / "run"), 4, 5)
    assert (seen.size, seen.device, seen.why) == (4, "cpu", None)
    assert 0 < seen.seconds < 5
    assert seen.speed == pytest.approx(4 / seen.seconds)
    assert seen.memory is None or seen.memory > 10**7
    assert not (tmp_path / "run").exists()
    short = measure_here(given, None, str(tmp_path / "run"), 64, 5)
    assert short.why == "the train split has only 12 pictures"
    assert math.isnan(short.seconds)


def test_networks_that_train_by_turns_are_measured(tmp_path):
    given = words("dcgan", make_images(tmp_path / "set"), tmp_path, tmp_path / "run")
    given = [w for w in given if not w.startswith(("run_dir", "data.batch_size", "data.num_w"))]
    seen = measure_here(given, None, str(tmp_path / "run"), 4, 4)
    assert seen.why is None
    assert seen.seconds > 0
    assert not (tmp_path / "run").exists()


def test_a_batch_of_each_set_is_trained_in_turn(tmp_path, monkeypatch):
    make_joint_set(tmp_path / "boxes")
    make_joint_set(tmp_path / "masks", {"train": 4, "val": 2})
    given = [
        *("task=multitask", "data=joint_sets", f"data.root={tmp_path}", "data.image_size=64"),
        *("data.layout.sets.masks.parts.segmentation._target_="
          "visionkit.data.coco_masks.read_coco_masks",),
        *("backbone.width=0.125", "backbone.depth=0.1", "trainer=cpu", *SMALL),
    ]  # fmt: skip
    seen = []
    raw = JointTask.raw
    monkeypatch.setattr(JointTask, "raw", lambda self, b: seen.append(b.parts) or raw(self, b))
    measured = measure_here(given, None, str(tmp_path / "run"), 4, 3)
    assert measured.why is None
    assert measured.seconds > 0
    assert seen == [("detection",), ("segmentation",)] * 3
    short = measure_here(given, None, str(tmp_path / "run"), 6, 3)
    assert short.why == "a set of the train split has only 4 pictures"


@pytest.mark.slow  # a process that loads everything
def test_a_size_has_a_process_of_its_own(tmp_path):
    root = make_folders(tmp_path / "set")
    given = [
        *("task=classification", "backbone=lenet", "data=folder", f"data.root={root}"),
        *("data.image_size=32", "trainer=cpu"),
    ]
    seen = in_a_process(given, None, tmp_path, 4)(4)
    assert (seen.size, seen.why) == (4, None)
    assert seen.seconds > 0
    assert [p.name for p in tmp_path.iterdir()] == ["set"]
