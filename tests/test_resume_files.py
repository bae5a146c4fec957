"""Damaged checkpoints, those before them, and what a kill leaves half written."""

import errno
import json
import logging
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from omegaconf import OmegaConf

from visionkit.callbacks.checkpoints import Checkpoints
from visionkit.checkpoint import FORMAT, read
from visionkit.checkpoint_io import AtomicCheckpointIO, DamagedError
from visionkit.errors import CheckpointError
from visionkit.resume import find_resume, nothing_left
from visionkit.run_folder import continue_logs, damage, lies_in, prepare, tidy

ENTRY = dict.fromkeys(("task", "spec", "classes", "preprocess", "data", "evaluator", "predict"))


def write(path: Path, number: float = 0.0) -> Path:
    """A checkpoint file with one tensor of so many times a number."""
    content = {"visionkit": ENTRY | {"format": FORMAT}, "global_step": int(number)}
    content["state_dict"] = {"model.weight": torch.full((50, 50), float(number))}
    AtomicCheckpointIO().save_checkpoint(content, path)
    return path


def flip(path: Path, at: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)


def middle(path: Path) -> None:
    flip(path, path.stat().st_size // 2)


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def test_no_changed_byte_is_taken_for_weights(tmp_path):
    """Wherever a bit is flipped: the file is refused, or says the very same."""
    file = write(tmp_path / "a.ckpt", 3)
    whole = file.read_bytes()
    chance = random.Random(0)
    refused = 0
    for _ in range(150):
        file.write_bytes(whole)
        flip(file, chance.randrange(len(whole)), chance.randrange(8))
        try:
            content = read(file)
        except CheckpointError as error:
            assert "\n" not in str(error)
            refused += 1
        else:
            assert torch.equal(content["state_dict"]["model.weight"], torch.full((50, 50), 3.0))
    assert refused > 100
    file.write_bytes(whole)
    middle(file)
    loaded = torch.load(file, weights_only=True)["state_dict"]["model.weight"]
    assert not (loaded == 3).all(), "torch has learned it: the check may go"
    with pytest.raises(DamagedError, match=r"data/\d+ has changed since it was written"):
        read(file)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [(middle, "has changed since"), (halve, "the file is truncated"), (empty, "the file is empty")],
)
def test_the_one_before_a_damaged_checkpoint_is_used(tmp_path, caplog, spoil, reason):
    folder = tmp_path / "run" / "checkpoints"
    last, previous = write(folder / "last.ckpt", 2), write(folder / "previous.ckpt", 1)
    cfg = {"resume": "auto", "run_dir": str(tmp_path / "run")}
    assert find_resume(cfg) == last
    assert find_resume(cfg | {"resume": str(tmp_path / "run")}) == last
    spoil(last)
    assert find_resume(cfg) == previous
    assert find_resume(cfg | {"resume": str(tmp_path / "run")}) == previous
    (line,) = set(caplog.messages)
    assert reason in line and line.endswith(f"; the one before it is used, {previous}")
    with pytest.raises(CheckpointError, match=rf"{reason}.*; resume={previous} is the one before"):
        find_resume(cfg | {"resume": str(last)})
    prepare(tmp_path / "run", previous)
    assert not last.exists(), "it would become the previous one"
    assert last.with_name("last.ckpt.damaged").exists()
    assert find_resume(cfg) == previous
    assert "last.ckpt is gone; the one before" in caplog.messages[-1]
    spoil(previous)
    with pytest.raises(CheckpointError, match=f"{reason}.*no checkpoint before it is whole"):
        find_resume(cfg)


def test_where_nothing_is_found(tmp_path, caplog):
    cfg = {"resume": "auto", "run_dir": str(tmp_path / "run")}
    caplog.set_level(logging.WARNING)
    assert find_resume(cfg) is None
    assert "it starts afresh" in caplog.messages[-1]
    with pytest.raises(CheckpointError, match="run: no such checkpoint"):
        find_resume(cfg | {"resume": str(tmp_path / "run")})
    (tmp_path / "run").mkdir()
    with pytest.raises(CheckpointError, match=r"last.ckpt: no such checkpoint"):
        find_resume(cfg | {"resume": str(tmp_path / "run")})
    assert nothing_left(cfg) is None


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (MemoryError(), "too little memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you"), "too little memory"),
    ],
)
def test_what_cannot_be_read_now_is_not_taken_for_damaged(tmp_path, monkeypatch, error, said):
    folder = tmp_path / "run" / "checkpoints"
    last, best = write(folder / "last.ckpt", 2), write(folder / "best.ckpt", 1)

    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(CheckpointError, match=rf"last\.ckpt: can't be read \({said}\)"):
        find_resume({"resume": "auto", "run_dir": str(tmp_path / "run")})
    with pytest.raises(CheckpointError, match=rf"best\.ckpt: can't be read \({said}\)"):
        prepare(tmp_path / "run", last)
    assert best.is_file()


