"""``visionkit tune`` from the words to the files, with trials that take no time."""

import csv
import io
import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from fake_trials import ABOUT, EPOCHS, LR, Fake, figure
from rich.console import Console

from visionkit import tune
from visionkit.callbacks.trial import Trial
from visionkit.compose import compose
from visionkit.errors import ConfigError, DataError
from visionkit.tuning import trials
from visionkit.tuning.journal import open_storage
from visionkit.tuning.request import read_request
from visionkit.tuning.results import winning_words, write_experiment
from visionkit.tuning.study import Study
from visionkit.tuning.trials import Machine, run_all, stopping_on_signals

pytest.importorskip("optuna")


@pytest.fixture
def fake(monkeypatch):
    """No processes: a formula stands for training. Unless ``wholly``, nothing is drawn either."""

    def use(made: Fake, wholly: bool = False) -> Fake:
        monkeypatch.setattr(trials, "_process", made)
        if not wholly:
            monkeypatch.setattr(
                tune,
                "check_request",
                lambda r: {} if "Choice" in repr(r.space) else {"optimizer.lr": 0.002},
            )
            monkeypatch.setattr("visionkit.tuning.results.write_experiment", lambda *_: None)
            monkeypatch.setattr("visionkit.tuning.plots.draw", lambda *_: [])
        monkeypatch.setattr(tune, "probe", lambda words, user_dir, folder: dict(ABOUT))
        return made

    return use


@pytest.fixture
def words(squares, tmp_path):
    run_dir = f"run_dir={tmp_path / 'study'}"
    return ["task=detection", "data=coco", f"data.root={squares}", LR, run_dir]


def run(words):
    console = Console(file=io.StringIO(), width=300)
    return tune.run(words, None, console), console.file.getvalue()


def test_a_search_finds_the_best_and_writes_it_all(fake, words, tmp_path):
    made = fake(Fake(), wholly=True)
    found, text = run([*words, "space.optimizer=choice(muon, adamw)", "trials=14"])
    folder = tmp_path / "study"
    assert [t["trial"] for t in found["trials"]] == list(range(14))
    assert found["trials"][0]["params"] == {"optimizer.lr": 0.002, "optimizer": "muon"}
    assert {t["state"] for t in found["trials"]} == {"complete", "pruned"}
    assert all(t["epochs"] == EPOCHS for t in found["trials"] if t["state"] == "complete")
    done = [t for t in found["trials"] if t["state"] == "complete"]
    best = max(done, key=lambda t: t["AP"])
    assert best["AP"] == pytest.approx(figure(best["params"]["optimizer.lr"]))
    assert found["best"]["trial"] == best["trial"]
    assert json.loads((folder / "study.json").read_text()) == found
    assert sorted(p.name for p in folder.iterdir()) == [
        *("curves.png", "experiment", "history.png", "parameters.png", "study.journal"),
        *("study.json", "study.lock", "trials", "trials.csv"),
    ]
    # the recipe and the command are the trial itself
    lr = best["params"]["optimizer.lr"]
    mine = compose(["experiment=best", "run_dir=x"], user_dir=folder)
    assert (mine.optimizer.lr, mine.data.root) == (lr, words[2].partition("=")[2])
    named = {"muon": "visionkit.tasks.optim.Muon", "adamw": "torch.optim.AdamW"}
    assert mine.optimizer._target_ == named[best["params"]["optimizer"]]
    assert f"optimizer.lr={lr}" in found["best"]["command"]
    assert f"best: trial {best['trial']}, AP {best['AP']:.4f}" in text
    with (folder / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(r["AP"]) for r in rows] == [t["AP"] for t in found["trials"]]
    # each run has its words, its folder, and nothing to resume
    assert [Path(s["run_dir"]).name for s in made.seen] == [f"{n:04d}" for n in range(14)]
    assert not any("resume" in s for s in made.seen)
    assert {s["task"] for s in made.seen} == {"detection"}


def test_a_recipe_has_lists_of_parts_and_their_heads(words, tmp_path):
    joint = ["task=multitask", "data=joint_coco", words[2], "parts=[segmentation,classification]",
             "parts.segmentation.head=unet", "parts.segmentation.weight=2"]  # fmt: skip
    request = read_request([*joint, LR, words[4]])
    path = write_experiment(request, winning_words(request, {"optimizer.lr": 0.01}))
    assert path is not None
    recipe = compose(["experiment=best", "run_dir=x"], user_dir=request.folder)
    assert list(recipe.parts) == ["segmentation", "classification"]
    assert recipe.parts.segmentation.head._target_.endswith("UnetHead")
    assert (recipe.parts.segmentation.weight, recipe.optimizer.lr) == (2, 0.01)


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        (["experiment=small_data"], ("Muon", 320, 40)),
        (["experiment=[small_data,finetune_rcnn]", "model=faster_rcnn"], ("AdamW", 320, 12)),
        (["experiment=finetune_rcnn", "model=faster_rcnn", "optimizer=sgd"], ("SGD", 320, 12)),
        (["experiment=small_data", "trainer.max_epochs=7", "data.image_size=96"], ("Muon", 96, 7)),
        (["experiment=null"], ("Muon", 640, 9)),
    ],
)
def test_a_recipe_stands_on_others(words, given, seen):
    request = read_request([*words, LR, *given])
    path = write_experiment(request, winning_words(request, {"optimizer.lr": 0.01}))
    assert path is not None
    recipe = compose(["experiment=best", "run_dir=x"], user_dir=request.folder)
    optimizer = recipe.optimizer._target_.rpartition(".")[2]
    assert (optimizer, recipe.data.image_size, recipe.trainer.max_epochs) == seen
    assert recipe.optimizer.lr == 0.01


