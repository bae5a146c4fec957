"""What a kill leaves: the folder of a run as it was at some moment."""

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import lightning

from visionkit.train import Run

_FILE = Path(__file__).resolve().parents[1] / "benchmarks" / "kills.py"
_SPEC = importlib.util.spec_from_file_location("benchmarks_kills", _FILE)
assert _SPEC is not None and _SPEC.loader is not None
benchmark = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(benchmark)


class Shots(lightning.Callback):
    """Copies the run's folder at moments such as ``batch 3``: a kill then would leave just that."""

    def __init__(self, run_dir: Path, moments: set[str]) -> None:
        self.run_dir, self.moments = run_dir, moments

    @staticmethod
    def folder(run_dir: Path, moment: str) -> Path:
        return run_dir.parent / moment.replace(" ", "_")

    def shoot(self, moment: str) -> None:
        if moment in self.moments:
            shutil.copytree(self.run_dir, self.folder(self.run_dir, moment))

    def on_train_batch_end(self, trainer, *args):
        self.shoot(f"batch {trainer.global_step}")

    def on_validation_end(self, trainer, *args):
        self.shoot(f"validation {trainer.current_epoch}")

    def on_train_epoch_end(self, trainer, *args):
        self.shoot(f"epoch {trainer.current_epoch}")


def unbroken(cfg: Any, *moments: str) -> Path:
    """A whole run, photographed; the folders lie beside its own."""
    job = Run(cfg)
    job.trainer.callbacks.append(Shots(job.folder, set(moments)))
    assert job.fit()
    job.finish(interrupted=False)
    for moment in moments:
        assert Shots.folder(job.folder, moment).is_dir(), moment
    return job.folder


def left(run: Path, moment: str, folder: Path) -> Path:
    """What a kill at a moment left of a run, to be changed at will."""
    return Path(shutil.copytree(Shots.folder(run, moment), folder / "run"))


def assert_alike(a: Path, b: Path) -> None:
    """That two runs ended with the same checkpoints and figures, and the same rows in the log."""
    found = benchmark.unlike(a, b)
    assert not found, found[:9]
