"""Pictures with classes, as samples and as batches."""

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from visionkit.batch import collate
from visionkit.data.augment_classes import ClassificationAugment
from visionkit.data.cache import ImageCache
from visionkit.data.class_index import ClassIndex
from visionkit.data.classification import ArrayDataset, ClassificationDataset
from visionkit.data.samplers import SampleKey
from visionkit.data.strings import StringTable
from visionkit.geometry import Letterbox, read_image

CANVAS = (32, 32)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for i in range(6):
        image = rng.integers(0, 256, (30 + 5 * i, 50, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{i}.png"), image)
    files = StringTable([str(folder / f"{i}.png") for i in range(6)])
    return ClassIndex(("a", "b", "c"), np.arange(6) + 10, np.arange(6) % 3, files=files)


def arrays(shape=(20, 32, 32, 3), several=False):
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, shape).astype(np.uint8)
    labels = rng.integers(0, 3, shape[0])
    if several:
        labels = rng.random((shape[0], 3)) < 0.5
    return ClassIndex(("a", "b", "c"), np.arange(shape[0]) + 100, labels, pixels=pixels)


def keys(*indices, epoch=0, whole=False, canvas=CANVAS):
    return [SampleKey(i, epoch, whole, canvas) for i in indices]


def test_evaluation_is_the_letterbox(index):
    dataset = ClassificationDataset(index, CANVAS, ClassificationAugment())
    assert len(dataset) == 6
    for i in range(6):
        sample = dataset[i]
        image = read_image(index.path(i))
        box = Letterbox(image.shape[:2], CANVAS)
        np.testing.assert_array_equal(sample.image, box.apply(image))
        assert sample.target.values.tolist() == np.eye(3)[i % 3].tolist()
        assert sample.meta.letterbox == box
        assert (sample.meta.image_id, sample.meta.path) == (10 + i, index.path(i))


def test_training_without_augmentation_is_evaluation_on_the_keys_canvas(index):
    dataset = ClassificationDataset(index, CANVAS)
    sample = dataset[keys(2, canvas=(40, 48))[0]]
    np.testing.assert_array_equal(
        sample.image, Letterbox((40, 50), (40, 48)).apply(read_image(index.path(2)))
    )


def test_training_depends_on_seed_epoch_and_picture(index):
    augment = ClassificationAugment(policy="trivial", erase=0.5, shift=2, rotate=10)

    def draw(i=1, epoch=0, seed=0):
        return ClassificationDataset(index, CANVAS, augment, seed)[keys(i, epoch=epoch)[0]]

    first = draw()
    np.testing.assert_array_equal(first.image, draw().image)
    for other in (draw(i=2), draw(epoch=1), draw(seed=1)):
        assert not np.array_equal(first.image, other.image)
    assert first.meta.letterbox == Letterbox((35, 50), CANVAS)
    assert first.image.shape == (32, 32, 3) and first.target.values.tolist() == [0, 1, 0]


def test_the_cache_gives_the_same(index):
    augment = ClassificationAugment(crop=(1, 1), shift=3)
    cached = ClassificationDataset(index, CANVAS, augment, 0, ImageCache(6, *CANVAS))
    plain = ClassificationDataset(index, CANVAS, augment, 0)
    for _ in range(2):
        for key in (0, 3, *keys(0, 4), *keys(4, canvas=(40, 40))):
            a, b = cached[key], plain[key]
            np.testing.assert_array_equal(a.image, b.image)
            assert a.meta == b.meta
    crops = ClassificationDataset(index, CANVAS, ClassificationAugment(), 0, ImageCache(6, 1, 1))
    assert crops.cache is None, "crops need the original pixels"


def test_samples_make_batches(index):
    batch = collate([ClassificationDataset(index, CANVAS)[i] for i in (0, 2)])
    assert batch.images.shape == (2, 3, 32, 32)
    assert batch.labels.values.tolist() == [[1, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize("shape", [(20, 32, 32, 3), (20, 28, 28), (20, 12, 17, 3), (20, 9, 14)])
def test_evaluation_of_arrays_is_their_pixels(shape):
    index = arrays(shape)
    batch = ArrayDataset(index, ClassificationAugment())[[4, 0, 19]]
    assert batch.images.dtype == torch.uint8 and batch.images.is_contiguous()
    for place, i in enumerate((4, 0, 19)):
        pixels = batch.images[place].permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(pixels, index.image(i))
    one_by_one = collate([ClassificationDataset(index, shape[1:3])[i] for i in (4, 0, 19)])
    assert torch.equal(batch.images, one_by_one.images)
    assert torch.equal(batch.labels.values, one_by_one.labels.values)
    assert batch.meta == one_by_one.meta
    assert batch.images.untyped_storage().nbytes() == batch.images.numel()


def test_several_classes_by_the_batch():
    index = arrays(several=True)
    values = ArrayDataset(index)[[3, 5]].labels.values
    assert values.dtype == torch.float32
    np.testing.assert_array_equal(values.numpy(), index.labels[[3, 5]])


def test_training_of_arrays():
    index = arrays((20, 28, 28))
    augment = ClassificationAugment(crop=(1, 1), shift=3, colour=0.0, erase=0.3)
    dataset = ArrayDataset(index, augment, seed=3)
    batch = dataset[keys(*range(20), canvas=(28, 28))]
    assert batch.images.shape == (20, 3, 28, 28) and batch.images.dtype == torch.uint8
    assert torch.equal(batch.images[:, 0], batch.images[:, 2]), "grey stays grey"
    assert torch.equal(batch.labels.values, dataset[list(range(20))].labels.values)
    assert [m.image_id for m in batch.meta] == list(range(100, 120))
    changed = (batch.images != dataset[list(range(20))].images).flatten(1).any(1)
    assert changed.float().mean() > 0.8
    # whatever the batch, so that other workers and a resumed run draw the same
    alone = dataset[keys(7, canvas=(28, 28))]
    assert torch.equal(alone.images[0], batch.images[7])
    later = dataset[keys(*range(20), epoch=1, canvas=(28, 28))]
    assert not torch.equal(later.images, batch.images)


def test_arrays_on_other_canvases():
    """As with data.multiscale."""
    index = arrays((20, 32, 32))
    batch = ArrayDataset(index, ClassificationAugment())[keys(1, 2, canvas=(64, 64))]
    assert batch.images.shape == (2, 3, 64, 64)
    assert batch.meta[0].letterbox == Letterbox((32, 32), (64, 64))
    wide = ArrayDataset(index)[keys(1, 2, canvas=(32, 64))]
    assert wide.images.shape == (2, 3, 32, 64)
    assert torch.equal(wide.images[0, 0, :, 16:48], torch.from_numpy(index.pixels[1]))
    assert wide.images[0, :, 0, 0].tolist() == [124, 116, 104]


def test_arrays_through_a_loader():
    dataset = ArrayDataset(arrays(), ClassificationAugment())
    batches = [keys(*range(5)), keys(*range(5, 9))]
    loaded = [
        list(DataLoader(dataset, sampler=batches, batch_size=None, num_workers=n, collate_fn=same))
        for n in (0, 2)
    ]
    for a, b in zip(*loaded, strict=True):
        assert torch.equal(a.images, b.images) and a.meta == b.meta


def same(batch):
    return batch


@pytest.mark.real
def test_real_fashion_mnist_by_the_batch(shared_data):
    from visionkit.data.mnist import read_fashion_mnist

    index = read_fashion_mnist(shared_data / "fashion_mnist", "test")
    batch = index.dataset((28, 28))[list(range(256))]
    assert batch.images.shape == (256, 3, 28, 28)
    np.testing.assert_array_equal(batch.images[:, 1].numpy(), index.pixels[:256])
    assert batch.images.float().mean() / 255 == pytest.approx(0.287, abs=0.01)
