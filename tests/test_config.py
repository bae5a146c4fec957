import sys

import pytest
import small_conf
from omegaconf import OmegaConf

from visionkit.build import build
from visionkit.compose import attempt, compose, config_dir
from visionkit.config import check, find_problems
from visionkit.errors import ConfigError
from visionkit.overrides import prepare, quoted, split_off, sweep_jobs


@pytest.fixture
def conf(tmp_path, monkeypatch):
    folder = small_conf.write(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield folder
    sys.modules.pop("miniparts", None)


@pytest.fixture
def problems_of(conf):
    def problems(*overrides, name="config", user_dir=None):
        cfg, found = attempt(overrides, name, user_dir, conf)
        return found + (find_problems(cfg, name) if cfg is not None else [])

    return problems


def test_the_package_finds_its_own_conf():
    for name in ("config", "evaluate", "predict"):
        assert (config_dir() / f"{name}.yaml").is_file()


def test_a_task_composes_checks_and_builds(conf):
    cfg = compose(["task=finding"], conf=conf)
    check(cfg)
    assert cfg.model.name == "big"
    backbone = build(cfg.backbone, "backbone", allow=cfg.allow)
    assert backbone.size == 9


def test_the_command_line_wins_over_the_task_and_experiments_over_groups(conf):
    cfg = compose(["task=finding", "backbone=small", "experiment=longer"], conf=conf)
    assert (cfg.backbone.size, cfg.trainer.max_epochs) == (1, 7)
    assert compose(["task=finding", "model=null"], conf=conf).backbone.size == 1


def test_every_wrong_override_is_told_at_once_and_the_rest_is_still_checked(problems_of):
    found = problems_of(
        "task=findin",
        "backbone=smal",
        "bakbone=small",
        "trainer.max_epoch=3",
        "lr=0.1",
        "ema.decay=1.5",
        "optimizer.lr=fast",
        "predict.confidence=[1",
        "seed=1,2",
        "nonsense",
    )
    assert (
        "task: there is no 'findin'; did you mean 'finding'? (there are: finding, sorting)" in found
    )
    assert "backbone: there is no 'smal'; did you mean 'small'? (there are: large, small)" in found
    assert "bakbone: there is no such key or group; did you mean 'backbone'?" in found
    assert "lr: there is no such key or group; did you mean 'optimizer.lr'?" in found
    assert (
        "trainer.max_epoch: there is no such key or group; did you mean 'trainer.max_epochs'?"
        in found
    )
    assert "ema.decay: must be between 0 and 1, got 1.5" in found
    assert "optimizer.lr: expected a number or Tensor, got 'fast'" in found
    text = "\n".join(found)
    assert "predict.confidence=[1: can't be read as an override" in text
    assert "seed=1,2: several values need --multirun" in text
    assert "nonsense: can't be read as an override; write key=value" in text
    assert len(found) == 10


def test_a_missing_task_lists_the_tasks(problems_of):
    assert problems_of() == [
        "task: missing; choose one with task=... (there are: finding, sorting)"
    ]


def test_an_option_without_a_near_name(problems_of):
    found = problems_of("task=finding", "backbone=xyz", "trainer.max_epochs=soon")
    assert found == [
        "backbone: there is no 'xyz' (there are: large, small)",
        "trainer.max_epochs: expected an integer, got 'soon'",
    ]


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("seed=-1", "seed: must be between 0 and 4294967295, got -1"),
        ("seed=x", "seed: expected an integer, got 'x'"),
        ("ema.ramp=-1", "ema.ramp: must be at least 0, got -1"),
        ("predict.max_detections=0", "predict.max_detections: must be at least 1, got 0"),
        ("predict.scales=[1,5]", "predict.scales: must be between 0.25 and 4, got 5"),
        ("predict.scales=[]", "predict.scales: must have at least 1 of them, got []"),
        ("predict.scales=0.5", "predict.scales: expected a list, got 0.5"),
        ("predict.window=31", "predict.window: expected 'none' or an integer (at least 32)"),
        ("predict.window=[64]", "predict.window: expected 2 values, got 1: [64]"),
        ("predict.overlap=0.95", "predict.overlap: must be between 0 and 0.9, got 0.95"),
        ("model.compile=perhaps", "model.compile: expected true or false, got 'perhaps'"),
        ("allow=numpy", "allow: expected a list, got 'numpy'"),
        ("+ema.decya=1", "ema.decya: nothing reads this key; did you mean 'decay'?"),
        ("+sede=1", "sede: nothing reads this key; did you mean 'seed'?"),
        ("+backbone.sice=1", "backbone.sice: Part has no such argument; did you mean 'size'?"),
        ("head._target_=miniparts.Fited", "head._target_: miniparts has no 'Fited'"),
        ("+head.num_classes=3", "head.num_classes: is set by visionkit itself; remove it"),
        ("neck=null", "neck: missing; choose one with neck=..."),
        ("~neck", "neck: missing; give it a value with neck=..."),
        ("+callbacks.third={a:1}", "callbacks.third._target_: missing"),
        ("head._target_=miniparts.Part", "head: Part must take the argument 'in_features'"),
        ("backbone.size=???", "backbone.size: missing; give it a value with backbone.size=..."),
        ("backbone.size=${no.where}", "backbone.size: Interpolation key 'no.where' not found"),
        ("data=files", "data.root: missing"),
        ("+callbacks.first.size=a", "callbacks.first.size: expected an integer, got 'a'"),
        ("callbacks=3", "callbacks: expected nodes by name, got 3"),
        ("model=3", "model: "),
        ("trainer.lift=3", "trainer.lift: there is no such key or group; to add an argument"),
        ("backbone=null", "backbone: missing"),
        ("resume=gone.ckpt", "resume: there is no file 'gone.ckpt'; check the path"),
        ("model.weights=gone.pth", "model.weights: there is no file 'gone.pth'; check the path"),
        ("+backbone.weights=gone.pth", "backbone.weights: there is no file 'gone.pth'"),
    ],
)
def test_one_problem_one_line(problems_of, override, line):
    found = problems_of("task=finding", override)
    assert any(told.startswith(line) for told in found), found
    assert all("\n" not in told for told in found)