def test_failed_trials_are_told_and_the_search_goes_on(fake, words):
    fake(Fake(codes={1: 2, 3: -9}))
    found, text = run([*words, "trials=5", "pruner.name=none"])
    assert [t["state"] for t in found["trials"]] == [
        *("complete", "fail", "complete", "fail", "complete"),
    ]
    assert found["trials"][1]["error"] == "data.root: it rained"
    assert re.search(r"trial 1, .*: failed: data\.root: it rained; see .*0001/log\.txt", text)
    assert "want of memory" in found["trials"][3]["error"]
    assert "5 trials: 3 trained to the end, 2 failed" in text


def test_a_search_whose_first_trials_all_fail_ends(fake, words):
    made = fake(Fake(codes=dict.fromkeys(range(9), 2)))
    with pytest.raises(ConfigError, match=r"first three trials all failed.*it rained"):
        run([*words, "trials=9"])
    assert len(made.seen) == 3


def test_a_search_that_died_goes_on_where_it_was(fake, words, tmp_path):
    whole = fake(Fake())
    expected, _ = run([*words[:-1], f"run_dir={tmp_path / 'whole'}", "trials=6"])
    fake(Fake(dies=(2, 3)))
    with pytest.raises(MemoryError):
        run([*words, "trials=6"])
    # half a line, as a kill in the midst of writing leaves it
    journal = tmp_path / "study" / "study.journal"
    with journal.open("a") as file:
        file.write('{"op_code": 4, "wor')
    again = fake(Fake())
    found, text = run([words[-1]])
    assert "6 trials, of which 3 had begun before" in text
    assert [Path(s["run_dir"]).name for s in again.seen] == ["0002", "0003", "0004", "0005"]
    assert [s.get("resume") for s in again.seen] == ["auto", None, None, None]
    strip = [{k: v for k, v in t.items() if k != "seconds"} for t in found["trials"]]
    assert strip == [{k: v for k, v in t.items() if k != "seconds"} for t in expected["trials"]]
    assert len(whole.seen) == 6
    # nothing is left to do, unless more is asked for
    assert fake(Fake()).seen == []
    found, _ = run([words[-1], "trials=7"])
    assert len(found["trials"]) == 7


def test_another_search_in_the_same_folder_is_refused(fake, words):
    fake(Fake())
    run([*words, "trials=1"])
    with pytest.raises(ConfigError, match=r"run_dir: .* holds a search with another words"):
        run([*words, "trials=2", "seed=3"])
    with pytest.raises(ConfigError, match=r"another space .*log.*float"):
        run([*words[:3], words[4], "space.optimizer.lr=float(0, 1)"])


def test_a_set_without_val_split_is_refused_before_any_trial(fake, words, monkeypatch):
    made = fake(Fake())
    monkeypatch.setattr(tune, "probe", lambda *_: ABOUT | {"validates": False})
    with pytest.raises(DataError, match="a search needs a val split"):
        run(words)
    assert made.seen == []


def test_trials_of_a_search_in_the_background_can_be_stopped():
    says = "import signal; print(signal.getsignal(signal.SIGINT) == signal.SIG_IGN)"
    asked = [sys.executable, "-c", says]
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert subprocess.check_output(asked, text=True) == "True\n"
        with stopping_on_signals():
            assert subprocess.check_output(asked, text=True) == "False\n"
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_stopped_search_keeps_all(fake, words, monkeypatch):
    made = fake(Fake())
    original = Fake.__call__

    def stopped(self, machine, *rest):
        if len(self.seen) == 2:
            machine.stop()
            return 130
        return original(self, machine, *rest)

    monkeypatch.setattr(Fake, "__call__", stopped)
    console = Console(file=io.StringIO(), width=300)
    with pytest.raises(KeyboardInterrupt):
        tune.run([*words, "trials=5"], None, console)
    assert "trial 2 was stopped, and goes on with the search" in console.file.getvalue()
    assert "3 trials: 2 trained to the end, 1 stopped" in console.file.getvalue()
    monkeypatch.setattr(Fake, "__call__", original)
    found, _ = run([words[-1]])
    assert [t["state"] for t in found["trials"]][:3] == ["complete"] * 3
    assert len(made.seen) == 5


