"""Labels of several kinds: how they are put together, and what samples and figures become."""

import numpy as np
import pytest
from mask_cases import make_index
from small_joint import make_joint_set
from tiny import make_coco

from visionkit.compose import compose
from visionkit.data.augment_joint import JointAugment, Scene, mirrored
from visionkit.data.cache import ImageCache
from visionkit.data.class_index import ClassIndex
from visionkit.data.coco import read_coco
from visionkit.data.coco_masks import read_coco_masks
from visionkit.data.datamodule import DataModule
from visionkit.data.joint import join, narrowed, part_names, read_joint, read_sets, read_shown
from visionkit.data.joint_shapes import read_joint_shapes
from visionkit.data.samplers import SampleKey
from visionkit.data.strings import StringTable
from visionkit.errors import ConfigError, DataError
from visionkit.results import VOID
from visionkit.sample import Boxes, Labels, Mask

READERS = {"detection": read_coco, "segmentation": read_coco_masks}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_joint_set(tmp_path_factory.mktemp("joint"))


def classes_of(files):
    files = list(files)
    return ClassIndex(("a", "b"), np.arange(len(files)), np.zeros(len(files), np.int64),
                      files=StringTable(files))  # fmt: skip


def test_evaluation_samples_are_those_of_each_kind(root):
    """[64, 64] pictures on a canvas of another shape: image, boxes and masks to the last bit."""
    index = read_joint(root, "val", READERS)
    canvas = (96, 80)
    joint = index.dataset(canvas)
    alone = {name: read(root, "val").dataset(canvas) for name, read in READERS.items()}
    assert len(joint) == 4
    for i in range(4):
        sample = joint[i]
        boxes, masks = alone["detection"][i], alone["segmentation"][i]
        assert np.array_equal(sample.image, boxes.image)
        assert sample.meta == boxes.meta
        parts = sample.target.parts
        assert np.array_equal(parts["detection"].boxes, boxes.target.boxes)
        assert np.array_equal(parts["detection"].labels, boxes.target.labels)
        assert np.array_equal(parts["segmentation"].labels, masks.target.labels)


def test_what_is_to_be_known_of_the_parts(root):
    index = read_joint(
        root, "train", {**READERS, "classes": lambda r, s: read_shown(r, s, read_coco)}
    )
    assert index.kind == "parts"
    infos = index.infos((64, 64))
    assert {n: i.kind for n, i in infos.items()} == {
        "detection": "boxes", "segmentation": "masks", "classes": "classes"}  # fmt: skip
    assert infos["segmentation"].classes == ("background", "red", "green")
    assert index.classes[:3] == ("detection/red", "detection/green", "segmentation/background")
    assert not infos["classes"].exclusive
    assert infos["classes"].counts == (7, 7)  # of 8 pictures the last is empty
    assert index.untrainable() is None
    assert index.weights().shape == (8,)
    kept = index.only(np.arange(8) % 2 == 1)
    assert kept.image_ids.tolist() == [11, 13, 15, 17]
    assert kept.dataset((64, 64))[1].meta.image_id == 13


def test_pictures_are_found_by_file_then_by_name():
    a, b = classes_of(["/x/1.png", "/x/2.png", "/x/3.png"]), classes_of(["/x/3.png", "/x/1.png"])
    joined, told = join({"a": a, "b": b}, "set")
    assert joined.rows["a"].tolist() == [0, 2]
    assert joined.rows["b"].tolist() == [1, 0]
    assert told == ("set: 1 of 3 pictures are left out, they lack labels for some part",)
    assert joined.of("a").image_ids.tolist() == [0, 2]
    other = classes_of(["/y/2.jpg", "/y/3.jpg", "/y/1.jpg"])
    joined, told = join({"a": a, "b": other}, "set")
    assert joined.rows["b"].tolist() == [2, 0, 1]
    assert told == ()


def test_labels_of_other_pictures_are_refused():
    with pytest.raises(DataError, match=r"^set: no picture has labels for a and b; check"):
        join({"a": classes_of(["/x/1.png"]), "b": classes_of(["/x/2.png"])}, "set")


def test_a_split_that_one_part_lacks(root):
    readers = {**READERS, "segmentation": lambda *_: None}
    with pytest.raises(DataError, match="no train split for segmentation, which detection has"):
        read_joint(root, "train", readers)
    assert read_joint(root, "other", READERS) is None
    with pytest.raises(ConfigError, match=r"^data.layout.parts: there are none"):
        read_joint(root, "train", {})


