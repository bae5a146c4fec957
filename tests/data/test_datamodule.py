"""Splits as loaders."""

import functools
import json

import numpy as np
import pytest
import torch
from tiny import CLASSES, make_coco

from visionkit.data.augment_boxes import DetectionAugment
from visionkit.data.coco import read_coco
from visionkit.data.datamodule import DataModule, canvas_of, default_workers
from visionkit.errors import ConfigError, DataError


def module(root, **options):
    options = {"image_size": 64, "batch_size": 3, "num_workers": 0} | options
    return DataModule(functools.partial(read_coco), str(root), **options)


def test_what_a_model_is_built_from(squares):
    info = module(squares, image_size=[64, 96]).read("train", "val", "test")
    assert info.classes == CLASSES
    assert info.canvas == (64, 96)


def test_evaluation_batches_are_the_split_in_order(squares):
    batches = list(module(squares).val_dataloader())
    assert [len(b) for b in batches] == [3, 1]
    assert [m.image_id for b in batches for m in b.meta] == [10, 11, 12, 13]
    first = batches[0]
    assert first.images.dtype == torch.uint8
    assert first.images.shape == (3, 3, 64, 64)
    assert first.targets.image.tolist() == [0, 0, 1, 1, 2, 2]
    assert first.targets.labels.tolist() == [0, 1] * 3
    # red is where the red boxes say, RGB in that order
    x1, y1, x2, y2 = first.targets.boxes[0].int().tolist()
    assert first.images[0, :, (y1 + y2) // 2, (x1 + x2) // 2].tolist() == [220, 30, 30]
    assert len(batches[1].targets.labels) == 0  # the picture without objects
    assert batches[1].targets.boxes.shape == (0, 4)


def test_truth_is_given_in_original_pixels(squares):
    data = module(squares, image_size=128)
    batch = next(iter(data.val_dataloader()))
    index = data.need("val")
    boxes, _ = index.targets(0, (64, 64))
    assert batch.truth()[0].boxes == pytest.approx(boxes)
    assert batch.targets.boxes[:2].numpy() == pytest.approx(2 * boxes)


@pytest.mark.parametrize("cache", ["ram", "none", "auto"])
@pytest.mark.parametrize("workers", [0, 1])
def test_training_samples_do_not_depend_on_how_they_are_loaded(squares, cache, workers):
    def draw(**options):
        loader = module(squares, augment=DetectionAugment(), seed=5, **options).train_dataloader()
        for epoch in (0, 1):
            loader.batch_sampler.set_epoch(epoch)
            yield from loader

    plain = list(draw(cache="none"))
    other = list(draw(cache=cache, num_workers=workers))
    for a, b in zip(plain, other, strict=True):
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.targets.boxes, b.targets.boxes)
    assert len(plain) == 6
    by_id = [
        {m.image_id: x for b in half for m, x in zip(b.meta, b.images, strict=True)}
        for half in (plain[:3], plain[3:])
    ]
    assert by_id[0].keys() == by_id[1].keys() == set(range(10, 18))
    assert any(not torch.equal(by_id[0][k], by_id[1][k]) for k in by_id[0])


@pytest.mark.parametrize("augment", [None, DetectionAugment()])
def test_multiscale_batches_differ_in_canvas(squares, augment):
    loader = module(squares, multiscale=0.5, batch_size=1, augment=augment).train_dataloader()
    sizes = {tuple(b.canvas) for b in loader}
    assert len(sizes) > 1
    assert all(side % 32 == 0 for size in sizes for side in size)


def test_splits_that_are_not_there(squares, tmp_path):
    data = module(squares)
    data.read("val")
    with pytest.raises(DataError, match="no test split; there are val"):
        data.need("test")
    root = make_coco(tmp_path, {"train": 2})
    alone = module(root)
    assert alone.val_dataloader() == []
    assert len(alone.train_dataloader()) == 1


def test_settings_that_cannot_be():
    for size in (4, [64], [64, 64, 64], [64.0, 64]):
        with pytest.raises(ConfigError, match="image_size"):
            canvas_of(size)
    assert canvas_of(64) == canvas_of([64, 64]) == (64, 64)
    assert 1 <= default_workers() <= 8


def test_the_index_is_not_copied_into_python_objects(squares):
    index = module(squares).need("train")
    arrays = [v for v in vars(index).values() if isinstance(v, np.ndarray)]
    assert len(arrays) >= 7


@pytest.mark.parametrize("layout", [None, "visionkit.data.coco.read_coco", {"a": 1}])
def test_a_layout_that_reads_nothing(layout):
    with pytest.raises(ConfigError, match=r"data\.layout: .* reads no data set; give .*_target_"):
        DataModule(layout, ".")


def test_boxes_that_nothing_can_be_learned_from_stop_training(tmp_path):
    root = make_coco(tmp_path)
    file = root / "annotations" / "instances_train.json"
    content = json.loads(file.read_text())
    for number, annotation in enumerate(content["annotations"]):
        annotation |= [{"iscrowd": 1}, {"bbox": [5, 5, 0, 9]}, {"bbox": [64, 5, 9, 9]}][number % 3]
    file.write_text(json.dumps(content))
    with pytest.raises(DataError, match="train split: no picture has a box to learn from"):
        module(root).train_dataloader()