def test_a_data_root_must_be_there_unless_the_layout_makes_it(problems_of, tmp_path):
    assert problems_of("task=finding", "data.root=not yet") == []
    gone = problems_of("task=finding", "data=files", "data.root=gone away")
    assert gone == [
        "data.root: there is no 'gone away'; give the folder of the data set with data.root=DIR"
    ]
    (tmp_path / "gone away").mkdir()
    assert problems_of("task=finding", "data=files", "data.root=gone away") == []


def test_auto_none_and_default_are_no_files(problems_of):
    assert problems_of("task=finding", "resume=auto", "model.weights=none") == []


def test_check_raises_everything_in_one_error(conf):
    cfg = compose(["task=finding", "seed=-1", "ema.decay=2"], conf=conf)
    with pytest.raises(ConfigError) as caught:
        check(cfg)
    assert len(caught.value.problems) == 2


def test_a_plain_mapping_can_be_checked(conf):
    cfg = OmegaConf.to_container(compose(["task=finding"], conf=conf))
    cfg["extra"] = 1
    assert find_problems(cfg) == [
        line for line in find_problems(cfg) if line.startswith("extra: nothing reads this key")
    ]
    assert find_problems(cfg)


def test_a_folder_of_ones_own_stands_beside_ours(problems_of, conf, tmp_path):
    mine = tmp_path / "my own"
    (mine / "experiment").mkdir(parents=True)
    (mine / "experiment" / "mine.yaml").write_text("# @package _global_\nseed: 5\n")
    cfg = compose(["task=finding", "experiment=mine"], user_dir=mine, conf=conf)
    assert cfg.seed == 5
    found = problems_of("task=finding", "experiment=mien", user_dir=mine)
    assert found == [
        "experiment: there is no 'mien'; did you mean 'mine'? (there are: longer, mine)"
    ]
    assert problems_of("task=finding", user_dir="nowhere") == [
        "--config-dir: there is no folder 'nowhere'"
    ]


