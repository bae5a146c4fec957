"""Ranks that something else has started: whether they are some, and what they agree on."""

import os
import socket
import subprocess
import sys
import time

import pytest
import torch.distributed as dist
from ranks import on_ranks

from visionkit import launch as launch_module
from visionkit.cli import main
from visionkit.errors import ConfigError
from visionkit.launch import Launch, agreed, alone_again, launched

TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "4", "RANK": "3", "LOCAL_WORLD_SIZE": "2"}
SRUN = {"SLURM_PROCID": "2", "SLURM_NTASKS": "4", "SLURM_NNODES": "2", "SLURM_JOB_NAME": "train"}


def test_how_a_process_was_started():
    assert launched(TORCHRUN) == Launch("torchrun", 3, 4, 2)
    assert launched(SRUN) == Launch("srun", 2, 4, 2)
    assert launched({}) is None
    assert launched(TORCHRUN | {"WORLD_SIZE": "1"}) is None
    assert launched(SRUN | {"SLURM_JOB_NAME": "bash"}) is None  # a shell on a node
    assert launched(SRUN | {"SLURM_NTASKS": "1"}) is None


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _agree(number, folder, port, by):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    if by == "torchrun":
        given = {"RANK": str(number), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
        os.environ |= given | {"TORCHELASTIC_RUN_ID": "a"}
    else:
        given = {"PROCID": number, "NTASKS": 2, "NTASKS_PER_NODE": 2, "JOB_ID": 7, "NNODES": 1}
        os.environ |= {f"SLURM_{k}": str(v) for k, v in given.items()} | {"SLURM_JOB_NAME": "a"}
    launch = launched()
    assert (launch.by, launch.rank, launch.ranks) == (by, number, 2)
    found = [agreed(launch, "run_dir", f"run of {number}"), agreed(launch, "other", str(number))]
    with open(f"{folder}/{number}.txt", "w") as file:
        file.write(", ".join(found))
    while not all(os.path.exists(f"{folder}/{n}.txt") for n in (0, 1)):
        time.sleep(0.05)  # the first rank answers the others as long as it lives


@pytest.mark.parametrize("by", ["torchrun", "srun"])
def test_ranks_agree_on_what_the_first_says(tmp_path, by):
    on_ranks(_agree, 2, 60, str(tmp_path), free_port(), by)
    assert [(tmp_path / f"{n}.txt").read_text() for n in (0, 1)] == ["run of 0, 0"] * 2


def test_tasks_that_slurm_was_asked_for_in_another_way(monkeypatch, capsys):
    for name, value in SRUN.items():
        monkeypatch.setenv(name, value)
    assert main(["train", "task=detection"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: srun: You set `--ntasks=4`") and "ntasks-per-node" in line


def test_a_sweep_by_every_rank_is_refused(squares, tmp_path, monkeypatch, capsys):
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    words = ["task=detection", "data=coco", f"data.root={squares}", f"run_dir={tmp_path}/a"]
    assert main(["train", "--multirun", *words, "seed=0,1"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --multirun: torchrun has started 4 ranks, and each would run")
    assert not (tmp_path / "a").exists()


def test_a_job_leaves_no_ranks_behind(monkeypatch, tmp_path):
    for name in ("LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "NODE_RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MASTER_PORT", "4711")
    with alone_again():
        os.environ |= {"LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_PORT": "4712"}
        store = dist.FileStore(str(tmp_path / "store"), 1)
        dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    assert not dist.is_initialized()
    assert "LOCAL_RANK" not in os.environ and "WORLD_SIZE" not in os.environ
    assert os.environ["MASTER_PORT"] == "4711"


def test_ranks_that_were_started_from_outside_stay(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    with alone_again():
        os.environ["WORLD_SIZE"] = "2"
    assert (os.environ["LOCAL_RANK"], os.environ.pop("WORLD_SIZE")) == ("1", "2")


@pytest.mark.slow
def test_each_job_of_a_sweep_has_ranks_of_its_own(squares, tmp_path):
    """Two jobs, two ranks each: one folder for the sweep, and each rank has its job's seed."""
    words = ["task=detection", "data=coco", f"data.root={squares}", "trainer=cpu"]
    words += [f"data.{k}={v}" for k, v in (("image_size", 64), ("num_workers", 0))]
    words += ["backbone.width=0.125", "backbone.depth=0.1", "neck.out_channels=[16,24,32]"]
    words += ["trainer.devices=2", "trainer.max_epochs=1", "logger=none", "head.bins=8"]
    command = [sys.executable, "-m", "visionkit", "train", "--multirun", *words, "seed=0,1"]
    done = subprocess.run(
        [*command, f"run_dir={tmp_path}/sweep"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    configs = sorted((tmp_path / "sweep").glob("*/config.yaml"))
    assert [c.read_text().split("\n")[0] for c in configs] == ["seed: 0", "seed: 1"]
    assert all((c.parent / "metrics.json").is_file() for c in configs)
    assert len(list((tmp_path / "sweep").iterdir())) == 3  # and Hydra's own note


def test_a_port_that_is_taken_is_told(monkeypatch):
    monkeypatch.setattr(launch_module, "_stores", [])
    monkeypatch.delenv("TORCHELASTIC_USE_AGENT_STORE", raising=False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
        monkeypatch.setenv("MASTER_PORT", str(port - 1))
        told = rf"run_dir: the ranks can't meet at 127\.0\.0\.1:{port} .*; give run_dir=,"
        with pytest.raises(ConfigError, match=told) as error:
            agreed(Launch("torchrun", 0, 2, 2), "run_dir", "a")
    assert "\n" not in str(error.value)
