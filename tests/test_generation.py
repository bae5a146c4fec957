"""Whole runs of generation, small."""

import json
from pathlib import Path

import lightning
import pytest
import torch
from omegaconf import open_dict
from runs import assert_same, interrupted, states
from small_gans import make_images, make_sides, small_run

from visionkit import checkpoint, evaluate, train
from visionkit.checkpoint import load_model
from visionkit.compose import compose
from visionkit.errors import CheckpointError, ConfigError, DataError, TrainingError


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return make_images(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def sides(tmp_path_factory):
    return make_sides(tmp_path_factory.mktemp("sides"))


@pytest.fixture(scope="module")
def finished(pictures, sides, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return folder, train.run(small_run("dcgan", pictures, sides, folder, "gan.conditional=true"))


def test_a_run_writes_all_it_should(finished):
    folder, metrics = finished
    assert {"kid", "fid_random", "precision", "recall", "loss", "images", "seconds"} <= set(metrics)
    assert metrics["images"] == 12
    names = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert {"config.yaml", "metrics.json", "checkpoints/best.ckpt"} <= names
    assert {"samples/epoch_002.png", "samples/training.gif", "extractor.json"} <= names
    assert json.loads((folder / "metrics.json").read_text())["kid"] == metrics["kid"]


def test_batches_are_counted_not_optimizers(finished):
    content = checkpoint.read(finished[0] / "checkpoints" / "last.ckpt")
    assert content["global_step"] == 2 * 6
    assert content["ema"]["updates"] == 2 * 6
    assert len(content["optimizer_states"]) == 2
    assert all(k.startswith("generator.") for k in content["ema"]["model"])
    assert checkpoint.model_state(content).keys() >= {"critic.head.logit.weight"}


def test_evaluation_repeats_the_figures_of_training(finished, tmp_path):
    folder, metrics = finished
    best = folder / "checkpoints" / "best.ckpt"
    words = [f"checkpoint={best}", f"run_dir={tmp_path}", "split=val"]
    again = evaluate.run(compose(words, "evaluate"))
    assert again.keys() == metrics.keys()
    for name in again.keys() - {"seconds"}:
        assert again[name] == pytest.approx(metrics[name], rel=1e-6), name


def test_a_checkpoint_is_scored_otherwise(finished, pictures, tmp_path):
    best = finished[0] / "checkpoints" / "best.ckpt"
    cfg = compose([f"checkpoint={best}", f"run_dir={tmp_path}", "split=val"], "evaluate")
    with open_dict(cfg):
        cfg.evaluator_overrides = {"samples": 8, "extractor": {"seed": 3}}
        cfg.data_overrides = {"layout": {"validation": 0.2}}  # and the rest of it stays
    again = evaluate.run(cfg)
    assert again["kid"] != finished[1]["kid"]
    about = json.loads((tmp_path / "extractor.json").read_text())
    assert "seed 3" in about["weights"]


def test_a_checkpoint_samples_without_the_configuration(finished):
    model = load_model(finished[0] / "checkpoints" / "best.ckpt").model
    first, second = model.sample([0, 1]), model.sample([1], [1])
    assert first[0].image.shape == (32, 32, 3)
    assert (first[1].image == second[0].image).all()
    assert [g.label for g in first] == [0, 1]


@pytest.mark.parametrize("where", [{"batches": 4}, {"signal": 5}, {"validation": 0}])
@pytest.mark.parametrize("model", ["dcgan", "stylegan2"])
def test_a_run_that_stops_goes_on_as_if_it_had_not(pictures, sides, tmp_path, where, model):
    if model == "stylegan2" and "batches" not in where:
        pytest.skip("one way of stopping will do for the second")
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    each = "trainer.check_val_every_n_epoch=1"
    train.run(small_run(model, pictures, sides, whole, each))
    interrupted(small_run(model, pictures, sides, stopped, each), **where)
    train.run(small_run(model, pictures, sides, stopped, each, "resume=auto"))
    assert_same(states(whole), states(stopped))


def test_translation_goes_on_too(pictures, sides, tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    train.run(small_run("pix2pix", pictures, sides, whole))
    interrupted(small_run("pix2pix", pictures, sides, stopped), batches=3)
    metrics = train.run(small_run("pix2pix", pictures, sides, stopped, "resume=auto"))
    assert_same(states(whole), states(stopped))
    assert {"l1", "psnr", "ssim"} <= set(metrics)


def test_critics_that_train_more_often(pictures, sides, tmp_path):
    words = ["task.critic_steps=3", "trainer.max_steps=7", "trainer.gradient_clip_val=0.5"]
    train.run(small_run("wgan_gp", pictures, sides, tmp_path, *words))
    content = checkpoint.read(tmp_path / "checkpoints" / "last.ckpt")
    assert content["global_step"] == 7
    steps = [next(iter(s["state"].values()))["step"].item() for s in content["optimizer_states"]]
    assert steps == [7, 2]


def test_gradients_are_shortened(pictures, sides, tmp_path):
    words = ["trainer.gradient_clip_val=1e-9", "optimizer._target_=torch.optim.SGD"]
    words += ["~optimizer.betas", "optimizer.lr=1", "trainer.max_steps=2"]
    cfg = small_run("dcgan", pictures, sides, tmp_path, *words)
    job = train.Run(cfg)
    before = [p.detach().clone() for p in job.model.parameters()]
    job.fit()
    change = [(a - b).norm() for a, b in zip(before, job.model.parameters(), strict=True)]
    assert torch.stack(change).max() < 1e-7


def test_values_of_gradients_are_held(pictures, sides, tmp_path):
    words = ["trainer.gradient_clip_val=1e-3", "+trainer.gradient_clip_algorithm=value"]
    words += ["optimizer=sgd", "optimizer.lr=1", "optimizer.momentum=0", "optimizer.nesterov=false"]
    words += ["optimizer.weight_decay=0", "trainer.max_steps=1"]
    job = train.Run(small_run("dcgan", pictures, sides, tmp_path, *words))
    before = [p.detach().clone() for p in job.model.parameters()]
    job.fit()
    change = [(a - b).abs() for a, b in zip(before, job.model.parameters(), strict=True)]
    assert torch.stack([c.max() for c in change]).max().item() == pytest.approx(1e-3, rel=1e-3)
    assert torch.stack([c.norm() for c in change]).max() > 5e-3  # the length is not what is held
    words = ["+trainer.gradient_clip_algorithm=size"]
    with pytest.raises(ConfigError, match="gradient_clip_algorithm"):
        train.run(small_run("dcgan", pictures, sides, tmp_path, *words))


class Spoil(lightning.Callback):
    """Ruins a step of the second epoch by gradients that are too large, though losses are not."""

    def __init__(self, folder: str) -> None:
        self.file, self.kept = Path(folder) / "checkpoints" / "last.ckpt", Path(folder) / "kept"

    def on_train_epoch_end(self, trainer, module):
        self.kept.write_bytes(self.file.read_bytes())

    def on_before_optimizer_step(self, trainer, module, optimizer):
        if trainer.current_epoch == 1:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    parameter.grad.fill_(float("inf"))


def test_a_loss_that_is_not_finite_is_told_and_the_weights_are_kept(pictures, sides, tmp_path):
    cfg = small_run("dcgan", pictures, sides, tmp_path)
    with open_dict(cfg):
        cfg.allow = ["test_generation"]
        cfg.callbacks = {"spoil": {"_target_": "test_generation.Spoil", "folder": str(tmp_path)}}
    with pytest.raises(TrainingError, match=r"isn't finite; lower optimizer\.lr") as error:
        train.run(cfg)
    assert "\n" not in str(error.value)
    last = tmp_path / "checkpoints" / "last.ckpt"
    assert last.read_bytes() == (tmp_path / "kept").read_bytes()  # the epoch's
    content = checkpoint.read(last)
    assert content["global_step"] == 6
    assert all(torch.isfinite(v).all() for v in content["state_dict"].values())


def test_settings_of_the_losses_may_change_on_the_way(pictures, sides, tmp_path):
    interrupted(small_run("dcgan", pictures, sides, tmp_path, "task.adaptive=0.6"), batches=3)
    last = tmp_path / "checkpoints" / "last.ckpt"
    for words in (["task.adaptive=0"], ["task.adaptive=0.6"]):
        job = train.Run(small_run("dcgan", pictures, sides, tmp_path, f"resume={last}", *words))
        assert job.fit()


def test_a_checkpoint_of_another_task_is_told(finished, pictures, sides, tmp_path):
    last = finished[0] / "checkpoints" / "last.ckpt"
    content = checkpoint.read(last)
    del content["state_dict"]["mean_path"]
    file = tmp_path / "last.ckpt"
    torch.save(content, file)
    words = ["gan.conditional=true", "trainer.max_epochs=3", f"resume={file}"]
    with pytest.raises(
        CheckpointError, match=r"^resume: 'mean_path' is in .* not in both"
    ) as error:
        train.run(small_run("dcgan", pictures, sides, tmp_path / "run", *words))
    assert "\n" not in str(error.value)


def test_cyclegan_goes_on_at_another_size(sides, tmp_path):
    words = ["task.pool=4", "trainer.max_epochs=1"]
    interrupted(small_run("cyclegan", sides, sides, tmp_path, *words), batches=1)
    words += [f"resume={tmp_path / 'checkpoints' / 'last.ckpt'}", "data.image_size=48"]
    assert train.Run(small_run("cyclegan", sides, sides, tmp_path, *words)).fit()


def test_paths_need_styles(pictures, sides, tmp_path):
    words = ["task.path_length=2"]
    with pytest.raises(ConfigError, match=r"^task\.path_length: .* no styles; set it 0") as error:
        train.run(small_run("dcgan", pictures, sides, tmp_path, *words))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["trainer.accumulate_grad_batches=2"], r"accumulate_grad_batches: .* leave it 1"),
        (["data.image_size=33"], r"data\.image_size: .* 33 x 33"),
        (["predict.flip=true"], r"predict: a generator looks at no picture"),
    ],
)
def test_what_cannot_work_is_told(pictures, sides, tmp_path, words, line):
    with pytest.raises(ConfigError, match=line) as error:
        train.run(small_run("dcgan", pictures, sides, tmp_path, *words))
    assert "\n" not in str(error.value)


def test_pairs_are_for_translation(pictures, sides, tmp_path):
    with pytest.raises((ConfigError, DataError), match="model=pix2pix"):
        train.run(small_run("dcgan", pictures, sides, tmp_path, "data=pairs", f"data.root={sides}"))
