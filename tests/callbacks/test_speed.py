"""Model time told apart from loader time."""

import csv
import logging
from types import SimpleNamespace
from typing import Any

import lightning
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger

from visionkit.callbacks import speed
from visionkit.callbacks.speed import Speed, Step, mend, summary
from visionkit.data import prefetch
from visionkit.data.datamodule import DataModule
from visionkit.data.prefetch import Loader

LOADER, MODEL = 0.012, 0.006


class Clock:
    """Goes on when somebody works, and a nanosecond when it is looked at."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += 1e-9
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


clock = Clock()


@pytest.fixture(autouse=True)
def _no_real_time(monkeypatch) -> None:
    monkeypatch.setattr(speed, "time", clock)
    monkeypatch.setattr(prefetch, "time", clock)


class Slow(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return 30

    def __getitem__(self, i: int) -> torch.Tensor:
        clock.sleep(LOADER / 2)
        return torch.zeros(1)


class Module(lightning.LightningModule):
    def __init__(self, seconds: float = MODEL) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.seconds = seconds

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        clock.sleep(self.seconds)
        return self.layer(batch).sum()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        clock.sleep(0.05)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.fixture
def told(monkeypatch) -> list[str]:
    lines: list[str] = []
    log = logging.getLogger("visionkit.callbacks.speed")
    monkeypatch.setattr(log, "warning", lambda text, *values: lines.append(text % values))
    return lines


def fit(folder, callback, seconds: float = MODEL, cache: Any = None, epochs: int = 2):
    def loader() -> Loader:
        dataset = Slow()
        dataset.cache = cache
        return Loader(dataset, batch_size=2)

    logger = CSVLogger(folder, name="", version="")
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=logger,
        callbacks=[callback],
        log_every_n_steps=5,
        num_sanity_val_steps=0,
        limit_val_batches=2,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(Module(seconds), loader(), loader())
    with open(folder / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    return [{k: float(v) for k, v in row.items() if k.startswith("speed/")} for row in rows]


def test_what_is_logged_and_what_is_told(tmp_path, told):
    rows = fit(tmp_path, Speed(share=0.5, after=20))
    assert len(rows) == 6
    for row in rows:
        assert row["speed/loader_ms"] == pytest.approx(1000 * LOADER, rel=1e-5)
        assert row["speed/step_ms"] == pytest.approx(
            1000 * MODEL, rel=1e-5
        )  # never validation's 50 ms
        assert row["speed/images_per_second"] == pytest.approx(2 / (LOADER + MODEL), rel=1e-5)
    (line,) = told
    assert line.startswith("training: the model waits for pictures ")
    assert "; try " in line


@pytest.mark.parametrize(
    ("seconds", "cache", "after"),
    [(5 * LOADER, None, 20), (MODEL, "kept", 20), (MODEL, None, 40)],
)
def test_when_nothing_is_told(tmp_path, told, seconds, cache, after):
    """The model is slower; the first epoch fills a cache; there were too few batches."""
    rows = fit(tmp_path, Speed(after=after), seconds, cache)
    assert len(rows) == 6
    assert told == []


def test_figures_of_several_ranks():
    steps = [Step(0.1, 0.02, 4), Step(0.3, 0.0, 4), Step(0.2, 0.1, 2)]
    figures = summary(steps, 2)
    assert figures["speed/loader_ms"] == pytest.approx(40)
    assert figures["speed/step_ms"] == pytest.approx(100)
    assert figures["speed/images_per_second"] == pytest.approx(2 * 10 / 0.6)


class Event(SimpleNamespace):
    """A moment of a GPU's clock, in milliseconds, maybe not reached yet."""

    def query(self) -> bool:
        return self.reached

    def elapsed_time(self, later: "Event") -> float:
        return later.at - self.at


@pytest.mark.parametrize(("idle", "waited"), [(1.0, 0.001), (70.0, 0.05)])
def test_waiting_counts_only_while_the_gpu_is_idle(idle, waited):
    step = Step(0.1, 0.05, 4, (Event(at=3.0), Event(at=3.0 + idle, reached=True)))
    assert step.known
    step.settle()
    assert step.waited == pytest.approx(waited)
    assert not Step(0.1, 0.05, 4, (Event(at=3.0), Event(at=4.0, reached=False))).known


def fake_trainer(first: bool) -> tuple[Any, Any, list[Any]]:
    """A trainer, its loop, and the figures and steps that it will log."""
    logged: list[Any] = []
    loop = SimpleNamespace(_batches_that_stepped=0)
    trainer = SimpleNamespace(
        current_epoch=0,
        world_size=1,
        is_global_zero=first,
        log_every_n_steps=2,
        train_dataloader=SimpleNamespace(waited=0.0),
        fit_loop=SimpleNamespace(epoch_loop=loop),
        loggers=[SimpleNamespace(log_metrics=lambda figures, step: logged.append((figures, step)))],
    )
    return trainer, loop, logged


def test_batches_that_a_gpu_has_not_come_to_are_logged_later(monkeypatch):
    clock = iter(range(0, 1000, 10))
    events: list[Event] = []

    def moment() -> Event:
        events.append(Event(at=float(next(clock)), reached=False))
        return events[-1]

    monkeypatch.setattr(speed, "_now_on_gpu", moment)
    trainer, loop, logged = fake_trainer(first=True)
    module: Any = SimpleNamespace(device=torch.device("cuda"))
    callback = Speed()
    callback.on_train_start(trainer, module)
    for step in range(4):
        loop._batches_that_stepped = step
        trainer.train_dataloader.waited += 100.0
        callback.on_train_batch_start(trainer, module, None, step)
        callback.on_train_batch_end(trainer, module, None, [0], step)
        if step == 2:
            for event in events:
                event.reached = True
    assert len(logged) == 1
    figures, _ = logged[0]
    assert figures["speed/loader_ms"] == pytest.approx(10)  # of 100 s that the host waited


def test_a_step_of_several_batches_is_logged_once():
    trainer, loop, logged = fake_trainer(first=False)
    module: Any = SimpleNamespace(device=torch.device("cpu"))
    callback = Speed()
    callback.on_train_start(trainer, module)
    for batch in range(18):
        loop._batches_that_stepped = batch // 3
        callback.on_train_batch_start(trainer, module, None, batch)
        callback.on_train_batch_end(trainer, module, None, [0], batch)
    assert [step for _, step in logged] == [1, 3, 5]


class Data(DataModule):
    def __init__(self, room: int | None) -> None:
        self.room = room

    def could_keep(self) -> int | None:
        return self.room


@pytest.mark.parametrize(
    ("device", "workers", "room", "devices", "expected"),
    [
        ("cuda", 3, 2_500_000_000, 1, "data.num_workers=16, or data.cache=ram or disk (takes 2.5"),
        ("cuda", 3, None, 4, "data.num_workers=4, or pictures stored at the size"),
        ("cuda", 8, None, 2, "try pictures stored at"),
        ("cpu", 0, None, 1, "data.num_workers=8,"),
        ("cpu", 8, None, 1, "try pictures stored at"),
    ],
)
def test_mends(monkeypatch, device, workers, room, devices, expected):
    monkeypatch.setattr(speed, "cores", lambda: 16)
    monkeypatch.setattr(speed, "default_workers", lambda: 8)
    trainer = SimpleNamespace(
        datamodule=Data(room),
        train_dataloader=SimpleNamespace(num_workers=workers),
        strategy=SimpleNamespace(root_device=torch.device(device)),
        num_devices=devices,
    )
    assert expected in mend(trainer)