def test_a_run_that_cannot_go_on_is_no_obstacle_beside_it(tmp_path, caplog):
    cfg = {"task": {"name": "detection"}}
    for name in ("old", "older"):
        write(tmp_path / name / "checkpoints" / "last.ckpt")
        OmegaConf.save(cfg, tmp_path / name / "config.yaml")
    os.utime(tmp_path / "older" / "checkpoints" / "last.ckpt", (1, 1))
    whole = tmp_path / "older" / "checkpoints" / "last.ckpt"
    assert find_resume(cfg | {"resume": "auto", "run_dir": str(tmp_path / "new")}) != whole
    empty(tmp_path / "old" / "checkpoints" / "last.ckpt")
    assert find_resume(cfg | {"resume": "auto", "run_dir": str(tmp_path / "new")}) == whole
    assert "old/checkpoints/last.ckpt: not a checkpoint" in caplog.text


def test_a_damaged_best_goes_with_a_line(tmp_path, caplog):
    folder = tmp_path / "checkpoints"
    last, best = write(folder / "last.ckpt"), write(folder / "best.ckpt")
    prepare(tmp_path, last)
    assert best.exists() and not caplog.messages
    middle(best)
    assert "has changed" in str(damage(best))
    prepare(tmp_path, last)
    assert not best.exists() and best.with_name("best.ckpt.damaged").exists()
    assert "the best is looked for among the epochs to come" in caplog.text


def test_the_best_comes_along_and_anothers_files_go(tmp_path):
    source, target = tmp_path / "a" / "checkpoints", tmp_path / "b" / "checkpoints"
    last = write(source / "last.ckpt")
    write(source / "best.ckpt", 5)
    write(target / "best.ckpt", 7)
    write(target / "previous.ckpt", 7)
    prepare(tmp_path / "b", last)
    assert read(target / "best.ckpt")["global_step"] == 5
    assert sorted(os.listdir(target)) == ["best.ckpt"]
    (source / "best.ckpt").unlink()
    prepare(tmp_path / "b", last)
    assert not target.exists()
    names = ["checkpoints.1", "checkpoints.2"]
    assert sorted(os.listdir(tmp_path / "b")) == names
    found = [read(tmp_path / "b" / name / "best.ckpt")["global_step"] for name in names]
    assert found == [7, 5]


class FakeTrainer:
    """Writes a checkpoint that holds its step."""

    world_size, is_global_zero, loggers, accumulate_grad_batches = 1, True, (), 1

    def __init__(self) -> None:
        self.global_step = 0
        self.seen: list[set[str]] = []

    def save_checkpoint(self, path: Path) -> None:
        self.seen.append(set(os.listdir(path.parent)) if path.parent.is_dir() else set())
        write(path, self.global_step)


def save(checkpoints: Checkpoints, trainer: FakeTrainer, step: int) -> None:
    trainer.global_step = step
    checkpoints.on_train_epoch_end(trainer, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("links", [True, False])
def test_the_one_before_stays(tmp_path, monkeypatch, links):
    if not links:  # as on file systems that have none

        def refuse(*args):
            raise OSError("Operation not supported")

        monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "last.ckpt").write_bytes(b"of another run")
    checkpoints, trainer = Checkpoints(tmp_path, "loss", "min"), FakeTrainer()
    save(checkpoints, trainer, 1)
    assert os.listdir(tmp_path) == ["last.ckpt"]
    for step in (2, 3):
        save(checkpoints, trainer, step)
        assert sorted(os.listdir(tmp_path)) == ["last.ckpt", "previous.ckpt"]
        assert read(tmp_path / "last.ckpt")["global_step"] == step
        assert read(tmp_path / "previous.ckpt")["global_step"] == step - 1
    assert all(names & {"last.ckpt", "previous.ckpt"} for names in trainer.seen)

    def fail(path):
        raise CheckpointError("no room")

    monkeypatch.setattr(trainer, "save_checkpoint", fail)
    with pytest.raises(CheckpointError):
        save(checkpoints, trainer, 4)
    steps = {name: read(tmp_path / name)["global_step"] for name in os.listdir(tmp_path)}
    assert steps == ({"last.ckpt": 3, "previous.ckpt": 2} if links else {"previous.ckpt": 3})


def test_nothing_is_kept_if_so_asked(tmp_path):
    checkpoints = Checkpoints(tmp_path, "loss", "min", keep_previous=False)
    trainer = FakeTrainer()
    for step in (1, 2):
        save(checkpoints, trainer, step)
    assert os.listdir(tmp_path) == ["last.ckpt"]


