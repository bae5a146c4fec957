"""Trials that take no time: their figure is a formula of their learning rate."""

import math
import threading
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from visionkit.callbacks.trial import Trial

EPOCHS = 4
ABOUT = {
    "metric": "AP",
    "mode": "max",
    "epochs": EPOCHS,
    "seed": 0,
    "validates": True,
    "gpus": 0,
}
LR = "space.optimizer.lr=log(1e-4, 1)"


def figure(lr: float) -> float:
    """Best at 0.01."""
    return 1 - abs(math.log10(lr) + 2) / 4


def settings(words: list[str]) -> dict[str, Any]:
    """The words as a flat mapping."""
    parser = OverridesParser.create()
    made = [parser.parse_override(w) for w in words if not w.startswith("--")]
    return {o.key_or_group: o.value() for o in made}


class Fake:
    """Stands for ``visionkit train``; ``codes`` are what it exits with, by trial."""

    def __init__(self, codes: dict[int, int] | None = None, dies: tuple[int, int] | None = None):
        self.codes, self.dies = codes or {}, dies
        self.seen: list[dict[str, Any]] = []
        self.at_once = self.most = 0
        self.lock = threading.Lock()

    def __call__(self, machine, worker, words, lock, output):
        given = settings(words)
        made = {k: v for k, v in given["callbacks.trial"].items() if k != "_target_"}
        callback = Trial(**made)
        with self.lock:
            self.seen.append(given)
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        try:
            return self._train(callback, given)
        finally:
            with self.lock:
                self.at_once -= 1

    def _train(self, callback: Trial, given: dict[str, Any]) -> int:
        folder = Path(given["run_dir"]) / "checkpoints"
        folder.mkdir(parents=True, exist_ok=True)
        code = self.codes.get(callback.number, 0)
        if code:
            with (folder.parent / "log.txt").open("a") as log:
                log.write("Traceback ...\nerror: data.root: it rained\n")
            return code
        done = folder / "last.ckpt"
        start = int(done.read_text()) if given.get("resume") == "auto" else 0
        for epoch in range(start + 1, EPOCHS + 1):
            if self.dies == (callback.number, epoch):
                self.dies = None
                raise MemoryError("the power went out")
            if callback._note(epoch, figure(given["optimizer.lr"]) * epoch / EPOCHS):
                return 2
            done.write_text(str(epoch))
        (folder / "best.ckpt").touch()
        return 0
