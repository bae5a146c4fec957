"""Decoded pictures in memory that forked workers share."""

import multiprocessing
import pickle

import numpy as np

from visionkit.data.cache import ImageCache


def reader(value, calls, shape=(4, 6, 3)):
    def read():
        calls.append(value)
        return np.full(shape, value, np.uint8), (40, 60)

    return read


def test_each_picture_is_read_once():
    cache, calls = ImageCache(3, 5, 6), []
    for _ in range(2):
        for i, shape in enumerate([(4, 6, 3), (5, 2, 3), (1, 1, 3)]):
            image, size = cache.get(i, reader(i + 1, calls, shape))
            assert image.shape == shape
            assert (image == i + 1).all()
            assert size == (40, 60)
    assert calls == [1, 2, 3]


def test_what_one_forked_process_reads_all_have():
    cache, calls = ImageCache(2, 4, 6), []
    context = multiprocessing.get_context("fork")
    worker = context.Process(target=lambda: cache.get(1, reader(9, [])))
    worker.start()
    worker.join()
    image, size = cache.get(1, reader(5, calls))
    assert calls == []
    assert (image == 9).all()
    assert size == (40, 60)


def test_a_pickled_cache_starts_empty():
    cache, calls = ImageCache(2, 4, 6), []
    cache.get(0, reader(1, calls))
    copy = pickle.loads(pickle.dumps(cache))
    copy.get(0, reader(2, calls))
    assert calls == [1, 2]
    assert ImageCache.size(2, 4, 6) == 2 * 4 * 6 * 3


def test_masks_have_one_channel():
    cache = ImageCache(3, 4, 6, channels=1)
    masks = [np.full(shape, 7 + i, np.uint8) for i, shape in enumerate([(4, 6), (2, 5), (4, 1)])]
    for i in (2, 0, 1):
        assert cache.kept(i) is None
        cache.keep(i, masks[i], (40, 60))
    for i in range(3):
        mask, size = cache.kept(i)
        np.testing.assert_array_equal(mask, masks[i])
        assert size == (40, 60)
    copy = pickle.loads(pickle.dumps(cache))
    assert copy.kept(0) is None
    copy.keep(1, masks[0], (4, 6))
    assert copy.kept(1)[0].shape == (4, 6)