def test_several_workers_share_a_study_and_no_trial_is_run_twice(fake, words):
    made = fake(Fake())
    request = read_request([*words, "trials=8", "workers=3", "sampler.name=random"])
    studies = [Study(request, ABOUT), Study(request, ABOUT)]  # as two processes have it
    lines: list[str] = []
    machines = [Machine(workers=3), Machine(workers=1)]
    other = threading.Thread(target=run_all, args=(studies[1], machines[1], 1e18, lines.append))
    other.start()
    assert run_all(studies[0], machines[0], 1e18, lines.append)
    other.join()
    ended = studies[0].trials()
    assert len(ended) == len(lines) == len(made.seen) == 8
    assert all(t.state.is_finished() for t in ended)
    assert len({t.params["optimizer.lr"] for t in ended}) == 8
    assert all((studies[0].folder_of(n) / "lock").exists() for n in range(8))


def test_workers_share_gpus_and_cores_out(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    machine = Machine(gpus=2, workers=3)
    found = [machine.environment(n) for n in range(3)]
    assert [e["CUDA_VISIBLE_DEVICES"] for e in found] == ["2", "5", "2"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    several = Machine(gpus=5, workers=2)
    assert [several.environment(n)["CUDA_VISIBLE_DEVICES"] for n in range(2)] == ["0,1", "2,3"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert all(int(e["OMP_NUM_THREADS"]) >= 1 for e in found)
    assert Machine(gpus=2, workers=1).environment(0)["CUDA_VISIBLE_DEVICES"] == "2,5"


def test_values_are_not_tried_twice(fake, words):
    made = fake(Fake())
    given = [*words[:3], words[4], "space.optimizer.lr=choice(0.1, 0.01)", "pruner.name=none"]
    found, text = run([*given, "trials=9", "sampler.startup=0"])
    assert sorted(s["optimizer.lr"] for s in made.seen) == [0.01, 0.1]
    assert "all values of the space were tried" in text
    assert len(found["trials"]) == 2
    assert found["best"]["params"] == {"optimizer.lr": "0.01"}


def test_what_is_left_of_a_finite_space_is_found(fake, words):
    """Where hardly any value is left, drawing at random would hardly find it."""
    made = fake(Fake())
    space = "space.optimizer.lr=float(0.001, 0.05, 0.001)"
    given = [*words[:3], words[4], space, "pruner.name=none", "sampler.name=random"]
    found, text = run([*given, "trials=60", "workers=2"])
    assert len(found["trials"]) == len({round(s["optimizer.lr"], 6) for s in made.seen}) == 50
    assert "all values of the space were tried" in text


def test_half_a_line_is_cut_off_by_whoever_writes_next(fake, words, tmp_path):
    """Also while a search is on: another process may be killed in the midst of writing."""
    request = read_request([*words, "trials=3"])
    study = Study(request, ABOUT)
    number, lock = study.next()
    os.close(lock)
    journal = tmp_path / "study" / "study.journal"
    with journal.open("a") as file:
        file.write('{"op_code": 4, "wor')
    before = journal.read_bytes()
    reading = open_storage(tmp_path / "study")
    assert journal.read_bytes() == before  # nothing is changed without need
    Trial(str(tmp_path / "study"), number)._note(1, 0.5)
    assert reading.get_all_studies()
    assert Study(request, ABOUT).trial(number).intermediate_values == {1: 0.5}


def test_of_several_validations_in_an_epoch_the_best_counts(fake, words, tmp_path):
    study = Study(read_request([*words, "trials=3"]), ABOUT)
    number, lock = study.next()
    os.close(lock)
    trial = Trial(str(tmp_path / "study"), number)
    told = ((0.2, 0.2), (0.5, 0.5), (0.4, 0.5), (math.nan, 0.5), (math.inf, 0.5))
    for value, known in told:
        trial._note(1, value, judge=False)
        assert study.trial(number).intermediate_values == {1: known}


def test_hyperband_ends_trials_too(fake, words):
    fake(Fake())
    found, _ = run([*words, "trials=12", "pruner.name=hyperband", "sampler.name=random"])
    states = [t["state"] for t in found["trials"]]
    assert "pruned" in states
    assert "complete" in states


def test_a_metric_that_is_to_be_low(fake, words, monkeypatch):
    fake(Fake())
    found, text = run([*words, "trials=4", "pruner.name=none", "metric=loss", "mode=min"])
    assert "the lowest loss of the val split" in text
    # the least of all validations counts, which is the first here
    best = min(found["trials"], key=lambda t: t["loss"])
    assert found["best"]["trial"] == best["trial"]


def test_a_journal_that_is_none(tmp_path):
    from visionkit.errors import CheckpointError

    (tmp_path / "study.journal").write_text("hello\nworld\n")
    with pytest.raises(CheckpointError, match=r"study\.journal: no journal of a search"):
        open_storage(tmp_path)


def test_without_optuna_the_extra_is_named(words, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'visionkit\[tune\]'"):
        tune.run(words)
