"""A search whose terminal, pipe or figures are gone: no trial lives on, nothing is lost."""

import errno
import io
import json
import math
import os
import signal
import threading

import pytest
from fake_trials import ABOUT, LR, Fake
from rich.console import Console

from visionkit import tune
from visionkit.tuning import results, trials
from visionkit.tuning.request import read_request
from visionkit.tuning.study import Study
from visionkit.tuning.trials import Machine, run_all, stopping_on_signals

pytest.importorskip("optuna")
GONE = [OSError(errno.EIO, "Input/output error"), SystemExit(1)]


@pytest.fixture
def words(squares, tmp_path):
    return ["task=detection", "data=coco", f"data.root={squares}", LR,
            f"run_dir={tmp_path / 'study'}", "pruner.name=none"]  # fmt: skip


def signalled(number):
    os.kill(os.getpid(), number)


class Process:
    """Stands for a trial that ends when it is asked to, so many times."""

    def __init__(self, often=1):
        self.left, self.asked = often, []
        self.end = threading.Event()

    def send_signal(self, number):
        self.asked.append(number)
        if len(self.asked) == self.left:
            self.end.set()


def stopped(monkeypatch, words, process, tell, number=signal.SIGTERM):
    """Search with one trial, during which this process gets a signal; return the machine."""

    def fake(machine, worker, *_):
        machine.running[worker] = process
        signalled(number)
        found = process.end.wait(10)
        del machine.running[worker]
        assert found, "the trial lives on"
        return 130

    monkeypatch.setattr(trials, "_process", fake)
    machine = Machine()
    assert not run_all(Study(read_request(words), ABOUT), machine, math.inf, tell)
    return machine


def test_a_lost_terminal_stops_a_search_once():
    before = signal.getsignal(signal.SIGHUP)
    caught = lambda *_: None  # noqa: E731
    signal.signal(signal.SIGHUP, caught)  # so that this process lives on
    try:
        with stopping_on_signals():
            with pytest.raises(KeyboardInterrupt):
                signalled(signal.SIGHUP)
            signalled(signal.SIGHUP)  # as shells do; twice would end trials unsaved
        assert signal.getsignal(signal.SIGHUP) is caught
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with stopping_on_signals():
            signalled(signal.SIGHUP)  # as under nohup
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("gone", GONE)
def test_trials_are_stopped_where_nobody_listens(monkeypatch, words, gone):
    def tell(line):
        raise gone

    process = Process()
    stopped(monkeypatch, words, process, tell)
    assert process.asked == [signal.SIGINT]


def test_who_is_impatient_while_it_is_told_ends_trials(monkeypatch, words):
    def tell(line):
        if len(process.asked) == 1:
            signalled(signal.SIGTERM)

    process = Process(often=2)
    stopped(monkeypatch, words, process, tell)
    assert process.asked == [signal.SIGINT, signal.SIGKILL]


def test_a_worker_that_fails_lets_others_save(monkeypatch, words):
    """Where the search is being stopped already."""
    process = Process()

    def fake(machine, worker, *_):
        machine.running[9] = process  # another's
        machine.stop()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(trials, "_process", fake)
    with pytest.raises(OSError, match="No space"):
        run_all(Study(read_request(words), ABOUT), Machine(), math.inf, print)
    assert process.asked == [signal.SIGINT]


def test_results_are_written_where_nobody_listens(monkeypatch, words, tmp_path):
    class Screen(io.StringIO):
        lost = False

        def write(self, text):
            if self.lost:
                raise OSError(errno.EIO, "Input/output error")
            return super().write(text)

    screen, made = Screen(), Fake()

    def fake(*given):
        screen.lost = True
        return made(*given)

    monkeypatch.setattr(trials, "_process", fake)
    monkeypatch.setattr(tune, "check_request", lambda _: {})
    monkeypatch.setattr(tune, "probe", lambda *_: dict(ABOUT))
    monkeypatch.setattr(results, "write_experiment", lambda *_: None)
    drawn = []
    monkeypatch.setattr("visionkit.tuning.plots.draw", lambda *_: drawn.append(1))
    given = [*words[:3], *words[4:], "space.optimizer.lr=choice(0.1, 0.01)", "trials=3"]
    with pytest.raises(OSError, match="Input/output"):
        tune.run(given, None, Console(file=screen, width=300))
    found = json.loads((tmp_path / "study" / "study.json").read_text())
    assert [t["state"] for t in found["trials"]] == ["complete"] * 2
    assert drawn


def test_a_journal_with_an_infinite_figure_is_shown(words, tmp_path):
    study = Study(read_request([*words, "metric=loss", "mode=min"]), ABOUT | {"mode": "min"})
    for value in (-math.inf, 0.5, math.inf):
        number, lock = study.next()
        os.close(lock)
        study.storage.set_trial_intermediate_value(number, 1, value)
        study.tell(number, value, "complete")
    assert results.best_of(study).number == 1
    assert [results.row(study, t)["AP"] for t in study.trials()] == [None, 0.5, None]