def test_the_fault_of_a_yaml_file_is_told(problems_of, conf):
    (conf / "experiment" / "bad.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /backbone: gone\n"
    )
    (conf / "experiment" / "worse.yaml").write_text("a: [1\n")
    for name in ("bad", "worse"):
        found = problems_of("task=finding", f"experiment={name}")
        assert len(found) == 1
        assert "\n" not in found[0]
    assert "gone" in problems_of("task=finding", "experiment=bad")[0]


def test_evaluate_and_predict_have_schemas_of_their_own(problems_of, tmp_path):
    (tmp_path / "best.ckpt").touch()
    assert problems_of("checkpoint=best.ckpt", name="evaluate") == []
    assert problems_of("checkpoint=best.ckpt", "data=made", name="evaluate") == []
    assert problems_of("checkpoint=best.ckpt", "split=tset", name="evaluate") == [
        "split: 'tset' is not one of 'train', 'val', 'test'; did you mean 'test'?"
    ]
    assert problems_of("checkpoint=best.ckpt", "source=a", "batch_size=0", name="predict") == [
        "batch_size: must be at least 1, got 0"
    ]
    chosen = ["checkpoint=best.ckpt", "formats=[csv,cocoo]", "annotations=none.json"]
    assert problems_of(*chosen, name="predict") == [
        "formats: 'cocoo' is not one of 'pictures', 'json', 'csv', 'coco', 'yolo', 'video'; did "
        "you mean 'coco'?",
        "annotations: there is no file 'none.json'; check the path",
    ]
    assert problems_of("checkpoint=best.ckpt", "n=0", "seed=-1", name="predict") == [
        "n: expected an integer (at least 1) or null, got 0",
        "seed: expected an integer (at least 0) or null, got -1",
    ]
    assert problems_of(name="predict") == [
        "checkpoint: missing; give it a value with checkpoint=..."
    ]
    assert problems_of("checkpoint=no.ckpt", name="predict") == [
        "checkpoint: there is no file 'no.ckpt'; check the path",
    ]


@pytest.mark.parametrize(
    "path",
    [
        "img[0-9].jpg",
        "my dir/a=1",
        "runs/a,b/best.ckpt",
        "it's",
        "a\\",
        "b\\'c",
        "{x}",
        "007",
        "a#b",
    ],
)
def test_paths_come_through_as_they_are(conf, path):
    overrides = [f"source={path}", f"checkpoint={path}"]
    cfg = compose(overrides, "predict", conf=conf)
    assert (cfg.source, cfg.checkpoint) == (path, path)
    again = compose([f"source={quoted(path)}", "checkpoint=x"], "predict", conf=conf)
    assert again.source == path


def test_home_and_null_in_paths(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert prepare(["data.root=~/sets"]) == ["data.root='/home/me/sets'"]
    assert prepare(["resume=null", "seed=1", "+backbone.weights=a b"]) == [
        "resume=null",
        "seed=1",
        "+backbone.weights='a b'",
    ]


def test_roots_of_several_sets_are_paths():
    assert prepare(["data.layout.sets.masks.root=a=b, c", "data.layout.sets.root.x=1"]) == [
        "data.layout.sets.masks.root='a=b, c'",
        "data.layout.sets.root.x=1",
    ]


def test_a_sweep_over_paths_and_values_is_taken_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x,y").mkdir()
    assert sweep_jobs(["seed=0,1", "data.root=a b,c", "task=finding"]) == [
        [f"seed={seed}", f"data.root='{root}'", "task=finding"]
        for seed in (0, 1)
        for root in ("a b", "c")
    ]
    assert sweep_jobs(["data.root=x,y"]) == [["data.root='x,y'"]]
    assert len(sweep_jobs(["seed=range(0,3)"])) == 3


def test_settings_of_the_checkpoints_own_data_are_split_off():
    stay, data = split_off(
        "data", ["checkpoint=a", "data.root=my dir", "data.batch_size=4", "split=val"]
    )
    assert stay == ["checkpoint=a", "split=val"]
    assert data == {"root": "my dir", "batch_size": 4}
    whole = ["data=coco", "data.root=x"]
    assert split_off("data", whole) == (whole, {})
    assert split_off("data", ["data.layout.a=[1,2]"])[1] == {"layout": {"a": [1, 2]}}
