from tiny import make_coco

from visionkit.tuning.probe import _probe

SMALL = [
    *("task=detection", "data=coco", "data.image_size=64", "trainer=cpu", "backbone.width=0.125"),
    *("backbone.depth=0.1", "neck.out_channels=[16,24,32]", "head.bins=8"),
]


def test_a_run_says_what_its_best_checkpoint_is_chosen_by(squares, tmp_path):
    folder = tmp_path / "run"
    found, lines = _probe([*SMALL, f"data.root={squares}", "seed=7"], None, str(folder))
    assert lines == []
    gpus = found.pop("gpus")
    assert gpus >= 0
    assert found == {"metric": "AP", "mode": "max", "epochs": 9, "seed": 7, "validates": True}
    assert not folder.exists()


def test_what_is_wrong_with_the_data_is_told(tmp_path):
    root = make_coco(tmp_path / "set", {"train": 3})
    found, lines = _probe([*SMALL, f"data.root={root}", "trainer.max_steps=9"], None, "x")
    assert (found["validates"], found["epochs"], lines) == (False, None, [])
    (root / "annotations" / "instances_train.json").write_text("{")
    found, (line,) = _probe([*SMALL, f"data.root={root}"], None, "x")
    assert found == {}
    assert "instances_train.json" in line
