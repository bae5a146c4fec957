"""`resume=auto` from a new run folder."""

from pathlib import Path
from typing import Any

import lightning
from tiny import tiny_config

from visionkit.train import Run


class StopInSecondEpoch(lightning.Callback):
    def on_train_batch_start(self, trainer: lightning.Trainer, *args: Any) -> None:
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt


def test_auto_goes_on_in_the_folder_of_the_newest_unfinished_run(squares: Path, tmp_path: Path):
    settings = ("logger=csv", "trainer.max_epochs=3")
    first = Run(tiny_config(squares, tmp_path / "runs" / "a", *settings))
    first.trainer.callbacks.append(StopInSecondEpoch())
    assert not first.fit()
    first.finish(interrupted=True)

    other = Run(tiny_config(squares, tmp_path / "runs" / "b", *settings, "resume=auto", "seed=1"))
    assert other.resume is None  # another configuration

    second = Run(tiny_config(squares, tmp_path / "runs" / "b", *settings, "resume=auto"))
    assert second.folder == tmp_path / "runs" / "a"
    assert [str(log.save_dir) for log in second.trainer.loggers] == [str(second.folder)]
    assert second.fit()
    assert not (tmp_path / "runs" / "b").exists()
    logs = {p.name for p in (second.folder / "csv").iterdir()}
    assert logs == {"metrics.1.csv", "metrics.csv"}
