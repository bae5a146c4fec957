import time
import tracemalloc
from itertools import combinations

import cv2
import numpy as np
import pytest
from doctor.coco_set import jpeg, scenery

from visionkit.doctor import duplicates
from visionkit.doctor.duplicates import alike, joined, same
from visionkit.doctor.pictures import look_at


def thumb(rng, spread=60):
    return rng.normal(128, spread, (16, 16, 3)).clip(0, 255).astype(np.uint8)


def test_the_same_digests():
    assert same([b"a", b"b", None, b"a", None, b"c", b"b", b"a"]) == [[0, 3, 7], [1, 6]]
    assert same([]) == []


def test_pairs_are_joined_into_groups():
    assert joined([(4, 1), (2, 3), (7, 4), (3, 2)]) == [[1, 4, 7], [2, 3]]
    assert joined([]) == []


@pytest.mark.parametrize("bits", [0, 1, 4, 8])
def test_no_pair_within_the_distance_is_missed(bits):
    rng = np.random.default_rng(bits)
    codes = list(rng.integers(0, 2**63, 60, dtype=np.uint64))
    for code in list(codes):
        for flips in (1, 4, 5, 8, 9):
            places = rng.choice(64, flips, replace=False)
            codes.append(code ^ np.bitwise_or.reduce(np.uint64(1) << places.astype(np.uint64)))
    codes = np.array(codes, np.uint64)
    thumbs = np.repeat(thumb(rng)[None], len(codes), 0)  # the thumbnails never decide against
    wanted = {
        (a, b)
        for a, b in combinations(range(len(codes)), 2)
        if int(codes[a] ^ codes[b]).bit_count() <= bits
    }
    assert {tuple(pair) for pair in alike(codes, thumbs, bits)} == wanted
    assert bits == 0 or len(wanted) >= 60


def test_thumbnails_decide():
    rng = np.random.default_rng(0)
    first = thumb(rng)
    brighter = (first.astype(int) + 9).clip(0, 255).astype(np.uint8)
    thumbs = np.stack([first, brighter, thumb(rng)])
    assert alike(np.zeros(3, np.uint64), thumbs) == [(0, 1)]


def test_flat_pictures_are_not_alike():
    rng = np.random.default_rng(0)
    thumbs = np.stack([thumb(rng, 2) for _ in range(5)])
    assert alike(np.zeros(5, np.uint64), thumbs) == []
    assert alike(np.zeros(0, np.uint64), np.zeros((0, 16, 16, 3), np.uint8)) == []


def test_a_set_of_pictures_that_are_all_alike_is_one_group_in_reasonable_time():
    rng = np.random.default_rng(0)
    count = 3000
    base = thumb(rng).astype(int)
    thumbs = np.stack([(base + rng.integers(-2, 3, base.shape)).clip(0, 255) for _ in range(count)])
    start = time.perf_counter()
    pairs = alike(np.full(count, 99, np.uint64), thumbs.astype(np.uint8))
    assert time.perf_counter() - start < 20
    assert len(pairs) <= 15 * duplicates.WINDOW * count
    assert joined(pairs) == [list(range(count))]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda p: p, True),
        (lambda p: cv2.resize(p, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), True),
        (lambda p: cv2.resize(p, (300, 300)), True),
        (lambda p: cv2.add(p, (8, 8, 8, 0)), True),
        (lambda p: p[:, ::-1], False),
        (lambda p: p[40:, 60:], False),
        (lambda p: scenery(np.random.default_rng(9), 192, 256), False),
    ],
)
def test_what_counts_as_nearly_the_same_picture(tmp_path, change, found):
    picture = scenery(np.random.default_rng(3), 192, 256)
    looks = []
    for n, pixels in enumerate((picture, change(picture))):
        file = tmp_path / f"{n}.jpg"
        file.write_bytes(jpeg(np.ascontiguousarray(pixels), 95 - 20 * n))
        looks.append(look_at(str(file), None))
    codes = np.array([look.code for look in looks], np.uint64)
    assert bool(alike(codes, np.stack([look.thumb for look in looks]))) == found


def test_pairs_of_many_flat_codes_take_little_memory():
    rng = np.random.default_rng(0)
    codes = np.zeros(4_000, np.uint64)
    contrast = rng.random(len(codes)).astype(np.float32)
    tracemalloc.start()
    pairs = duplicates._close(codes, contrast, 4)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(pairs) == sum(len(codes) - step for step in range(1, duplicates.WINDOW + 1))
    assert peak < 15e6, "each band's own pairs would take 100 MB"
