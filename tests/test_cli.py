import json
import logging
import os
import subprocess
import sys
import types

import pytest
import small_conf

import visionkit
from visionkit import cli, compose
from visionkit.errors import ConfigError, DataError

HEAVY = {"torch", "lightning", "albumentations", "matplotlib", "cv2", "hydra"}


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """An empty current folder beside a small conf/, with ``visionkit.train`` and its like faked."""
    conf = small_conf.write(tmp_path)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(compose, "config_dir", lambda: conf)
    monkeypatch.setattr(sys, "argv", ["visionkit"])
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield here
    root.handlers[:], root.level = handlers, level  # Hydra's --info sets up logging of its own
    sys.modules.pop("miniparts", None)


@pytest.fixture
def runs(monkeypatch):
    """The configurations that reached a command, with ``sys.argv`` as it was then."""
    seen = []

    def run(cfg):
        seen.append((cfg, list(sys.argv)))
        return {}

    for name in ("train", "evaluate", "predict"):
        module = types.ModuleType(f"visionkit.{name}")
        module.run = run
        monkeypatch.setitem(sys.modules, f"visionkit.{name}", module)
    return seen


def train(*arguments):
    sys.argv = ["visionkit", "train", *arguments]
    return cli.main()


def test_importing_visionkit_loads_nothing_heavy():
    code = "import sys, json, visionkit, visionkit.cli; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(json.loads(done.stdout))


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["train", "--help"], []])
def test_help_and_version_load_nothing_heavy(arguments):
    code = (
        "import sys; from visionkit.cli import main; code = main(sys.argv[1:]);"
        f"print('loaded', sorted({HEAVY!r} & set(sys.modules)), code)"
    )
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded [] 0"