def test_a_mask_of_another_size_is_told(tmp_path):
    boxes = read_coco(make_coco(tmp_path), "val")
    masks = make_index([np.zeros((10, 10), np.uint8)] * 4)
    masks = type(masks)(boxes.files, masks.image_ids, masks.truth, masks.classes)
    joined, _ = join({"detection": boxes, "segmentation": masks}, "set")
    with pytest.raises(DataError, match=r"mask0.png: is 10 x 10 pixels"):
        joined.read(0)


def sets(root, other):
    return {
        "boxes": {"root": str(root), "parts": {"detection": read_coco}},
        "masks": {"root": str(other), "parts": {"segmentation": read_coco_masks}},
    }


def test_classes_that_differ_are_named(root):
    index = read_joint(root, "train", READERS)
    others = (*index.classes[:-1], "segmentation/blue")
    with pytest.raises(DataError, match=r"such as segmentation/blue; mend the files"):
        index.with_classes(others)


def test_several_sets_stand_one_after_the_other(root, tmp_path):
    other = make_joint_set(tmp_path, {"train": 3, "val": 2})
    index = read_sets(".", "train", sets(root, other))
    assert index.groups == (8, 3)
    assert index.image_ids.tolist() == list(range(11))
    dataset = index.dataset((64, 64), JointAugment(mosaic=1.0))
    assert list(dataset[7].target.parts) == ["detection"]
    assert list(dataset[8].target.parts) == ["segmentation"]
    drawn = dataset[SampleKey(9, 0, False, (64, 64))]
    assert list(drawn.target.parts) == ["segmentation"]
    kept = index.only(np.arange(11) >= 6)
    assert kept.groups == (2, 3)


def test_a_root_may_start_from_the_data_root(root):
    given = sets(root.name, root.name)
    assert read_sets(root.parent, "val", given).groups == (4, 4)


def test_sets_that_contradict_each_other(root, tmp_path):
    twice = sets(root, root) | {"more": {"root": str(root), "parts": {"detection": read_coco}}}
    with pytest.raises(ConfigError, match=r"sets.more.parts.detection: boxes has labels for it"):
        read_sets(".", "train", twice)
    with pytest.raises(ConfigError, match=r"^data.layout.sets.boxes: must have root and parts"):
        read_sets(".", "train", {"boxes": {"path": "x"}})
    with pytest.raises(ConfigError, match=r"^data.layout.sets.boxes: must have root and parts"):
        read_sets(".", "train", {"boxes": {"root": "x", "parts": None}})
    other = make_joint_set(tmp_path, {"train": 3})
    with pytest.raises(DataError, match=r"^data.layout.sets.masks: no val split, which boxes has"):
        read_sets(".", "val", sets(root, other))


def test_batches_of_sets_hold_the_targets_of_one(root):
    def layout(place, split):
        return read_sets(place, split, sets(root, root))

    data = DataModule(layout, str(root), 64, 4, 0, augment=JointAugment(), seed=1)
    data.read("train", "val")
    found = [batch.parts for batch in data.train_dataloader()]
    assert sorted(found) == [("detection",)] * 2 + [("segmentation",)] * 2
    assert [batch.parts for batch in data.val_dataloader()] == [("detection",), ("segmentation",)]


def test_a_cache_changes_nothing(root):
    index = read_joint(root, "train", READERS)
    augment = JointAugment(mosaic=0.5)
    plain = index.dataset((48, 48), augment, seed=4)
    cached = index.dataset((48, 48), augment, 4, ImageCache(len(index), 48, 48))
    key = SampleKey(2, 1, False, (48, 48))
    for _ in range(2):  # filled, then read
        for one, other in ((plain[key], cached[key]), (plain[3], cached[3])):
            assert np.array_equal(one.image, other.image)
            for name, part in one.target.parts.items():
                assert np.array_equal(part.labels, other.target.parts[name].labels)
            mine, theirs = (s.target.parts["detection"].boxes for s in (one, other))
            assert np.array_equal(mine, theirs)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_boxes_and_masks_stay_together(root, seed, whole):
    """The squares fill their boxes, so masks must show each class around a box's middle."""
    index = read_joint(root, "train", READERS)
    dataset = index.dataset((64, 64), JointAugment(mosaic=1.0, vflip=0.5, hflip=0.5), seed)
    seen = 0
    for i in range(7):
        parts = dataset[SampleKey(i, 0, whole, (64, 64))].target.parts
        labels = parts["segmentation"].labels
        for (x1, y1, x2, y2), label in zip(
            parts["detection"].boxes.round().astype(int), parts["detection"].labels, strict=True
        ):
            inside = labels[y1 + 1 : y2 - 1, x1 + 1 : x2 - 1]
            assert (inside == 1 + label).mean() > 0.9 if inside.size > 20 else True
            seen += inside.size > 20
    assert seen > 5


