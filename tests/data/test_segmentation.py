"""Pictures with masks, as samples."""

import numpy as np
import pytest
from small_masks import draw_masked, make_masks, write_png

from visionkit.batch import MaskTargets, collate
from visionkit.data.augment import Augment
from visionkit.data.augment_masks import SegmentationAugment
from visionkit.data.cache import ImageCache
from visionkit.data.cache_rooms import Folder
from visionkit.data.mask_classes import Entry
from visionkit.data.mask_files import MaskFiles
from visionkit.data.mask_index import MaskIndex
from visionkit.data.mask_legend import make_legend
from visionkit.data.masks import read_masks
from visionkit.data.samplers import SampleKey
from visionkit.data.segmentation import SegmentationDataset
from visionkit.data.strings import StringTable
from visionkit.errors import DataError
from visionkit.geometry import Letterbox

CANVAS = (40, 56)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """Pictures smaller than the canvas, of its size and larger."""
    folder = tmp_path_factory.mktemp("masked")
    for i, size in enumerate([(20, 24), (40, 50), (90, 70)]):
        image, mask = draw_masked(96, i)
        write_png(folder / f"{i}.png", image[: size[0], : size[1], ::-1])
        write_png(folder / f"{i}_mask.png", mask[: size[0], : size[1]])
    legend = make_legend([Entry("background"), Entry("red"), Entry("green")], "here")
    return MaskIndex(
        StringTable([str(folder / f"{i}.png") for i in range(3)]),
        np.arange(3) + 10,
        MaskFiles(StringTable([str(folder / f"{i}_mask.png") for i in range(3)]), legend),
        legend.classes,
    )


def key(i, epoch=0, whole=False, canvas=CANVAS, draw=0):
    return SampleKey(i, epoch, whole, canvas, draw)


def assert_same(a, b):
    np.testing.assert_array_equal(a.image, b.image)
    np.testing.assert_array_equal(a.target.labels, b.target.labels)
    assert a.meta == b.meta


@pytest.mark.parametrize("augment", [None, Augment(), SegmentationAugment()])
def test_evaluation_is_the_letterbox(index, augment):
    dataset = SegmentationDataset(index, CANVAS, augment)
    assert len(dataset) == 3
    for i in range(3):
        sample, (image, labels) = dataset[i], index.pair(i)
        box = Letterbox(labels.shape, CANVAS)
        np.testing.assert_array_equal(sample.image, box.apply(image))
        np.testing.assert_array_equal(sample.target.labels, box.frame_labels(labels))
        assert set(np.unique(sample.target.labels)) <= {0, 1, 2, 255}
        assert sample.meta.letterbox == box
        assert (sample.meta.image_id, sample.meta.path) == (10 + i, index.path(i))


def test_training_without_augmentation_is_evaluation_on_the_keys_canvas(index):
    plain = SegmentationDataset(index, CANVAS)
    assert_same(plain[key(1)], plain[1])
    other = SegmentationDataset(index, (64, 32))
    assert_same(plain[key(2, canvas=(64, 32))], other[2])


def test_training_depends_on_seed_epoch_draw_and_picture(index):
    augment = SegmentationAugment(rotate=10)

    def draw(i=1, epoch=0, seed=0, draw=0):
        return SegmentationDataset(index, CANVAS, augment, seed)[key(i, epoch, draw=draw)]

    first = draw()
    assert_same(first, draw())
    for other in (draw(i=2), draw(epoch=1), draw(seed=1), draw(draw=1)):
        assert not np.array_equal(first.image, other.image)
    assert first.image.shape == (*CANVAS, 3) and first.target.labels.shape == CANVAS
    assert first.image.dtype == first.target.labels.dtype == np.uint8


def test_whole_samples_are_evaluations_but_for_mirroring(index):
    augment = SegmentationAugment(hflip=0.0, rotate=30)
    dataset = SegmentationDataset(index, CANVAS, augment)
    for i in range(3):
        assert_same(dataset[key(i, whole=True)], dataset[i])
        assert not np.array_equal(dataset[key(i)].image, dataset[i].image)


