"""Joint training: whole runs, sets in turn, learned weights, and two processes."""

import functools
import json
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from ranks import join, on_ranks
from runs import assert_same, interrupted, states
from small_joint import SMALL, joint_config, make_joint, make_joint_batch, make_joint_set
from torch.nn.parallel import DistributedDataParallel

from visionkit import checkpoint, evaluate, train
from visionkit.compose import compose
from visionkit.config import find_problems
from visionkit.errors import ConfigError, DataError
from visionkit.tasks.joint import JointTask
from visionkit.tasks.optim import Muon, parameter_groups
from visionkit.tasks.scoring import calibrate

SECONDS = 120
LEARNED = {"weighting": {"_target_": "visionkit.losses.weighting.UncertaintyWeights"}}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Sets that ``data=joint_sets`` finds under their own names, the first with all labels."""
    folder = tmp_path_factory.mktemp("sets")
    make_joint_set(folder / "boxes")
    make_joint_set(folder / "masks", {"train": 6, "val": 3})
    return folder


@pytest.fixture(scope="module")
def whole(root, tmp_path_factory):
    """A run with boxes, masks and classes of the same pictures."""
    folder = tmp_path_factory.mktemp("run")
    parts = "parts=[detection,segmentation,classification]"
    return folder, train.run(joint_config(root / "boxes", folder, parts, *SMALL))


def test_a_run_has_the_figures_of_every_part(whole):
    folder, metrics = whole
    said = json.loads((folder / "metrics.json").read_text())
    assert {"score", "loss", "images", "seconds", "detection/AP", "detection/AP/red",
            "segmentation/miou", "segmentation/iou/green",
            "classification/accuracy"} <= said.keys()  # fmt: skip
    assert metrics["images"] == 4
    assert (folder / "detection" / "predictions.json").is_file()


def test_a_checkpoint_says_what_its_parts_are_and_scores_alike(whole, tmp_path):
    folder, metrics = whole
    file = folder / "checkpoints" / "best.ckpt"
    loaded = checkpoint.load_model(file)
    assert loaded.parts == {
        "detection": ("red", "green"),
        "segmentation": ("background", "red", "green"),
        "classification": ("red", "green"),
    }
    assert loaded.model.says == "joint"
    words = [f"checkpoint={file}", f"run_dir={tmp_path}", "split=val"]
    again = evaluate.run(compose(words, "evaluate"))
    again.pop("seconds")
    assert again == {k: v for k, v in metrics.items() if k != "seconds"}


def test_other_data_may_have_more_labels_and_must_have_all(whole, root, tmp_path):
    file = whole[0] / "checkpoints" / "best.ckpt"
    words = [f"checkpoint={file}", f"run_dir={tmp_path}", "split=val"]
    other = [f"data.root={root / 'masks'}", "data.num_workers=0"]
    cfg = compose([*words, "data=joint_coco", *other], "evaluate")
    assert evaluate.run(cfg)["images"] == 3
    with pytest.raises(ConfigError, match=r"^parts.detection: the data have no labels"):
        evaluate.run(compose([*words, "data=coco", *other], "evaluate"))


def test_data_of_one_kind_are_refused_in_one_line(root, tmp_path):
    with pytest.raises(ConfigError, match=r"^parts.detection: the data have no labels of that"):
        train.run(joint_config(root / "boxes", tmp_path, *SMALL, "data=coco"))
    with pytest.raises(ConfigError, match=r"^head: each of parts has its own; .*parts.detection.h"):
        train.run(joint_config(root / "boxes", tmp_path, *SMALL, "head=unet"))
    with pytest.raises(DataError, match=r"no |nothing"):
        train.run(joint_config(root, tmp_path, *SMALL))


def in_turn(root, folder, *words):
    words = ("data=joint_sets", "data.layout.sets.masks.parts.segmentation._target_="
             "visionkit.data.coco_masks.read_coco_masks", *SMALL, *words)  # fmt: skip
    return joint_config(root, folder, *words)


def test_sets_in_turn_go_on_after_an_interrupt_as_if_there_was_none(root, tmp_path):
    words = ("weighting=uncertainty", "trainer.max_epochs=1")
    metrics = train.run(in_turn(root, tmp_path / "whole", *words))
    assert metrics["images"] == 7
    broken = tmp_path / "broken"
    interrupted(in_turn(root, broken, *words, "callbacks={}"), batches=2)
    job = train.Run(in_turn(root, broken, *words, f"resume={broken}/checkpoints/last.ckpt"))
    assert job.fit()
    assert_same(states(tmp_path / "whole"), states(broken))


class Steps:
    """A task outside a trainer: what it logs is dropped."""

    def __init__(self, model, **optimizer) -> None:
        self.task = JointTask("multitask", model, {}, Muon)
        self.task.log_dict = lambda *_, **__: None
        self.task.on_train_start()
        groups = parameter_groups(model, 0.1, 0.1)
        self.optimizer = Muon(groups, lr=0.1)
        self.cost = functools.partial(torch.nn.Module.__call__, Costs(self.task))

    def __call__(self, batch):
        self.optimizer.zero_grad()
        loss = self.cost(batch)
        loss.backward()
        self.task.on_before_optimizer_step(self.optimizer)
        self.optimizer.step()
        return loss.detach()


class Costs(torch.nn.Module):
    """What DDP wraps: one call that gives the total loss."""

    def __init__(self, task) -> None:
        super().__init__()
        self.model = task.model
        self._task = [task]

    def forward(self, batch):
        return self._task[0].cost(batch)[0]


def test_what_learns_nothing_in_a_step_is_left_alone():
    """Neither the momentum of the step before nor decay moves it."""
    model = make_joint(**LEARNED)
    steps = Steps(model)
    steps(make_joint_batch())
    before = {k: v.clone() for k, v in model.named_parameters()}
    steps(make_joint_batch("segmentation"))
    moved = {k for k, v in model.named_parameters() if not torch.equal(v, before[k])}
    assert not {k for k in moved if ".detection" in k or ".classification" in k}
    assert "weighting.log_variance.segmentation" in moved
    assert {k for k in before if k.startswith("heads.segmentation")} <= moved
    assert any(k.startswith("backbone") for k in moved)


def test_learned_weights_scale_the_loss_that_is_trained_alone():
    model = make_joint(**LEARNED)
    with torch.no_grad():
        for s in model.weighting.log_variance.values():
            s.fill_(1.0)
    task, batch = JointTask("multitask", model, {}, Muon), make_joint_batch()
    task.on_train_start()
    total, logged = task.cost(batch)
    plain = sum(float(v.detach()) for k, v in logged.items() if not k.endswith("/weight"))
    assert float(total.detach()) == pytest.approx(plain / 2.718281828 + 3 / 2, rel=1e-4)
    assert float(logged["detection/weight"]) == pytest.approx(1 / 2.718281828)


def _rank(number: int, folder: str) -> None:
    join(number, 2, Path(folder) / "store")
    model = make_joint(seed=number, **LEARNED)  # DDP makes them equal
    steps = Steps(model)
    ddp = DistributedDataParallel(Costs(steps.task), find_unused_parameters=False)
    steps.cost = ddp
    for step in range(12):
        names = (("detection",), ("segmentation", "classification"), ())[step % 3]
        assert torch.isfinite(steps(make_joint_batch(*names)))
    torch.save(model.state_dict(), f"{folder}/{number}.pt")
    dist.destroy_process_group()


def test_ranks_stay_equal_with_sets_in_turn(tmp_path):
    on_ranks(_rank, 2, SECONDS, str(tmp_path))
    first, second = (torch.load(tmp_path / f"{n}.pt") for n in (0, 1))
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    unequal = [k for k in first if not torch.equal(first[k], second[k])]
    assert [k for k in unequal if not k.endswith(buffers)] == []


def test_only_what_wants_it_is_observed_and_kept_for_the_fit():
    model = make_joint().eval()
    model.heads["classification"].calibrates = True
    for name in ("detection", "segmentation"):
        model.heads[name].register_forward_hook(lambda *_: pytest.fail("nobody asked"))
    seen = []
    model.calibrate = lambda raws, batches: seen.extend(zip(raws, batches, strict=True))
    batches = [make_joint_batch(), make_joint_batch("segmentation")]
    calibrate(model, batches, torch.device("cpu"))
    ((raw, batch),) = seen
    assert list(raw) == list(batch.parts) == ["classification"]
    assert batch.images.numel() == 0


def test_a_fit_without_a_val_split_is_refused_by_its_key(root, tmp_path):
    place = make_joint_set(tmp_path / "set", {"train": 4, "test": 2})
    with pytest.raises(ConfigError, match=r"^parts.classification.head.calibrate: the set has no"):
        train.Run(joint_config(
            place, tmp_path / "run", "parts=[classification]",
            "parts.classification.head.calibrate=true",
        ))  # fmt: skip


def test_a_figure_that_is_not_there_is_refused_before_training(root, tmp_path):
    with pytest.raises(ConfigError, match=r"no 'detection/AP5'; did you mean 'detection/AP\d+'\?$"):
        train.Run(joint_config(root / "boxes", tmp_path, *SMALL, "evaluator.monitor=detection/AP5"))


def test_the_documented_command_for_sets_needs_no_other_root(root, tmp_path):
    words = ["task=multitask", "data=joint_sets", f"run_dir={tmp_path}",
             f"data.layout.sets.boxes.root={root / 'boxes'}",
             f"data.layout.sets.masks.root={root / 'a=b, c'}"]  # fmt: skip
    cfg = compose(words)
    assert find_problems(cfg) == []
    assert cfg.data.layout.sets.masks.root == str(root / "a=b, c")


def test_a_head_is_fitted_after_training_by_the_pictures_with_its_labels(root, tmp_path):
    file = tmp_path / "checkpoints" / "best.ckpt"
    train.run(joint_config(
        root / "boxes", tmp_path, "parts=[classification]", "trainer.max_epochs=1",
        "parts.classification.head.calibrate=true",
    ))  # fmt: skip
    head = checkpoint.load_model(file).model.heads["classification"]
    assert any(float(b.flatten()[0]) != 1.0 for n, b in head.named_buffers() if "temperature" in n)
    assert file.is_file()
