"""Every task's figures on one, two and three ranks: the same to the last bit."""

import pytest
import torch
import torch.distributed as dist
from ranks import join, on_ranks
from small_gans import MODELS, make_images, make_sides
from small_joint import make_joint_set
from small_masks import make_masks
from tiny import make_coco, make_folders

from visionkit.build import build, plain
from visionkit.compose import compose, config_dir, groups
from visionkit.data.joint import narrowed
from visionkit.models.build import build_network
from visionkit.options import options_from
from visionkit.tasks.scoring import make_evaluator, score

IMAGES = 21
SECONDS = 150
SMALL_CSP = ["backbone=csp", "backbone.width=0.125", "backbone.depth=0.1"]
CASES = {
    "yolo": ("detection", "coco", ["neck.out_channels=[16,24,32]", *SMALL_CSP]),
    "faster_rcnn": (
        "detection",
        "coco",
        ["model=faster_rcnn", "neck.out_channels=16", "head.representation=16", *SMALL_CSP],
    ),
    "classification": ("classification", "folder", ["backbone=lenet"]),
    "segmentation": ("segmentation", "masks", ["head=fpn", "head.loss.dice=1", *SMALL_CSP]),
    "joint": (
        "multitask",
        "joint_coco",
        [
            "parts.detection.neck.out_channels=[16,24,32]",
            "parts.segmentation.head.width=16",
            *SMALL_CSP,
        ],
    ),
    "dcgan": ("generation", "images", ["model=dcgan", *MODELS["dcgan"]]),
    "pix2pix": ("generation", "pairs", ["model=pix2pix", *MODELS["pix2pix"]]),
}


def make_set(kind, root):
    splits = {"train": 4, "val": IMAGES}
    if kind == "coco":
        return make_coco(root, splits, side=48, empty=3)
    if kind == "joint_coco":
        return make_joint_set(root, splits)
    if kind == "masks":
        return make_masks(root, splits)
    if kind == "pairs":
        return make_sides(root, 2 * IMAGES)
    if kind == "images":
        return make_images(root, 2 * IMAGES)
    make_folders(root, {"train": 2, "val": (IMAGES + 1) // 2})
    sorted((root / "val").rglob("*.png"))[-1].unlink()
    return root


def config(task, data, words, root):
    common = [f"task={task}", f"data={data}", f"data.root={root}", "data.image_size=32"]
    return narrowed(plain(compose([*common, "data.batch_size=4", "data.num_workers=0", *words])))


def figures(spec):
    """Score an untrained network on the val split."""
    torch.manual_seed(0)
    data = build(spec["data"], "data", augment=None, seed=0, epochs=1)
    info = data.read("val")
    model = build_network(spec, info.num_classes, info.canvas, 1 if info.grey else 3)
    model.prepare(info)
    model.set_options(options_from(spec["predict"] | {"confidence": None}), info.canvas)
    evaluator = make_evaluator(build(spec["evaluator"], "evaluator"), data, "val")
    found = score(model, data.eval_dataloader("val"), evaluator, torch.device("cpu"))
    return {k: v for k, v in found.items() if k != "seconds"}


def _work(number, folder, specs):
    """As the first ranks of three, of two and of one."""
    for count in (3, 2, 1):
        if number < count:
            join(number, count, f"{folder}/store{count}")
            found = {name: figures(spec) for name, spec in specs.items()}
            torch.save(found, f"{folder}/{count}-{number}.pt")
            dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What each rank found, by the number of ranks."""
    folder = tmp_path_factory.mktemp("exact")
    specs = {
        name: config(task, data, words, make_set(data, folder / name))
        for name, (task, data, words) in CASES.items()
    }
    on_ranks(_work, 3, SECONDS, str(folder), specs)
    return {
        count: [torch.load(folder / f"{count}-{n}.pt", weights_only=False) for n in range(count)]
        for count in (1, 2, 3)
    }


def test_every_task_is_tested():
    assert {task for task, _, _ in CASES.values()} == set(groups([config_dir()])["task"])


@pytest.mark.parametrize("case", list(CASES))
def test_figures_are_those_of_one_rank_to_the_last_bit(ranks, case):
    (alone,) = ranks[1]
    assert alone[case]["images"] == IMAGES
    assert alone[case]["loss"] != 0
    for count in (2, 3):
        for of_rank in ranks[count]:
            assert of_rank[case] == alone[case]