def test_module_and_version():
    command = [sys.executable, "-m", "visionkit", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"visionkit {visionkit.__version__}\n"


def test_unknown_attributes_of_the_package():
    with pytest.raises(AttributeError, match="nothing"):
        visionkit.nothing  # noqa: B018
    assert "load" in dir(visionkit)


def test_unknown_command(capsys):
    assert cli.main(["tarin"]) == 2
    assert capsys.readouterr().err == "error: tarin: no such command; did you mean 'train'?\n"


def test_train_runs_in_its_folder(workplace, runs):
    assert train("task=finding", "run_dir=my runs/a=1", "seed=3") == 0
    ((cfg, argv),) = runs
    assert (cfg.seed, cfg.run_dir, cfg.task.name) == (3, "my runs/a=1", "finding")
    assert os.path.samefile(os.getcwd(), workplace)
    assert (workplace / "my runs" / "a=1").is_dir()
    assert sorted(p.name for p in workplace.iterdir()) == ["my runs"]
    assert list((workplace / "my runs" / "a=1").iterdir()) == []
    assert argv == ["visionkit", "train", "task=finding", "seed=3", "run_dir='my runs/a=1'"]
    assert sys.argv[2] == "task=finding"


def test_a_further_rank_started_by_the_replayed_arguments_shares_the_folder(workplace, runs):
    assert train("task=finding") == 0
    assert train(*runs[0][1][2:], f'hydra.run.dir="{runs[0][0].run_dir}"') == 0
    assert runs[0][0] == runs[1][0]


def test_all_errors_are_told_before_anything_is_made(workplace, runs, capsys):
    assert train("task=findin", "sede=1", "ema.decay=3") == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 3
    assert all(line.startswith("error: ") for line in told)
    assert not runs
    assert list(workplace.iterdir()) == []


def test_a_sweep_runs_each_job_in_a_folder_of_its_own(workplace, runs):
    assert train("--multirun", "task=finding", "seed=1,2", "run_dir=sweep") == 0
    assert [cfg.seed for cfg, _ in runs] == [1, 2]
    folders = [cfg.run_dir for cfg, _ in runs]
    assert folders == [str(workplace / "sweep" / n) for n in "01"]
    assert [argv[2:] for _, argv in runs] == [
        ["task=finding", f"seed={seed}", f"run_dir='{folder}'"]
        for seed, folder in zip((1, 2), folders, strict=True)
    ]


def test_a_sweep_over_tasks_needs_no_run_dir(workplace, runs):
    assert train("-m", "task=finding,sorting") == 0
    assert [cfg.task.name for cfg, _ in runs] == ["finding", "sorting"]
    assert runs[0][0].run_dir != runs[1][0].run_dir


def test_a_sweep_is_checked_job_by_job_before_the_first_runs(workplace, runs, capsys):
    assert train("-m", "task=finding", "seed=1,-2,-3") == 2
    told = capsys.readouterr().err.splitlines()
    assert told == [f"error: seed: must be between 0 and 4294967295, got {n}" for n in (-2, -3)]
    assert not runs


@pytest.mark.parametrize("flags", [[], ["--multirun"]])
@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (DataError("a.jpg: truncated;\n replace it"), 2, "error: a.jpg: truncated; replace it\n"),
        (ConfigError(["a: x", "b: y"]), 2, "error: a: x\nerror: b: y\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_errors_of_a_run_end_without_traceback(
    workplace, monkeypatch, capsys, flags, error, code, says
):
    def run(cfg):
        raise error

    monkeypatch.setitem(sys.modules, "visionkit.train", types.SimpleNamespace(run=run))
    assert train(*flags, "task=finding") == code
    assert capsys.readouterr().err == says


def test_unexpected_errors_keep_their_traceback(workplace, monkeypatch):
    def run(cfg):
        raise KeyError("a bug")

    monkeypatch.setitem(sys.modules, "visionkit.train", types.SimpleNamespace(run=run))
    with pytest.raises(KeyError) as caught:
        train("task=finding")
    assert caught.traceback[-1].name == "run"


def test_cfg_prints_the_configuration(workplace, runs, capsys):
    assert train("task=finding", "--cfg", "job", "--resolve") == 0
    assert "name: finding" in capsys.readouterr().out
    assert train("task=finding", "--info", "defaults") == 0
    assert "backbone/large" in capsys.readouterr().out
    assert not runs


def test_a_configuration_folder_of_ones_own(workplace, runs):
    mine = workplace / "mine"
    (mine / "experiment").mkdir(parents=True)
    (mine / "experiment" / "quick.yaml").write_text("# @package _global_\nseed: 9\n")
    assert train("task=finding", "experiment=quick", "--config-dir", "mine", "run_dir=r") == 0
    cfg, argv = runs[0]
    assert cfg.seed == 9
    assert argv[2:4] == ["--config-dir", "mine"]


def test_wrong_options(workplace, capsys):
    assert train("--nonsense", "task=finding") == 2
    assert cli.main(["evaluate", "--nonsense"]) == 2
    assert cli.main(["list", "everything"]) == 2
    assert capsys.readouterr().err.count("error: ") == 3


def test_evaluate_splits_settings_off(workplace, runs):
    (workplace / "a,b.ckpt").touch()
    arguments = ["checkpoint=a,b.ckpt", "data.root=my data", "data.batch_size=4", "split=val"]
    arguments += ["evaluator.top=3"]
    assert cli.main(["evaluate", *arguments]) == 0
    cfg = runs[0][0]
    assert cfg.data is None
    assert (cfg.checkpoint, cfg.split) == ("a,b.ckpt", "val")
    assert cfg.data_overrides == {"root": "my data", "batch_size": 4}
    assert cfg.evaluator_overrides == {"top": 3}


def test_evaluate_with_other_data(workplace, runs, capsys):
    (workplace / "a.ckpt").touch()
    assert cli.main(["evaluate", "checkpoint=a.ckpt", "data=files", "data.root=gone"]) == 2
    assert "data.root: there is no 'gone'" in capsys.readouterr().err
    assert cli.main(["evaluate", "checkpoint=a.ckpt", "data=files", "data.root=."]) == 0
    assert runs[0][0].data.root == "."
    assert "data_overrides" not in runs[0][0]


def test_predict(workplace, runs, capsys):
    assert cli.main(["predict", "source=img[0-9].jpg"]) == 2
    assert "checkpoint: missing" in capsys.readouterr().err
    (workplace / "a.ckpt").touch()
    assert cli.main(["predict", "checkpoint=a.ckpt", "source=img[0-9].jpg"]) == 0
    assert runs[0][0].source == "img[0-9].jpg"


@pytest.mark.parametrize("command", ["evaluate", "predict", "list"])
def test_help_of_the_commands(command, capsys):
    assert cli.main([command, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: visionkit {command}")


def test_list_shows_options_and_their_first_comment(workplace, capsys):
    assert cli.main(["list"]) == 0
    out = capsys.readouterr().out
    for text in ("task=finding", "Finds things.", "model=big", "The big one.", "A small trunk."):
        assert text in out
    assert "@package" not in out
