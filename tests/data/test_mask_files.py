"""Masks that are files of their own."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image
from small_masks import MASK, draw_masked, indices, write_png

from visionkit.data.mask_classes import Entry, make_legend
from visionkit.data.mask_files import read_values
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