def test_half_written_files_of_dead_processes_go(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    parent = os.getppid()
    gone = [f".metrics.json.{child.pid}.tmp", f"checkpoints/.last.ckpt.{os.getpid()}.tmp"]
    kept = [f"samples/.epoch_001.jpg.{parent}.tmp", ".notes.tmp", "a.1.tmp", "deep/er/.a.1.tmp"]
    for name in (*gone, *kept):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    tidy(tmp_path)
    assert [n for n in gone if (tmp_path / n).exists()] == []
    assert [n for n in kept if not (tmp_path / n).exists()] == []


def test_the_same_folder_written_in_another_way(tmp_path, monkeypatch):
    """Its best weights would be lost, and the checkpoint to go on from."""
    folder = tmp_path / "run" / "checkpoints"
    last, previous = write(folder / "last.ckpt", 2), write(folder / "previous.ckpt", 1)
    write(folder / "best.ckpt", 5)
    (tmp_path / "link").symlink_to(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    for run in ("run", "link", "run/../run"):
        for resume in (last, previous):
            assert lies_in(resume, Path(run, "checkpoints"))
            prepare(Path(run), resume)
    assert not lies_in(last, tmp_path / "other" / "checkpoints")
    assert sorted(os.listdir(folder)) == ["best.ckpt", "last.ckpt", "previous.ckpt"]
    assert read(folder / "best.ckpt")["global_step"] == 5


def test_a_fresh_start_sets_aside_what_another_run_left(tmp_path, caplog):
    folder = tmp_path / "checkpoints"
    for number in (1, 2):
        write(folder / "last.ckpt", number)
        write(folder / "best.ckpt", number)
        (tmp_path / "metrics.json").write_text(f'{{"AP": {number}}}')
        prepare(tmp_path, None)
        assert find_resume({"resume": "auto", "run_dir": str(tmp_path)}) is None
        assert not (tmp_path / "metrics.json").exists()
        aside = tmp_path / f"checkpoints.{number}"
        assert f"checkpoints of an earlier run; they are in {aside} now" in caplog.text
        assert sorted(os.listdir(aside)) == ["best.ckpt", "last.ckpt", "metrics.json"]
        assert read(aside / "last.ckpt")["global_step"] == number
    (tmp_path / "metrics.json").write_text("{}")
    prepare(tmp_path, None)
    assert sorted(os.listdir(tmp_path)) == ["checkpoints.1", "checkpoints.2"]


def test_a_log_survives_a_kill_while_it_is_taken_up(tmp_path, monkeypatch):
    first = CSVLogger(tmp_path, name="csv", version="")
    first.log_metrics({"a": 0.5}, 0)
    first.save()
    with monkeypatch.context() as patch:

        def killed(self):
            (tmp_path / "csv" / "metrics.csv").unlink()
            raise KeyboardInterrupt

        patch.setattr(CSVLogger, "experiment", property(killed))
        with pytest.raises(KeyboardInterrupt):
            continue_logs([CSVLogger(tmp_path, name="csv", version="")], 2)
    again = CSVLogger(tmp_path, name="csv", version="")
    continue_logs([again], 2)
    again.log_metrics({"a": 0.25}, 2)
    again.save()
    assert os.listdir(tmp_path / "csv") == ["metrics.csv"]
    assert (tmp_path / "csv" / "metrics.csv").read_text().split() == ["a,step", "0.5,0", "0.25,2"]


def test_a_log_goes_on_where_the_checkpoint_was_written(tmp_path):
    first = CSVLogger(tmp_path, name="csv", version="")
    for step in range(4):
        first.log_metrics({"a": step / 10}, step)
    first.save()
    file = tmp_path / "csv" / "metrics.csv"
    with file.open("a") as stream:
        stream.write("0.4")  # cut by a kill
    again = CSVLogger(tmp_path, name="csv", version="")
    continue_logs([again], 2)
    again.log_metrics({"a": 0.25, "b": 1.0}, 2)
    again.save()
    assert file.read_text().split() == ["a,b,step", "0.0,,0", "0.1,,1", "0.25,1.0,2"]
    nothing = CSVLogger(tmp_path, name="other", version="")
    continue_logs([nothing], 5)
    nothing.log_metrics({"a": 1.0}, 5)
    nothing.save()
    assert (tmp_path / "other" / "metrics.csv").read_text().split() == ["a,step", "1.0,5"]


def test_figures_of_a_run_that_goes_on_are_marked(tmp_path):
    last = write(tmp_path / "checkpoints" / "last.ckpt")
    (tmp_path / "metrics.json").write_text('{"AP": 0.5, "loss": null}')
    prepare(tmp_path, last)
    figures = json.loads((tmp_path / "metrics.json").read_text())
    assert figures == {"AP": 0.5, "loss": None, "interrupted": 1.0}
