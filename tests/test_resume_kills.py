"""Processes that are really killed."""

import contextlib
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from kills import assert_alike, benchmark, unbroken
from tiny import tiny_config

from visionkit import train

ROOT = Path(__file__).resolve().parents[1]
WORDS = ("trainer.max_epochs=6", "checkpoints.every_n_train_steps=1", "callbacks=null")
SECONDS = 100


def live(root: str, run_dir: str) -> None:
    """What each process does until it is killed."""
    torch.set_num_threads(1)
    train.run(tiny_config(Path(root), Path(run_dir), *WORDS, "resume=auto"))


def appears(process, file: Path, after: float) -> bool:
    """Wait until a file is newer than a moment, or the process has ended."""
    end = time.monotonic() + SECONDS
    while not (file.is_file() and file.stat().st_mtime > after):
        assert time.monotonic() < end
        if not process.is_alive():
            return False
        time.sleep(0.002)
    return True


def lives(root: str, run_dir: str) -> None:
    """Start the run four times and kill it three times.

    In a process of its own, that has imported everything but computed nothing: so it can be forked.
    """
    os.setsid()  # to be ended with its children
    context = multiprocessing.get_context("fork")
    chance = random.Random(1)
    codes = []
    last = Path(run_dir) / "checkpoints" / "last.ckpt"
    for file in (Path(run_dir) / "config.yaml", last, last, None):
        process = context.Process(target=live, args=(root, run_dir))
        began = time.time()
        process.start()
        try:
            if file is not None and appears(process, file, began):
                time.sleep(chance.uniform(0, 0.05))
                process.kill()
            process.join(SECONDS)
            codes.append(process.exitcode)
        finally:
            process.kill()
    assert codes == [-signal.SIGKILL] * 3 + [0]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere processes can't be forked safely")
def test_a_run_that_is_killed_again_and_again(squares, tmp_path):
    whole = unbroken(tiny_config(squares, tmp_path / "whole", *WORDS))
    killed = tmp_path / "killed"
    process = multiprocessing.get_context("spawn").Process(
        target=lives, args=(str(squares), str(killed))
    )
    process.start()
    try:
        process.join(SECONDS)
        assert process.exitcode == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert_alike(whole, killed)
    assert not list(killed.rglob(".*.tmp"))


def test_the_plan_of_the_benchmark():
    parts = list(benchmark.plan(20, 300, 0))
    assert parts == list(benchmark.plan(20, 300, 0)) != list(benchmark.plan(20, 300, 1))
    kinds = [part for part, _ in parts]
    assert (kinds.count("start"), kinds.count("training"), kinds[-1]) == (2, 17, "scoring")
    assert 150 < sum(seconds for part, seconds in parts if part == "training") < 300


def words(squares: Path, run_dir: Path) -> list[str]:
    return [
        "task=detection",
        "data=coco",
        f"data.root={squares}",
        f"run_dir={run_dir}",
        "data.image_size=64",
        "data.batch_size=4",
        "data.num_workers=0",
        "backbone.width=0.125",
        "backbone.depth=0.1",
        "neck.out_channels=[16,24,32]",
        "head.bins=8",
        "trainer=cpu",
        "logger=none",
        "ema.ramp=2",
        "callbacks=null",
        "checkpoints.every_n_train_steps=1",
        "resume=auto",
    ]


@pytest.mark.slow
def test_a_machine_that_is_taken_away_loses_no_step(squares, tmp_path):
    """SIGTERM, as schedulers send it, is answered with a checkpoint and its own code."""
    command = [sys.executable, "-m", "visionkit", "train", *words(squares, tmp_path)]
    command += ["trainer.max_epochs=1000", "checkpoints.every_n_train_steps=null"]
    log = tmp_path / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream, cwd=ROOT)
        try:
            end = time.monotonic() + SECONDS
            while not (tmp_path / "checkpoints" / "last.ckpt").exists():
                assert process.poll() is None and time.monotonic() < end, log.read_text()
                time.sleep(0.05)
            process.terminate()
            assert process.wait(SECONDS) == 128 + signal.SIGTERM
        finally:
            process.kill()
    assert f"stopped by SIGTERM; go on with resume={tmp_path}" in log.read_text()


@pytest.mark.slow
def test_two_ranks_that_a_person_stops(squares, tmp_path):
    """Ctrl-C reaches both; neither waits for the other, and the run goes on from its checkpoint."""
    command = [sys.executable, "-m", "visionkit", "train", *words(squares, tmp_path)]
    command += ["trainer.devices=2", "strategy=ddp", "trainer.max_epochs=1000", "data.batch_size=2"]
    log = tmp_path / "log"
    # tests in a shell's background are deaf to Ctrl-C, and so would be what they start
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, stdout=stream, stderr=stream, cwd=ROOT, start_new_session=True
        )
        try:
            end = time.monotonic() + SECONDS
            while not (tmp_path / "checkpoints" / "best.ckpt").exists():
                assert process.poll() is None and time.monotonic() < end, log.read_text()
                time.sleep(0.05)
            os.killpg(process.pid, signal.SIGINT)
            assert process.wait(SECONDS) == 130, log.read_text()
        finally:
            signal.signal(signal.SIGINT, before)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    told = log.read_text()
    assert f"stopped; go on with resume={tmp_path}" in told.replace("\n", "")
    assert "Traceback" not in told
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"interrupted": 1}


DYING = """
import os, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
FLAG = Path(sys.argv[-1].partition("=")[2]) / "died"
from visionkit.cli import main

def die(self):
    if self.global_step == 3 and self.global_rank == 1 and not FLAG.exists():
        FLAG.touch()
        os.kill(os.getpid(), 9)

from visionkit.callbacks.checkpoints import Checkpoints
real = Checkpoints.on_train_batch_start
def start(self, trainer, *args):
    real(self, trainer, *args)
    die(trainer)
Checkpoints.on_train_batch_start = start
sys.exit(main())
"""


@pytest.mark.slow
def test_a_rank_that_dies_is_started_again(squares, tmp_path):
    """torchrun ends the other ranks and starts them all again; they go on with the checkpoint."""
    script = tmp_path / "dying.py"
    script.write_text(DYING)
    for name in ("whole", "killed"):
        run_dir = tmp_path / name
        run_dir.mkdir()
        if name == "whole":
            (run_dir / "died").touch()
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc-per-node=2", "--max-restarts=1", str(script), "train"]
        command += [w for w in words(squares, run_dir) if not w.startswith("run_dir=")]
        command += ["trainer.devices=2", "trainer.max_epochs=3", "data.batch_size=2"]
        command += ["strategy=ddp", f"run_dir={run_dir}"]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        # or the ranks would look for one another where the dead ones were
        environment |= {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=2 * SECONDS
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert ("exitcode: -9" in done.stderr) == (name != "whole")
    assert_alike(tmp_path / "whole", tmp_path / "killed")
