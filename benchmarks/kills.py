"""A training run that is killed again and again, against the same run that never was.

    python benchmarks/kills.py [kills=20 minutes=5 seed=0 out=outputs/kills task=detection ...]

First the run is measured for a few epochs, and given as many as fill the minutes. It runs once as
it is. Then it is started again and again with `resume=auto`, each time as a process of its own that
is killed (SIGKILL, with all that it started) after a random time: one in ten while it is still
starting, the last in the final scoring, the others in training. At the end it may finish. Then
weights, averages, optimizers, schedules and figures must be those of the unbroken run to the last
bit, and the rows of the log the same. What differs is listed, and the exit code is 1.

Other words are those of `visionkit train`, such as data.num_workers=2.
"""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

OWN = {"kills": "20", "minutes": "5", "seed": "0", "out": "outputs/kills"}
WORDS = ("task=detection", "trainer=cpu", "logger=csv", "checkpoints.every_n_train_steps=20")
START, TRAINING, SCORING = "start", "training", "scoring"


class Life:
    """A process that trains, and what it has said so far."""

    def __init__(self, words: list[str], log: Path) -> None:
        command = [sys.executable, "-u", "-m", "visionkit", "train", *words]
        self.log = log
        self.offset = log.stat().st_size if log.exists() else 0
        with log.open("ab") as stream:
            self.process = subprocess.Popen(
                command, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
            )

    def said(self) -> str:
        with self.log.open("rb") as stream:
            stream.seek(self.offset)
            return stream.read().decode(errors="replace")

    def wait(self, word: str = "", seconds: float = 1e9) -> bool:
        """Wait for a word or a time; False if the process has ended by itself."""
        end = time.monotonic() + seconds
        while self.process.poll() is None:
            if (word and word in self.said()) or time.monotonic() >= end:
                return True
            time.sleep(0.01)
        return False

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def epoch_seconds(words: list[str], out: Path) -> float:
    """How long an epoch takes, without the first one."""
    life = Life([*words, f"run_dir={out / 'probe'}", "trainer.max_epochs=4"], out / "probe.log")
    try:
        life.wait("epoch 1/4")
        start = time.monotonic()
        life.wait("epoch 4/4")
        spent = time.monotonic() - start
    finally:
        life.kill()
    if "epoch 4/4" not in life.said():
        raise SystemExit(f"the run doesn't work; see {life.log}")
    shutil.rmtree(out / "probe")  # or resume=auto may take it for a run to go on with
    return spent / 3