def test_pictures_with_a_class_of_the_whole_are_never_mixed():
    image = np.full((32, 32, 3), 200, np.uint8)
    scene = Scene(image, {"classes": Labels(np.ones(2, np.float32)), "masks": Mask(np.ones((32, 32), np.uint8))})  # fmt: skip  # noqa: E501
    augment = JointAugment(mosaic=1.0, scale=(0.5, 0.5), hflip=0, brightness=0, hue=0, saturation=0)

    def another(_):
        pytest.fail("a mosaic was begun")

    drawn = augment(scene, another, (32, 32), False, np.random.default_rng(0))
    assert drawn.parts["classes"] is scene.parts["classes"]
    assert (drawn.parts["masks"].labels == 1).sum() == 16 * 16
    assert (drawn.parts["masks"].labels == VOID).sum() == 32 * 32 - 16 * 16


@pytest.mark.parametrize(("axis", "wanted"), [(1, [4, 2, 7, 5]), (0, [1, 3, 4, 6])])
def test_mirrored_by_hand(axis, wanted):
    boxes = Boxes(np.array([[1, 2, 4, 5]], np.float32), np.array([0]))
    scene = Scene(np.zeros((8, 8, 3), np.uint8), {"detection": boxes})
    assert mirrored(scene, axis).parts["detection"].boxes.tolist() == [wanted]


def test_other_augmentations_are_refused(root):
    from visionkit.data.augment_boxes import DetectionAugment

    index = read_joint(root, "train", READERS)
    with pytest.raises(ConfigError, match="DetectionAugment isn't for pictures with labels of sev"):
        index.dataset((64, 64), DetectionAugment())
    with pytest.raises(ConfigError, match=r"^augment.scale: \[2, 1\] must be"):
        JointAugment(scale=(2, 1))


def test_the_shapes_have_labels_of_every_kind(tmp_path, monkeypatch):
    from visionkit.data import shape_masks, shapes

    few = {"train": 4, "val": 2, "test": 1}
    monkeypatch.setattr(shapes, "generate", lambda place, make=shapes.generate: make(place, few))
    masks = shape_masks.generate
    monkeypatch.setattr(shape_masks, "generate", lambda place: masks(place, few))
    kinds = {"a": "boxes", "b": "masks", "c": "classes"}
    index = read_joint_shapes(tmp_path / "new", "train", kinds)
    assert len(index) == 4
    sample = index.dataset((96, 96))[1].target.parts
    shown = set(np.unique(sample["b"].labels).tolist()) - {0, VOID}
    assert {int(k) + 1 for k in np.flatnonzero(sample["c"].values)} == shown
    assert {int(k) + 1 for k in sample["a"].labels} == shown
    assert read_joint_shapes(tmp_path / "new", "other", kinds) is None


def test_labels_that_no_part_learns_are_not_read():
    cfg = compose(["task=multitask", "data=joint_coco", "data.root=."])
    settings = {"parts": {"detection": {}}, "data": dict(cfg.data)}
    from visionkit.build import plain

    settings["data"] = plain(cfg.data)
    assert part_names(settings["data"]) == ("detection", "segmentation", "classification")
    assert part_names(narrowed(settings)["data"]) == ("detection",)
    several = plain(compose(["task=multitask", "data=joint_sets", "data.root=."]).data)
    assert part_names(several) == ("detection", "segmentation")
    left = narrowed({"parts": {"segmentation": {}}, "data": several})["data"]["layout"]["sets"]
    assert list(left) == ["masks"]
    odd = {"layout": {"sets": {"a": {"root": "x"}, "b": None}}}  # refused where they are read
    assert narrowed({"parts": {"segmentation": {}}, "data": odd})["data"] == odd
    alone = {"data": {"layout": None}, "parts": None}
    assert narrowed(alone) == alone


@pytest.mark.real
def test_boxes_and_masks_of_coco(shared_data):
    index = read_joint(shared_data / "coco192", "train", READERS)
    assert len(index) == 128
    boxes = read_coco(shared_data / "coco192", "train").dataset((256, 320))
    joint = index.dataset((256, 320))
    for i in range(0, 128, 9):
        one, other = joint[i], boxes[i]
        assert np.array_equal(one.image, other.image)
        assert np.array_equal(one.target.parts["detection"].boxes, other.target.boxes)
        drawn = set(np.unique(one.target.parts["segmentation"].labels).tolist()) - {0, VOID}
        assert len(drawn) >= min(1, len(other.target.boxes))
