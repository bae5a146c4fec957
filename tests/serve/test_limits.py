"""What is refused before it costs much."""

import asyncio
import struct

import cv2
import numpy as np
import pytest
from serving import encoded, picture, png_header

from visionkit.serve import limits
from visionkit.serve.limits import RefusedError, decode, read_body, stated_size


def collected(chunks, stated=None, taken=None):
    async def stream():
        for chunk in chunks:
            if taken is not None:
                taken.append(chunk)
            yield chunk

    return asyncio.run(read_body(stream(), stated, 10))


def test_a_body_up_to_the_limit_is_read():
    assert collected([b"12345", b"", b"67890"], "10") == b"1234567890"
    assert collected([b"123"]) == b"123"


@pytest.mark.parametrize(("stated", "read"), [(None, 2), ("5", 2), ("11", 0)])
def test_a_larger_body_is_refused_and_held_no_longer(stated, read):
    taken = []
    with pytest.raises(RefusedError, match="larger than") as told:
        collected([b"1234567890", b"1", b"2"], stated, taken)
    assert told.value.status == 413
    assert len(taken) == read


def test_an_endless_body_is_not_thrown_away_to_its_end(monkeypatch):
    monkeypatch.setattr(limits, "READ_ON", 100)
    taken = []

    async def endless():
        while True:
            taken.append(1)
            yield b"12345"

    asyncio.run(limits.throw_away(endless()))
    assert len(taken) == 21  # the first of more than 100 bytes


def test_a_slow_body_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(limits, "PATIENCE", 0.05)

    async def slow():
        yield b"12345"
        await asyncio.sleep(60)
        raise AssertionError

    asyncio.run(limits.throw_away(slow()))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tif", ".ppm"])
def test_a_header_says_the_size(suffix):
    data = encoded(picture(), suffix)
    assert stated_size(data, 64 * 128) == (64, 128)
    assert decode(data, (64, 128)).shape == (64, 128, 3)
    with pytest.raises(RefusedError, match="more than") as told:
        stated_size(data, 64 * 128 - 1)
    assert told.value.status == 413


@pytest.mark.parametrize("side", [8000, 20_000, 60_000])
def test_a_bomb_is_refused_by_its_header(side, monkeypatch):
    monkeypatch.setattr(limits, "decode_image", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(RefusedError, match="50 million pixels") as told:
        stated_size(png_header(side, side), 50_000_000)
    assert told.value.status == 413


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (b"", 400, "empty"),
        (b"hello", 415, "isn't a picture"),
        (b"GIF89a\x01\x00\x01\x00\x00\x00\x00;", 415, "isn't a picture"),
        (b"\x89PNG\r\n\x1a\n", 415, "isn't a picture"),
    ],
)
def test_what_is_no_picture(data, status, words):
    with pytest.raises(RefusedError, match=words) as told:
        stated_size(data, 1000)
    assert told.value.status == status


@pytest.mark.parametrize("seed", range(40))
def test_damaged_headers_are_refused_not_raised(seed):
    """Bytes of a good file are changed at random: it is read, or refused in words."""
    rng = np.random.default_rng(seed)
    suffix = [".png", ".jpg", ".tif", ".webp", ".bmp"][seed % 5]
    data = bytearray(encoded(picture(), suffix))
    for at in rng.integers(0, min(len(data), 120), 6):
        data[at] = rng.integers(256)
    try:
        decode(bytes(data), stated_size(bytes(data), 1 << 20))
    except RefusedError as error:
        assert error.status in (413, 415, 422)


def test_a_truncated_picture_is_refused():
    data = encoded(picture(), ".jpg")[:-200]
    with pytest.raises(RefusedError, match=r"^the picture: truncated JPEG; send a whole") as told:
        decode(data, stated_size(data, 1 << 20))
    assert told.value.status == 422


def test_a_jpeg_of_very_many_scans_is_refused():
    """Each goes over all pixels: a small file could keep a thread busy for minutes."""
    data = encoded(picture(), ".jpg")
    scan = data[data.index(b"\xff\xda") : -2]
    many = data[:-2] + scan * limits.SCANS + data[-2:]
    with pytest.raises(RefusedError, match="more than 100 scans") as told:
        decode(many, stated_size(many, 1 << 20))
    assert told.value.status == 422


def test_pixels_must_be_what_the_header_states():
    data = encoded(picture())
    with pytest.raises(RefusedError, match="isn't of the size"):
        decode(data, (64, 127))


def test_a_picture_comes_upright(tmp_path):
    stored = cv2.imencode(".jpg", picture())[1].tobytes()
    orientation = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    turned = stored[:2] + b"\xff\xe1" + struct.pack(">H", len(orientation) + 2) + orientation
    data = turned + stored[2:]
    assert stated_size(data, 1 << 20) == (64, 128)
    assert decode(data, (64, 128)).shape == (128, 64, 3)


def test_a_file_that_states_two_sizes_is_refused():
    """A JPEG 2000 has its size in a box, which Pillow reads, and in its stream."""
    data = bytearray(encoded(picture(), ".jp2"))
    at = data.index(b"ihdr") + 4
    data[at : at + 8] = struct.pack(">II", 8, 8)
    stated = stated_size(bytes(data), 100)
    assert stated == (8, 8)
    with pytest.raises(RefusedError) as told:
        decode(bytes(data), stated)
    assert told.value.status == 422
