"""Masks that are files of their own."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image
from small_masks import MASK, draw_masked, indices, write_png

from visionkit.data.mask_classes import Entry
from visionkit.data.mask_files import MaskFiles, read_values, values_in
from visionkit.data.mask_legend import make_legend
from visionkit.data.strings import StringTable
from visionkit.errors import DataError


def test_kinds_of_files(tmp_path):
    """Every way of storing the same indices gives the same."""
    mask = np.where(MASK == 255, 3, MASK).astype(np.uint8)
    indices(tmp_path / "palette.png", mask)
    indices(tmp_path / "few.png", mask, ((1, 1, 1), (2, 2, 2), (3, 3, 3), (4, 4, 4)))
    Image.fromarray(mask).save(tmp_path / "grey.png")
    Image.fromarray(mask.astype(np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(np.repeat(mask[..., None], 3, 2)).save(tmp_path / "rgb.png")
    for name in ("grey.bmp", "grey.tif", "grey.gif"):
        Image.fromarray(mask).save(tmp_path / name)
    legend = make_legend([Entry(n) for n in "abcd"], "here")
    for path in sorted(tmp_path.iterdir()):
        found = legend.labels(read_values(path), str(path))
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, mask, err_msg=path.name)
    Image.fromarray(mask == 1).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_values(tmp_path / "bits.png"), mask == 1)
    deep = np.array([[0, 300]], np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    wide = make_legend([Entry("a", 0), Entry("b", 300)], "here")
    assert wide.labels(read_values(tmp_path / "deep.png"), "x").tolist() == [[0, 1]]


@pytest.mark.parametrize("bits", [2, 4])
def test_grey_png_of_few_bits(tmp_path, bits):
    """OpenCV can write 1 bit only: the file is made by hand."""
    values = np.array([[0, 1, 2, 3], [3, 2, 1, 0]], np.uint8)
    per_byte = 8 // bits
    rows = b""
    for row in values:
        packed = bytearray(4 // per_byte)
        for x, value in enumerate(row):
            packed[x // per_byte] |= int(value) << (8 - bits * (x % per_byte + 1))
        rows += b"\0" + bytes(packed)

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    path = tmp_path / "few.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 2, bits, 0, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    np.testing.assert_array_equal(read_values(path), values)


def test_masks_that_cannot_be_read(tmp_path):
    good = write_png(tmp_path / "good.png", draw_masked(64, 0)[1]).read_bytes()
    cases = {
        "missing.png": None,
        "empty.png": b"",
        "cut.png": good[:100],
        "text.png": b"no picture",
    }
    for name, data in cases.items():
        if data is not None:
            (tmp_path / name).write_bytes(data)
    for name, match in zip(
        cases, ("can't be read", "is empty", "truncated", "not a picture"), strict=True
    ):
        with pytest.raises(DataError, match=rf"{name}: .*{match}"):
            read_values(tmp_path / name)
    cv2.imwrite(str(tmp_path / "blurred.jpg"), MASK)
    with pytest.raises(DataError, match="is a JPEG, which blurs labels"):
        read_values(tmp_path / "blurred.jpg")
    Image.fromarray(np.zeros((2, 2), np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(DataError, match="holds no labels"):
        read_values(tmp_path / "float.tif")


def test_a_palette_that_contradicts_the_list(tmp_path):
    entries = [Entry("sky", None, (9, 9, 9)), Entry("road", None, (200, 0, 0)), Entry("void")]
    legend = make_legend(entries, "the list")

    def read(mask, colours):
        path = str(indices(tmp_path / "0.png", np.array(mask, np.uint8), colours))
        return MaskFiles(StringTable([path]), legend).mask(0).tolist()

    assert read([[0, 1]], ((9, 9, 9), (200, 0, 0))) == [[0, 1]]
    # sky's colour on road's index, and the other way round
    with pytest.raises(DataError, match=r"0\.png: its palette's colours are those of the list"):
        read([[0, 1]], ((200, 0, 0), (9, 9, 9)))
    with pytest.raises(DataError, match="its palette's colours"):
        read([[7, 0]], ((9, 9, 9),) + ((0, 0, 0),) * 6 + ((200, 0, 0),))
    # colours that the list doesn't name, or that tell no classes apart, say nothing
    assert read([[0, 1]], ((200, 0, 0), (1, 1, 1))) == [[0, 1]]
    assert read([[0, 1]], ((9, 9, 9), (9, 9, 9))) == [[0, 1]]
    assert read([[0, 1, 2]], ((9, 9, 9), (200, 0, 0), (5, 5, 5))) == [[0, 1, 255]]
    with pytest.raises(DataError, match="its palette's colours"):
        read([[0, 1, 2]], ((200, 0, 0), (9, 9, 9), (5, 5, 5)))


@pytest.mark.parametrize("channels", [3, 4])
def test_sixteen_bits_a_colour(tmp_path, channels):
    write_png(tmp_path / "deep.png", np.full((2, 3, channels), 300, np.uint16))
    with pytest.raises(DataError, match=r"deep\.png: has 16 bits a colour"):
        read_values(tmp_path / "deep.png")


def test_values_beyond_those_of_classes(tmp_path):
    path = str(tmp_path / "0.tif")
    Image.fromarray(np.array([[0, 1, 2147483647, -1]], np.int32)).save(path)

    def labels(void=(), others=False):
        legend = make_legend([Entry("a"), Entry("b")], "the list", void, others)
        return legend.labels(read_values(path), path).tolist()

    assert labels(void=[2147483647, -1]) == labels(others=True) == [[0, 1, 255, 255]]
    with pytest.raises(DataError, match="has the value -1, 2147483647, which stands for no class"):
        labels()
    with pytest.raises(DataError, match="has the value 2147483647, which"):
        labels(void=[-1])


def test_a_mask_of_too_many_pixels(tmp_path, monkeypatch):
    path = write_png(tmp_path / "large.png", MASK)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3)
    with pytest.raises(DataError, match=r"large\.png: has too many pixels .* cut picture and mask"):
        read_values(path)


def test_values_that_occur(tmp_path):
    grey = str(write_png(tmp_path / "grey.png", MASK))
    colours = str(write_png(tmp_path / "colours.png", np.full((2, 2, 3), (1, 2, 3), np.uint8)))
    assert values_in([colours, grey]) == [0, 1, 2, 255]
    black = str(write_png(tmp_path / "black.png", np.zeros((2, 2, 3), np.uint8)))
    for paths in ([colours, str(tmp_path / "missing.png")], [black, colours, colours]):
        with pytest.raises(DataError, match=r"colours\.png: is in colours, and nothing says"):
            values_in(paths)