def plan(kills: int, seconds: float, seed: int) -> Iterator[tuple[str, float]]:
    """In which part of a life each kill comes, and after how many seconds of it."""
    chance = random.Random(seed)
    early = set(chance.sample(range(kills - 1), (kills + 5) // 10)) if kills > 1 else set()
    for number in range(kills - 1):
        if number in early:
            yield START, chance.uniform(0.5, 5)
        else:  # so short that the run isn't over before the last of them
            yield TRAINING, chance.uniform(0, 1.5 * seconds / kills)
    yield SCORING, chance.uniform(0, 0.5)


def epochs_done(run: Path) -> str:
    """Which epoch and step the newest checkpoint of a run is of."""
    file = run / "checkpoints" / "last.ckpt"
    if not file.is_file():
        return "none"
    content = torch.load(file, map_location="cpu", weights_only=True)
    return f"epoch {content['epoch'] + 1}, step {content['global_step']}"


def killed(words: list[str], out: Path, epochs: int, planned: Iterator[tuple[str, float]]) -> int:
    """Kill the run as planned, then let it finish. How many kills hit it."""
    run, hits = out / "killed", 0
    print("kill  in        after s  checkpoint left")
    for number, (part, seconds) in enumerate(planned, 1):
        life = Life([*words, f"run_dir={run}"], out / "killed.log")
        try:
            alive = True
            if part != START:
                alive = life.wait("run folder")
            if part == SCORING:
                alive = alive and life.wait(f"epoch {epochs}/{epochs}")
            alive = alive and life.wait(seconds=seconds)
        finally:
            life.kill()
        if not alive:
            print(f"{number:4d}  {part:8s}  the run had ended by itself (see {life.log})")
            break
        hits += 1
        print(f"{number:4d}  {part:8s}  {seconds:7.2f}  {epochs_done(run)}", flush=True)
    finish([*words, f"run_dir={run}"], out / "killed.log")
    return hits


def finish(words: list[str], log: Path) -> float:
    """Let a run come to its end; its seconds."""
    start = time.monotonic()
    life = Life(words, log)
    try:
        life.process.wait()
    finally:
        life.kill()
    if life.process.returncode:
        raise SystemExit(f"the run failed; see {log}")
    return time.monotonic() - start


def unlike(a: Path, b: Path) -> list[str]:
    """Where two finished runs differ: their checkpoints, figures, and the rows of their logs."""
    found = []
    for name in ("last.ckpt", "best.ckpt"):
        one, other = (
            torch.load(run / "checkpoints" / name, map_location="cpu", weights_only=True)
            for run in (a, b)
        )
        for content in (one, other):
            del content["loops"]  # its totals count what was begun, too
        found += differences(one, other, name)
    one, other = (json.loads((run / "metrics.json").read_text()) for run in (a, b))
    found += differences(one | {"seconds": 0}, other | {"seconds": 0}, "metrics.json")
    if (a / "csv" / "metrics.csv").is_file():
        found += differences(rows(a), rows(b), "metrics.csv")
    return found


def rows(run: Path) -> list[dict[str, str]]:
    """What the log of a run says, but for how fast it was."""
    with (run / "csv" / "metrics.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    told = [{k: v for k, v in row.items() if v and not k.startswith("speed/")} for row in table]
    return [row for row in told if row.keys() - {"step", "epoch"}]


def differences(one: Any, other: Any, name: str) -> list[str]:
    """Where two nested values differ, to the last bit."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return [] if torch.equal(one, other) else [name]
    if isinstance(one, dict) and isinstance(other, dict):
        if one.keys() != other.keys():
            return [f"{name}: {one.keys() ^ other.keys()}"]
        return [d for k in one for d in differences(one[k], other[k], f"{name}.{k}")]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        if len(one) != len(other):
            return [f"{name}: {len(one)} and {len(other)} of them"]
        pairs = enumerate(zip(one, other, strict=True))
        return [d for i, (x, y) in pairs for d in differences(x, y, f"{name}.{i}")]
    same = one == other or (one != one and other != other)
    return [] if same else [f"{name}: {one} {other}"]


def main() -> int:
    """Run the comparison and print it."""
    own, words = dict(OWN), list(WORDS)
    for word in sys.argv[1:]:
        key, _, value = word.partition("=")
        if key in own:
            own[key] = value
        else:
            words = [w for w in words if not w.startswith(f"{key}=")] + [word]
    out = Path(own["out"]) / time.strftime("%Y-%m-%d_%H-%M-%S")
    out.mkdir(parents=True)
    seconds = 60 * float(own["minutes"])
    each = epoch_seconds(words, out)
    epochs = max(2, round(seconds / each))
    words += ["resume=auto", f"trainer.max_epochs={epochs}"]
    print(f"{epochs} epochs of {each:.2f} s; everything is in {out}", flush=True)
    whole = finish([*words, f"run_dir={out / 'whole'}"], out / "whole.log")
    print(f"the unbroken run took {whole:.0f} s", flush=True)
    start = time.monotonic()
    planned = plan(int(own["kills"]), epochs * each, int(own["seed"]))
    hits = killed(words, out, epochs, planned)
    print(f"{hits} of {own['kills']} kills; the killed run took {time.monotonic() - start:.0f} s")
    figures = [json.loads((out / n / "metrics.json").read_text()) for n in ("whole", "killed")]
    for name in list(figures[0])[:6]:
        print(f"  {name:10s} {figures[0][name]!r:24} {figures[1][name]!r}")
    found = unlike(out / "whole", out / "killed")
    print("\n".join(f"differs: {line}" for line in found[:20]) or "weights and figures are equal")
    return 1 if found or hits < int(own["kills"]) else 0


if __name__ == "__main__":
    sys.exit(main())
