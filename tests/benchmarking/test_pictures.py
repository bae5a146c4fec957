"""Pictures to measure with: drawn, or of a split."""

from pathlib import Path

import cv2
import numpy as np
from tiny import make_coco

from visionkit.benchmarking.pictures import COUNT, MOST, drawn, of_split
from visionkit.data.class_index import ClassIndex
from visionkit.data.coco import read_coco
from visionkit.geometry import read_image


def test_pictures_are_drawn_alike_each_time(tmp_path: Path) -> None:
    first, second = drawn(tmp_path / "a"), drawn(tmp_path / "b")
    assert len(first) == COUNT
    assert [f.read_bytes() for f in first] == [f.read_bytes() for f in second]
    assert len({f.read_bytes() for f in first}) == COUNT
    assert read_image(first[0]).shape == (480, 640, 3)


def test_files_come_from_all_over_a_split(tmp_path: Path) -> None:
    root = make_coco(tmp_path / "set", {"val": MOST + 8}, side=32)
    index = read_coco(root, "val")
    files = of_split(index, (32, 32), tmp_path / "out")
    assert len(files) == MOST
    assert [files[0].name, files[-1].name] == ["0.png", f"{MOST + 7}.png"]
    assert len(set(files)) == MOST
    assert not (tmp_path / "out").exists()


def test_pictures_in_memory_become_files(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    labels = np.zeros(3, np.int64)
    index = ClassIndex(("a",), np.arange(3), labels, pixels=pixels)
    files = of_split(index, (8, 8), tmp_path / "out")
    assert [f.parent for f in files] == [tmp_path / "out"] * 3
    for file, image in zip(files, pixels, strict=True):
        np.testing.assert_array_equal(cv2.imread(str(file))[..., ::-1], image)
