"""Every file under conf/ composes, passes the check, and builds."""

import importlib.util

import pytest
import torch
from omegaconf import OmegaConf

from visionkit.build import build, plain
from visionkit.compose import compose, config_dir, groups
from visionkit.config import check
from visionkit.models.build import build_network
from visionkit.models.model import build_model

FOUND = groups([config_dir()])
# a loss is a part of heads, and comes with them
FILES = [(g, o) for g, options in FOUND.items() for o in options if g != "loss"]
PACKAGE_OF = {("logger", "wandb"): "wandb", ("logger", "mlflow"): "mlflow"}


# options of tasks other than detection
TASKS = {
    "classification": {
        "head": ["classification"],
        "model": ["classifier"],
        "data": ["folder", "mnist", "fashion_mnist", "cifar10", "cifar100", "shape_classes"],
        "augment": ["classification", "small_images"],
        "experiment": ["small_images", "transfer", "imagenet"],
        "backbone": [n for n in FOUND["backbone"] if "critic" not in n and "gan" not in n],
    },
    "segmentation": {
        "head": ["fcn", "unet", "fpn", "deeplabv3plus", "pspnet", "lraspp", "upernet"],
        "model": ["segmenter"],
        "data": ["masks", "coco_masks", "shape_masks"],
        "augment": ["segmentation"],
        "experiment": ["finetune_masks"],
    },
    "multitask": {
        "model": ["joint"],
        "parts": FOUND["parts"],
        "weighting": FOUND["weighting"],
        "data": ["joint_shapes", "joint_coco", "joint_sets"],
        "augment": ["joint"],
    },
    "generation": {
        "head": [name for name in FOUND["head"] if "discriminator" in name],
        "model": [
            *("dcgan", "wgan_gp", "sngan", "projected_gan", "stylegan2", "pix2pix", "cyclegan"),
        ],
        "neck": ["random_projection"],
        "backbone": [name for name in FOUND["backbone"] if "critic" in name or "gan" in name],
        "generator": FOUND["generator"],
        "data": ["images", "pairs", "unpaired", "shape_images"],
        "augment": ["flip", "pairs"],
        "optimizer": ["adam", "adam_stylegan", "adam_wgan"],
        "callbacks": ["generation"],
        "evaluator": FOUND["evaluator"],
    },
}


# what an option can't do without
WITH = {
    ("head", "faster_rcnn"): ["neck=fpn", "neck.strides=[4,8,16,32,64]"],
    ("experiment", "finetune_rcnn"): ["model=faster_rcnn"],
    **{("generator", name): ["model=pix2pix"] for name in ("unet", "resnet_translator")},
}


def composed(group, option, root, run_dir):
    of = [task for task, options in TASKS.items() if option in options.get(group, [])]
    (task,) = of or ["detection"]
    words = [] if group == "task" else [f"task={task}"]
    words += WITH.get((group, option), [])
    return compose([*words, f"{group}={option}", f"data.root={root}", f"run_dir={run_dir}"])


@pytest.mark.parametrize(("group", "option"), FILES)
def test_a_file_composes_passes_the_check_and_builds(group, option, squares, tmp_path):
    package = PACKAGE_OF.get((group, option))
    if package and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} isn't installed")
    cfg = composed(group, option, squares, tmp_path)
    check(cfg)
    spec = plain(cfg)
    needs_gpu = spec["trainer"]["accelerator"] != "cpu" if group == "trainer" else False
    needs_gpu |= spec["trainer"]["accelerator"] == "gpu" or option in ("fsdp", "deepspeed")
    needs_gpu &= not torch.cuda.is_available() or option in ("mps", "deepspeed")
    for name in ("callbacks", "logger", "augment", "scheduler", "optimizer", "evaluator", "data"):
        extra = {"augment": None, "seed": 0, "epochs": 1} if name == "data" else {}
        build(spec[name], name, **extra)
    if not needs_gpu:
        build(spec["trainer"], "trainer", logger=False, default_root_dir=str(tmp_path))
    if group in ("model", "backbone", "neck", "head", "parts", "weighting", "generator", "task"):
        with torch.device("cpu"):
            classes = dict.fromkeys(spec["parts"], 2) if spec["parts"] else 2
            build_network(spec, classes, (64, 64))


@pytest.mark.parametrize("name", ["evaluate", "predict", "export", "benchmark", "serve"])
def test_the_other_tools_configurations(name, tmp_path, squares):
    file = tmp_path / "a.ckpt"
    file.touch()
    words = [f"checkpoint={file}"] + ([f"source={tmp_path}"] if name == "predict" else [])
    check(compose(words, name), name)
    if name in ("evaluate", "export", "benchmark"):
        for option in groups([config_dir()])["data"]:
            check(compose([*words, f"data={option}", f"data.root={squares}"], name), name)


def test_every_file_says_what_it_is():
    """`visionkit list` shows the first comment."""
    silent = []
    for file in config_dir().rglob("*.yaml"):
        lines = [x for x in file.read_text().splitlines() if not x.startswith("# @package")]
        if not lines[0].startswith("# ") or not OmegaConf.load(file) is not None:
            silent.append(file.name)
    assert silent == []


@pytest.mark.parametrize(
    ("name", "millions", "gflops"),
    [
        *[("yolo", 2.3, 6.0), ("yolo_s", 9.2, 23.0), ("yolo_m", 19.8, 59.4)],
        *[("yolo_l", 32.0, 118.0), ("faster_rcnn", 41.8, 178.5), ("faster_rcnn_v2", 43.7, 451.6)],
        ("cascade_rcnn", 69.4, 225.0),
    ],
)
def test_the_models_are_of_the_stated_size(name, millions, gflops):
    text = (config_dir() / "model" / f"{name}.yaml").read_text()
    assert f"{millions} M parameters, {gflops:.1f} GFLOPs at 640" in text
    spec = plain(compose(["task=detection", "data.root=.", f"model={name}"]))
    model = build_model(spec, 80)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, rel=0.05)


@pytest.mark.parametrize("task", ["classification", "detection"])
def test_callbacks_can_be_taken_away_from_every_task(squares, task):
    """Also where the task's own file sets values of one."""
    words = [f"task={task}", "callbacks=null", f"data.root={squares}", "run_dir=x"]
    cfg = compose(words)
    check(cfg)
    assert not cfg.callbacks
    cfg = compose([*words, "+callbacks.trial={_target_:visionkit.callbacks.speed.Speed}"])
    assert list(cfg.callbacks) == ["trial"]