@pytest.mark.parametrize("scale", [(0.5, 1.0), (0.5, 2.0)])
def test_the_cache_gives_the_same_where_it_is_used(index, scale):
    """Pictures that are larger than the canvas and may be enlarged come from the file."""
    augment = SegmentationAugment(scale=scale)
    cache = ImageCache(3, *CANVAS)
    cached = SegmentationDataset(index, CANVAS, augment, 0, cache)
    first = [cached[key(i)] for i in range(3)]
    assert [cache.kept(i) is not None for i in range(3)] == [True, True, scale[1] == 1]
    for i in range(3):
        assert_same(first[i], cached[key(i)])
    plain = SegmentationDataset(index, CANVAS, augment)
    if scale[1] > 1:
        assert_same(first[2], plain[key(2)])
    assert_same(first[1], plain[key(1)])  # of the canvas's height: kept as it is
    for i in range(3):
        for k in (i, key(i, whole=True)):
            assert_same(cached[k], plain[k])


def test_a_cache_on_disk_serves_other_augmentations(index, tmp_path, monkeypatch):
    """One that needs the original pixels isn't given what another has scaled."""
    keep = ImageCache(3, *CANVAS, place=Folder(tmp_path, "train", "key"))
    first = SegmentationDataset(index, CANVAS, None, 0, keep)
    [first[i] for i in range(3)]
    again = ImageCache(3, *CANVAS, place=Folder(tmp_path, "train", "key"))
    larger = SegmentationAugment(scale=(0.5, 2.0))
    for augment in (None, larger):
        cached = SegmentationDataset(index, CANVAS, augment, 0, again)
        plain = SegmentationDataset(index, CANVAS, augment)
        for i in (1, 2):
            assert_same(cached[key(i)], plain[key(i)])
    monkeypatch.setattr(MaskIndex, "pair", None)
    assert_same(SegmentationDataset(index, CANVAS, None, 0, again)[key(2)], first[2])


def test_what_is_kept_is_not_changed(index):
    dataset = SegmentationDataset(
        index, CANVAS, SegmentationAugment(scale=(1, 1), blur=1.0), 0, ImageCache(3, *CANVAS)
    )
    before = dataset[0]
    for epoch in range(4):
        sample = dataset[key(0, epoch)]
        sample.image[:], sample.target.labels[:] = 0, 0
    assert_same(dataset[0], before)


def test_other_canvases_and_windows(index):
    dataset = SegmentationDataset(
        index, CANVAS, SegmentationAugment(), cache=ImageCache(3, *CANVAS)
    )
    for canvas in ((32, 64), (64, 64), CANVAS):
        sample = dataset[key(0, canvas=canvas)]
        assert sample.target.labels.shape == sample.image.shape[:2] == canvas
    windows = SegmentationDataset(index, CANVAS, SegmentationAugment(window=(16, 24)))
    for whole in (False, True):
        sample = windows[key(2, whole=whole)]
        assert sample.target.labels.shape == sample.image.shape[:2] == (16, 24)
    assert windows[2].target.labels.shape == CANVAS


def test_samples_make_batches(index):
    batch = collate([SegmentationDataset(index, CANVAS)[i] for i in (0, 2)])
    assert batch.images.shape == (2, 3, *CANVAS)
    assert isinstance(batch.targets, MaskTargets) and batch.masks.labels.shape == (2, *CANVAS)
    truth = batch.truth()
    assert [t.labels.shape for t in truth] == [(20, 24), (90, 70)]
    # enlarged and back again: nothing lost
    np.testing.assert_array_equal(truth[0].labels, index.mask(0))


def test_errors_name_the_way_out(tmp_path):
    root = make_masks(tmp_path, {"train": 2})
    write_png(root / "masks" / "train" / "1.png", np.full((48, 48), 9, np.uint8))
    index = read_masks(root, "train", validation=0)
    dataset = SegmentationDataset(index, CANVAS)
    assert dataset[0].target.labels.max() == 255
    with pytest.raises(DataError, match=r"1\.png: has the value 9.*data\.defects=drop"):
        dataset[1]
