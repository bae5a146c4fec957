"""Grids of what is made during training, and the animation of them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from flat_gan import flat_gan, red_of
from PIL import Image
from torch import nn

from visionkit.batch import Batch, PictureTargets
from visionkit.callbacks.grids import Grids, animate
from visionkit.geometry import Letterbox
from visionkit.models.gan import Gan
from visionkit.results import Generated, SemanticMask
from visionkit.sample import ImageMeta


class FakeTask(SimpleNamespace):
    """What the callback asks a task for."""


@pytest.fixture(autouse=True)
def tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("visionkit.callbacks.grids.Task", FakeTask)


def trainer_in(folder: Path, kind: str = "pairs", **more: Any) -> Any:
    data = SimpleNamespace(need=lambda split: SimpleNamespace(kind=kind))
    settings = {"global_step": 0, "current_epoch": 0, "is_global_zero": True} | more
    settings = {"val_check_batch": 5, "num_training_batches": 5} | settings
    return SimpleNamespace(
        sanity_checking=False, default_root_dir=str(folder), datamodule=data, **settings
    )


def validated(grids: Grids, trainer: Any, task: Any, epoch: int) -> None:
    trainer.current_epoch = epoch
    grids.on_validation_epoch_start(trainer, task)
    grids.on_validation_batch_end(trainer, task)
    grids.on_validation_epoch_end(trainer, task)


def test_the_same_noise_at_the_start_and_at_each_validation(tmp_path: Path) -> None:
    gan, trainer, grids = flat_gan(conditional=False), trainer_in(tmp_path), Grids(4)
    task: Any = FakeTask(model=gan, last_results=None)
    gan.train()
    gan.generator.eval()
    gan.critic.train()
    before, state = [m.training for m in gan.modules()], torch.get_rng_state()
    grids.on_train_start(trainer, task)
    assert [m.training for m in gan.modules()] == before
    assert torch.equal(torch.get_rng_state(), state)
    with torch.no_grad():
        gan.generator.gain.mul_(0)  # type: ignore[operator]
    validated(grids, trainer, task, 0)
    start = cv2.imread(str(tmp_path / "samples" / "start.png"))
    first = cv2.imread(str(tmp_path / "samples" / "epoch_001.png"))
    assert start.shape == first.shape
    shown = set(start[(start != 24).all(-1)][:, 2].tolist())
    assert {red_of(flat_gan(), seed) for seed in range(4)} <= shown
    assert set(first[..., 2].ravel().tolist()) == {24, 128}  # paper, and what has no noise any more


def test_classes_have_a_column_each_and_no_row_is_unfinished(tmp_path: Path) -> None:
    grids, trainer = Grids(8), trainer_in(tmp_path)
    task: Any = FakeTask(model=flat_gan(), last_results=None)
    grids.on_train_start(trainer, task)
    sheet = cv2.imread(str(tmp_path / "samples" / "start.png"))
    greens = sheet[:, [sheet.shape[1] // 6, sheet.shape[1] // 2, 5 * sheet.shape[1] // 6], 1]
    for column, green in zip(greens.T, (0, 128, 255), strict=True):
        assert set(column.tolist()) == {24, green}  # paper, and one class
    # 6 of 8 x 12 pixels, eight times as large
    assert (sheet[..., 1] == 255).sum() == 2 * 8 * 12 * 8**2


def test_resumed_runs_and_other_ranks_do_not_start_anew(tmp_path: Path) -> None:
    task: Any = FakeTask(model=flat_gan(), last_results=None)
    Grids(4).on_train_start(trainer_in(tmp_path, global_step=9), task)
    other = trainer_in(tmp_path, is_global_zero=False)
    grids = Grids(4)
    grids.on_train_start(other, task)
    validated(grids, other, task, 0)
    grids.on_train_end(other, task)
    assert not (tmp_path / "samples").exists()


def test_the_animation_has_all_epochs_of_a_resumed_run(tmp_path: Path) -> None:
    gan, trainer = flat_gan(), trainer_in(tmp_path)
    task: Any = FakeTask(model=gan, last_results=None)
    state: dict[str, Any] = {"written": []}
    for epochs in ((0, 1), (2, 3)):
        grids = Grids(6)
        grids.load_state_dict(state)
        grids.on_train_start(trainer, task)
        for epoch in epochs:
            with torch.no_grad():
                gan.generator.gain.mul_(0.5)  # type: ignore[operator]
            validated(grids, trainer, task, epoch)
            trainer.global_step += 5
        state = grids.state_dict()
        grids.on_exception(trainer, task, KeyboardInterrupt())
    with Image.open(tmp_path / "samples" / "training.gif") as film:
        assert film.n_frames == 5  # type: ignore[attr-defined]
        with Image.open(tmp_path / "samples" / "epoch_004.png") as last:
            film.seek(4)
            shown = np.asarray(film.convert("RGB")).astype(int)
            assert np.abs(shown - np.asarray(last.convert("RGB"))).max() <= 2


def test_a_run_in_the_folder_of_another_does_not_show_that_one_s(tmp_path: Path) -> None:
    for epochs in (6, 2):
        task: Any = FakeTask(model=flat_gan(), last_results=None)
        grids, trainer = Grids(6), trainer_in(tmp_path)
        grids.on_train_start(trainer, task)
        for epoch in range(epochs):
            with torch.no_grad():
                task.model.generator.gain.mul_(0.5)
            validated(grids, trainer, task, epoch)
        grids.on_train_end(trainer, task)
        with Image.open(tmp_path / "samples" / "training.gif") as film:
            assert film.n_frames == 1 + epochs  # type: ignore[attr-defined]
    assert (tmp_path / "samples" / "epoch_006.png").exists()
    assert grids.state_dict() == {"written": ["start.png", "epoch_001.png", "epoch_002.png"]}


@pytest.mark.parametrize("batches", [2, None])  # None: by the clock
def test_several_validations_of_an_epoch(batches: int | None, tmp_path: Path) -> None:
    task: Any = FakeTask(model=flat_gan(), last_results=None)
    grids, trainer = Grids(6), trainer_in(tmp_path, val_check_batch=batches)
    grids.on_train_start(trainer, task)
    for step in (2, 4, 7, 9):
        trainer.global_step = step
        validated(grids, trainer, task, step // 5)
    assert grids.state_dict()["written"] == [
        "start.png",
        "epoch_001_step_000002.png",
        "epoch_001_step_000004.png",
        "epoch_002_step_000007.png",
        "epoch_002_step_000009.png",
    ]
    assert len(list((tmp_path / "samples").glob("*.png"))) == 5


def test_frames_are_spread_and_those_of_other_sizes_left_out(tmp_path: Path) -> None:
    for n in range(1, 21):
        size = (20, 20) if n == 1 else (30, 40)
        cv2.imwrite(str(tmp_path / f"epoch_{n:03d}.png"), np.full((*size, 3), 10 * n, np.uint8))
    names = [f"epoch_{n:03d}.png" for n in range(1, 17)]
    animate(tmp_path, ["gone.png", *names], 4)  # of 1, 6, 11 and 16
    with Image.open(tmp_path / "training.gif") as film:
        assert film.size == (40, 30)
        levels = []
        for n in range(film.n_frames):  # type: ignore[attr-defined]
            film.seek(n)
            levels.append(film.convert("RGB").getpixel((3, 3))[0])  # type: ignore[index]
    assert levels == [60, 110, 160]


def test_without_a_validation_there_is_no_animation(tmp_path: Path) -> None:
    task: Any = FakeTask(model=flat_gan(), last_results=None)
    grids, trainer = Grids(4), trainer_in(tmp_path)
    grids.on_train_start(trainer, task)
    grids.on_train_end(trainer, task)
    grids.on_exception(trainer, task, ValueError())
    assert [p.name for p in (tmp_path / "samples").iterdir()] == ["start.png"]


def pairs(count: int) -> tuple[Batch, list[Generated]]:
    canvas = (32, 32)
    meta = tuple(ImageMeta(i, "", Letterbox((20, 40), canvas)) for i in range(count))
    images = torch.full((count, 3, *canvas), 90, dtype=torch.uint8)
    targets = PictureTargets(torch.full_like(images, 170))
    return Batch(images, targets, meta), [Generated(np.full((20, 40, 3), 210, np.uint8))] * count


@pytest.mark.parametrize("kind", ["pairs", "unpaired"])
def test_pictures_that_were_made_of_others(kind: str, tmp_path: Path) -> None:
    task: Any = FakeTask(model=nn.Linear(1, 1), last_results=pairs(3))
    trainer, grids = trainer_in(tmp_path, kind), Grids(sources=2)
    grids.on_train_start(trainer, task)
    validated(grids, trainer, task, 4)
    sheet = cv2.imread(str(tmp_path / "samples" / "epoch_005.png"))
    each = 2 * 80 * 160  # two pictures of 20 x 40, four times as large
    shown = {level: int((sheet == level).all(-1).sum()) for level in (90, 170, 210)}
    assert shown == {90: each, 170: each if kind == "pairs" else 0, 210: each}
    where = [np.flatnonzero((sheet == v).all(-1).any(0))[0] for v in (90, 210)]
    assert where[0] < where[1]


def test_other_results_are_no_business_of_it(tmp_path: Path) -> None:
    batch, _ = pairs(1)
    masks: list[Any] = [SemanticMask(np.zeros((20, 40), np.uint8))]
    task: Any = FakeTask(model=nn.Linear(1, 1), last_results=(batch, masks))
    assert not isinstance(task.model, Gan)
    validated(Grids(), trainer_in(tmp_path), task, 0)
    assert not (tmp_path / "samples").exists()
