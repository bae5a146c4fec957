"""COCO's outlines of objects, filled as its own API fills them."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from visionkit.data.coco_shapes import paint, run_lengths, shape_of


def test_run_lengths_are_decoded() -> None:
    rng = np.random.default_rng(1)
    for share in (0, 0.01, 0.3, 0.9, 1):
        coarse = (rng.random((1, 37, 41)) < share).astype(np.uint8)[0]
        pixels = np.asfortranarray(coarse.repeat(9, 0).repeat(5, 1))
        lengths = run_lengths(coco_mask.encode(pixels)["counts"])
        again = np.repeat(np.arange(len(lengths)) % 2, lengths).reshape(pixels.shape[::-1]).T
        assert (again == pixels).all()
    for broken in (b"", b"5P", b"\x01", b"05\xff", b"P" * 60 + b"1"):
        with pytest.raises(ValueError, match="run lengths"):
            run_lengths(broken)


def test_polygons_are_filled_as_pycocotools_does() -> None:
    rng = np.random.default_rng(2)
    size = (33, 47)
    for n in range(300):
        corners = rng.uniform(-12, 55, (int(rng.integers(3, 12)), 2))
        if n % 2:  # on tenths of a pixel, where rounding to fifths is hardest
            corners = np.round(corners, 1)
        polygons = [np.round(corners, 2).ravel().tolist(), [3, 3, 9.7, 3.3, 5, 8.9]]
        shape = shape_of(polygons, size)
        expected = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, *size)))
        found = paint(shape.polygons, shape.runs, size).T
        assert (found == expected).all(), polygons
        assert shape.unusable == 0


def test_the_area_is_that_of_the_outline() -> None:
    triangle, square = [0, 0, 8.5, 0, 0, 4], [10, 10, 12, 10, 12, 12.5, 10, 12.5]
    assert shape_of([triangle, square], (20, 20)).area == 17 + 5
    assert shape_of([triangle[::-1]], (20, 20)).area == 17  # whichever way round
    assert shape_of({"size": [4, 5], "counts": [3, 4, 5, 6, 2]}, (4, 5)).area == 10
