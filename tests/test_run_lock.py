"""One run at a time in a folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from test_resume_files import write

from visionkit import run_lock
from visionkit.errors import ConfigError
from visionkit.resume import find_resume
from visionkit.run_lock import busy, hold, release

_CODE = """
import sys, pathlib
from visionkit.run_lock import hold
hold(pathlib.Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other():
    """Start processes that hold a folder each."""
    started = []

    def start(folder: Path) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", _CODE, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=20)


def make_run(folder: Path, cfg: dict) -> Path:
    write(folder / "checkpoints" / "last.ckpt", 1)
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(cfg | {"run_dir": str(folder)}))
    return folder


def test_a_run_that_is_alive_is_left_alone(tmp_path, other, monkeypatch):
    monkeypatch.delenv("VISIONKIT_RESUME", raising=False)
    cfg = {"seed": 1, "resume": "auto", "run_dir": str(tmp_path / "mine")}
    run = make_run(tmp_path / "a", cfg)
    process = other(run)
    assert busy(run)
    assert find_resume(cfg) is None
    with pytest.raises(ConfigError, match=rf"another run goes on in .* \(process {process.pid} on"):
        hold(run)
    process.kill()
    process.wait(20)
    assert not busy(run)
    assert find_resume(cfg) == run / "checkpoints" / "last.ckpt"
    # and those that a rank starts don't look for themselves
    assert os.environ["VISIONKIT_RESUME"] == str(run / "checkpoints" / "last.ckpt")
    hold(run)
    hold(run)
    release(run)
    assert not busy(run)


def test_the_ranks_that_a_run_starts_take_its_choice(tmp_path, monkeypatch):
    from lightning.pytorch.utilities import rank_zero_only

    cfg = {"resume": "auto", "run_dir": str(tmp_path / "mine")}
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    monkeypatch.setenv("VISIONKIT_RESUME", "elsewhere/last.ckpt")
    assert find_resume(cfg) == Path("elsewhere/last.ckpt")
    monkeypatch.setenv("VISIONKIT_RESUME", "")
    make_run(tmp_path / "a", cfg)
    assert find_resume(cfg) is None


def test_disks_without_locks_keep_nobody_out(tmp_path, monkeypatch):
    import fcntl

    def refuse(*args):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    hold(tmp_path)
    release(tmp_path)
    hold(tmp_path / "not" / "there")


def test_a_lost_machines_lock_is_waited_for(tmp_path, other, monkeypatch, caplog):
    process = other(tmp_path)
    (tmp_path / ".lock").write_text(f"{process.pid} node7")
    monkeypatch.setattr(run_lock.time, "sleep", lambda seconds: process.kill())
    hold(tmp_path)
    assert f"held by process {process.pid} on node7; waiting" in caplog.text
    release(tmp_path)
