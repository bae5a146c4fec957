"""``visionkit find`` from the words to the files."""

import io
import json

import pytest
from rich.console import Console

from visionkit import find
from visionkit.errors import ConfigError
from visionkit.finding import lr, steps
from visionkit.finding.batch_size import Measured


@pytest.fixture
def words(squares, tmp_path):
    run_dir = f"run_dir={tmp_path / 'out'}"
    return ["task=detection", "data=coco", f"data.root={squares}", run_dir]


def run(words):
    console = Console(file=io.StringIO(), width=300)
    return find.run(words, None, console), console.file.getvalue()


def test_a_learning_rate(words, tmp_path, monkeypatch):
    rates = [10 ** (-6 + n / 10) for n in range(60)]
    falling = [2 - n / 60 if n < 45 else 1 + (n - 45) ** 2 for n in range(60)]
    told = []

    def fake(runs, user_dir, folder, settings):
        told.append((runs, settings))
        return lr.judge(rates, falling, True)

    monkeypatch.setattr(lr, "find_lr", fake)
    found, text = run([*words, "what=lr", "lr.steps=60", "trainer=cpu"])
    assert told[0][0] == [*words[:3], "trainer=cpu"]
    assert told[0][1]["steps"] == 60
    assert f"optimizer.lr={found['lr']:.2g}" in text
    assert "it diverges at 0.79" in text
    assert json.loads((tmp_path / "out" / "lr.json").read_text()) == found
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["lr.json", "lr.png"]
    monkeypatch.setattr(lr, "find_lr", lambda *_: lr.judge(rates, [1.0] * 60, False))
    found, text = run([*words, "what=lr"])
    assert found["lr"] is None
    assert "doesn't fall by enough to tell a rate" in text


def test_a_batch_size(words, tmp_path, monkeypatch):
    def fake(runs, user_dir, folder, count):
        return lambda size: Measured(size, 10**9 + size * 10**8, 0.01 * size, 8 * 10**9, "cuda")

    monkeypatch.setattr(steps, "in_a_process", fake)
    found, text = run([*words, "what=batch_size"])
    assert found["batch_size"] == 48
    assert "data.batch_size=48, the largest that takes at most 80 % of the memory" in text
    assert json.loads((tmp_path / "out" / "batch_size.json").read_text()) == found
    assert (tmp_path / "out" / "batch_size.png").exists()
    monkeypatch.setattr(
        steps, "in_a_process", lambda *_: lambda size: Measured(size, why="no memory for it")
    )
    with pytest.raises(ConfigError, match=r"batch_size\.low: no memory for it at 2 already"):
        run([*words, "what=batch_size"])


def test_a_size_that_a_process_died_of_does_not_settle_the_device(words, monkeypatch):
    def measure(size):
        if size > 8:
            return Measured(size, why="no memory for it")
        return Measured(size, 10**8 * size, 0.01 * size, 10**11, "cuda")

    monkeypatch.setattr(steps, "in_a_process", lambda *_: measure)
    found, text = run([*words, "what=batch_size"])
    assert found["device"] == "cuda"
    assert "the largest that takes at most 80 % of the memory" in text


def test_all_problems_are_told_before_anything_is_made(words, tmp_path):
    with pytest.raises(ConfigError) as told:
        run([*words, "what=lrr", "lr.stesp=3", "optimizer.lrr=1"])
    lines = sorted(told.value.problems)
    assert lines[0].startswith("lr.stesp: there is no such key or group; did you mean")
    assert lines[1].startswith("optimizer.lrr: there is no such key or group; did you mean")
    assert "did you mean 'lr'?" in lines[2]
    with pytest.raises(ConfigError, match=r"lr\.low: must be below lr\.high"):
        run([*words, "what=lr", "lr.low=2"])
    assert not (tmp_path / "out").exists()
