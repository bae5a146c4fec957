"""Reading any picture file, and the letterbox."""

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from visionkit.errors import DataError
from visionkit.geometry import (
    PAD_COLOUR,
    Letterbox,
    Padded,
    decode_image,
    read_image,
    resize_image,
    resize_labels,
)
from visionkit.results import VOID

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (20, 32)).astype(np.uint8)
ALPHA = RNG.integers(0, 256, (20, 32)).astype(np.uint8)
RGB = RNG.integers(0, 256, (20, 32, 3)).astype(np.uint8)
SMOOTH = np.stack(np.broadcast_arrays(*np.ogrid[0:200:48j, 40:250:64j], 99.0), -1).astype(np.uint8)
PALETTE = Image.fromarray(RGB).quantize(16)
QUADRANTS = np.zeros((20, 32, 3), np.uint8)
QUADRANTS[:10, :16], QUADRANTS[10:, :16], QUADRANTS[:10, 16:] = (
    (250, 10, 10),
    (10, 250, 10),
    (10, 10, 250),
)


def encode(image: np.ndarray | Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def turned(kind: str, orientation: int, image: np.ndarray = QUADRANTS) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(image, kind, exif=exif)


def three(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, 2)


LOSSLESS = {
    "grey png": (encode(GREY, "PNG"), three(GREY)),
    "one bit png": (encode(GREY > 127, "PNG"), three(np.where(GREY > 127, 255, 0))),
    "rgb png": (encode(RGB, "PNG"), RGB),
    "rgba png": (encode(np.dstack([RGB, ALPHA]), "PNG"), RGB),
    "grey and alpha png": (
        encode(Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(ALPHA)]), "PNG"),
        three(GREY),
    ),
    "palette png": (encode(PALETTE, "PNG"), PALETTE.convert("RGB")),
    "palette png with a clear colour": (
        encode(PALETTE, "PNG", transparency=3),
        PALETTE.convert("RGB"),
    ),
    "palette png with alphas": (
        encode(PALETTE, "PNG", transparency=bytes(range(0, 160, 10))),
        PALETTE.convert("RGB"),
    ),
    "webp": (encode(RGB, "WEBP", lossless=True), RGB),
    "rgba webp": (encode(np.dstack([RGB, ALPHA]), "WEBP", lossless=True, exact=True), RGB),
    "bmp": (encode(RGB, "BMP"), RGB),
    "palette bmp": (encode(PALETTE, "BMP"), PALETTE.convert("RGB")),
    "tiff": (encode(RGB, "TIFF"), RGB),
    "lzw tiff": (encode(RGB, "TIFF", compression="tiff_lzw"), RGB),
    "grey tiff": (encode(GREY, "TIFF"), three(GREY)),
    "ppm": (encode(RGB, "PPM"), RGB),
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_every_colour_mode_becomes_rgb(name: str) -> None:
    data, expected = LOSSLESS[name]
    image = decode_image(data, name)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, np.asarray(expected))


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_are_scaled_not_cut(suffix: str, channels: int) -> None:
    deep = RNG.integers(0, 65536, (20, 32, channels)).astype(np.uint16)
    _, data = cv2.imencode(suffix, deep[..., ::-1])
    image = decode_image(data.tobytes(), "deep")
    assert np.abs(image - np.broadcast_to(deep / 257, (20, 32, 3))).max() <= 1


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_decodes_as_pillow_does(mode: str) -> None:
    data = encode(Image.fromarray(SMOOTH).convert(mode), "JPEG", quality=95)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert np.abs(decode_image(data, mode) - expected).max() <= 2


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(kind: str, orientation: int) -> None:
    data = turned(kind, orientation)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    difference = decode_image(data, kind) - np.asarray(expected).astype(int)
    assert np.abs(difference).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_annotated_as_stored_stays_as_stored(orientation: int) -> None:
    data = turned("JPEG", orientation)
    stored = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    upright = decode_image(data, "x")
    sideways = orientation >= 5
    as_stated = decode_image(data, "x", (20, 32))
    assert as_stated.shape == (20, 32, 3)
    assert np.abs(as_stated - (stored if sideways else upright.astype(int))).max() <= 2
    # The upright size, and sizes that are neither, leave it upright.
    for stated in (upright.shape[:2], (10, 16), None):
        np.testing.assert_array_equal(decode_image(data, "x", stated), upright)


def test_a_square_picture_is_turned_whatever_is_stated() -> None:
    square = QUADRANTS[:16, 8:24]
    image = decode_image(turned("PNG", 3, square), "x", (16, 16))
    np.testing.assert_array_equal(image, square[::-1, ::-1])


@pytest.mark.parametrize("kind", ["JPEG", "PROGRESSIVE", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_truncated_files_are_refused_quietly(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    data = (
        encode(SMOOTH, "JPEG", progressive=True) if kind == "PROGRESSIVE" else encode(SMOOTH, kind)
    )
    # From the last byte off to almost nothing. Of a GIF, the last is but a closing mark.
    cuts = {len(data) - n for n in (2, 3, 8, 12, 13, 16)} | {
        int(part * len(data)) for part in np.linspace(0, 0.97, 30)
    }
    for cut in cuts | ({len(data) - 1} if kind != "GIF" else set()):
        with pytest.raises(DataError, match=r"^cut: (truncated|not a picture|the file is empty)"):
            decode_image(data[:cut], "cut")
    decode_image(data, "whole")
    assert capfd.readouterr().err == ""


def test_opencv_speaks_again_afterwards() -> None:
    import cv2.utils.logging as cv2_logging

    before = cv2_logging.getLogLevel()
    with pytest.raises(DataError):
        decode_image(b"nothing", "x")
    assert cv2_logging.getLogLevel() == before


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_bytes_after_the_end_do_no_harm(kind: str) -> None:
    data = encode(SMOOTH, kind)
    np.testing.assert_array_equal(decode_image(data + b"\0" * 300, "x"), decode_image(data, "x"))


def test_the_end_of_a_thumbnail_isnt_the_end_of_the_picture() -> None:
    thumbnail = encode(SMOOTH[::4, ::4], "JPEG")
    picture = encode(SMOOTH, "JPEG")
    header = b"Exif\0\0" + thumbnail
    segment = b"\xff\xe1" + (len(header) + 2).to_bytes(2, "big") + header
    data = picture[:2] + segment + picture[2:]
    np.testing.assert_array_equal(decode_image(data, "x"), decode_image(picture, "x"))
    for cut in (len(segment) + 2, len(data) // 2 + len(segment) // 2, len(data) - 2):
        with pytest.raises(DataError, match="truncated JPEG"):
            decode_image(data[:cut], "x")


def test_files_that_are_no_pictures(tmp_path: Path) -> None:
    empty, text, folder = tmp_path / "empty.jpg", tmp_path / "text.jpg", tmp_path / "folder.jpg"
    empty.touch()
    text.write_text("this is no picture\n")
    folder.mkdir()
    for path, cause in (
        (empty, "the file is empty"),
        (text, "not a picture"),
        (folder, "Is a directory"),
        (tmp_path / "missing.jpg", "No such file"),
    ):
        with pytest.raises(DataError, match=cause) as caught:
            read_image(path)
        assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_read_image_reads_the_file(tmp_path: Path) -> None:
    path = tmp_path / "käse 1.png"  # a name that isn't ASCII
    path.write_bytes(encode(RGB, "PNG"))
    np.testing.assert_array_equal(read_image(path), RGB)
    np.testing.assert_array_equal(read_image(str(path)), RGB)


SIZES = [(1, 1), (1, 500), (500, 1), (3, 4000), (480, 640), (640, 480), (333, 500), (64, 96)]
SIZES += [(int(h), int(w)) for h, w in np.random.default_rng(1).integers(1, 3000, (40, 2))]


@pytest.mark.parametrize("canvas", [(64, 96), (640, 640), (192, 192), (321, 123)])
def test_boxes_come_back_from_the_canvas(canvas: tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    for height, width in SIZES:
        box = Letterbox((height, width), canvas)
        corners = np.sort(rng.uniform(0, 1, (20, 2, 2)), 1).reshape(20, 4)
        boxes = corners * [width, height, width, height]
        boxes[0] = [0, 0, width, height]
        there = box.to_canvas(boxes)
        assert there.dtype == np.float32
        assert np.abs(box.to_image(there) - boxes).max() < 1e-3
        (rows, columns), (top, left) = box.resized, box.pad
        np.testing.assert_allclose(
            there[0], [left, top, left + columns, top + rows], atol=1e-3, rtol=0
        )
        assert 1 <= rows <= canvas[0] and 1 <= columns <= canvas[1]
        # One way it is filled; the pads on both sides differ by a pixel at most.
        assert rows == canvas[0] or columns == canvas[1]
        assert 0 <= canvas[0] - rows - 2 * top <= 1 and 0 <= canvas[1] - columns - 2 * left <= 1


def test_boxes_from_outside_are_clipped_to_the_picture() -> None:
    box = Letterbox((50, 100), (200, 200))  # scale 2, 50 rows of pad above
    boxes = np.array([[-5.0, 0, 20, 60], [10, 50, 250, 190]])
    np.testing.assert_allclose(box.to_image(boxes), [[0, 0, 10, 5], [5, 0, 100, 50]])
    assert box.to_image(np.zeros((0, 4))).shape == (0, 4)


def test_a_picture_of_the_canvas_size_is_untouched() -> None:
    box = Letterbox((20, 32), (20, 32))
    np.testing.assert_array_equal(box.apply(RGB), RGB)
    assert box.pad == (0, 0)
    boxes = np.array([[1.5, 2.25, 30.125, 19]])
    np.testing.assert_array_equal(box.to_canvas(boxes), boxes)


def test_the_pad_has_the_mean_colour() -> None:
    image = np.zeros((10, 40, 3), np.uint8)
    canvas = Letterbox((10, 40), (40, 40)).apply(image)
    np.testing.assert_array_equal(canvas[15:25], 0)
    assert (canvas[:15] == PAD_COLOUR).all() and (canvas[25:] == PAD_COLOUR).all()


@pytest.mark.parametrize("size", [(40, 60), (120, 90), (1000, 700), (97, 301)])
def test_a_pattern_lands_where_the_boxes_say(size: tuple[int, int]) -> None:
    height, width = size
    rng = np.random.default_rng(3)
    for canvas in ((160, 160), (128, 224)):
        letterbox = Letterbox(size, canvas)
        image = np.zeros((*size, 3), np.uint8)
        x1, y1 = rng.integers(0, width // 2), rng.integers(0, height // 2)
        x2, y2 = x1 + width // 3, y1 + height // 3
        image[y1:y2, x1:x2] = 255
        on_canvas = letterbox.apply(image)
        on_canvas[(on_canvas == PAD_COLOUR).all(-1)] = 0
        x1, y1, x2, y2 = letterbox.to_canvas(np.array([[x1, y1, x2, y2]], np.float64))[0]
        # Lit pixels count by their brightness, so that the edge is known below a pixel.
        light = on_canvas[..., 0].astype(float) / 255
        rows, columns = light.max(1), light.max(0)
        assert rows.sum() == pytest.approx(y2 - y1, abs=0.6)
        assert columns.sum() == pytest.approx(x2 - x1, abs=0.6)
        centre_y = (rows * (np.arange(canvas[0]) + 0.5)).sum() / rows.sum()
        centre_x = (columns * (np.arange(canvas[1]) + 0.5)).sum() / columns.sum()
        assert centre_y == pytest.approx((y1 + y2) / 2, abs=0.1)
        assert centre_x == pytest.approx((x1 + x2) / 2, abs=0.1)


def test_a_picture_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="letterbox made for"):
        Letterbox((10, 10), (32, 32)).apply(RGB)


def test_labels_are_those_of_the_nearest_pixels() -> None:
    rng = np.random.default_rng(4)
    for old in ((1, 1), (7, 31), (64, 48), (97, 13)):
        labels = rng.integers(0, 256, old).astype(np.uint8)
        assert resize_labels(labels, old) is labels
        for new in ((1, 1), (5, 90), (33, 33), (96, 64)):
            resized = resize_labels(labels, new)
            assert resized.dtype == np.uint8
            # the pixel in which the new one's centre lies, or on whose edge
            places = [(np.arange(n) + 0.5) * o / n for o, n in zip(old, new, strict=True)]
            after = [np.floor(p + 1e-9).astype(int) for p in places]
            before = [np.ceil(p - 1e-9).astype(int) - 1 for p in places]
            fits = [
                resized == labels[rows[:, None], columns]
                for rows in (before[0], after[0])
                for columns in (before[1], after[1])
            ]
            assert np.any(fits, 0).all()


@pytest.mark.parametrize("size", [(40, 60), (61, 33), (1, 64), (50, 50)])
def test_a_mask_comes_back_from_a_larger_canvas(size: tuple[int, int]) -> None:
    labels = np.random.default_rng(5).integers(0, 20, size).astype(np.uint8)
    for canvas in ((64, 64), (160, 97), (75, 200)):
        letterbox = Letterbox(size, canvas)
        on_canvas = letterbox.frame_labels(labels)
        assert on_canvas.shape == canvas
        assert on_canvas.dtype == np.uint8
        np.testing.assert_array_equal(letterbox.labels_to_image(on_canvas), labels)
        pad = np.ones(canvas, bool)
        pad[letterbox.window] = False
        assert (on_canvas[pad] == VOID).all()
        assert (on_canvas[~pad] != VOID).all()
        # picture and mask lie in the same place
        picture = letterbox.apply(np.full((*size, 3), 255, np.uint8))
        assert ((picture == PAD_COLOUR).all(-1) == pad).all()


def test_a_mask_on_a_smaller_canvas_keeps_its_halves() -> None:
    labels = np.zeros((100, 200), np.uint8)
    labels[:, 120:] = 9
    letterbox = Letterbox((100, 200), (40, 50))
    on_canvas = letterbox.frame_labels(labels)
    assert (on_canvas[:7] == VOID).all()  # 25 of 40 rows
    assert (on_canvas[32:] == VOID).all()
    assert (on_canvas[7:32, :30] == 0).all()
    assert (on_canvas[7:32, 30:] == 9).all()
    np.testing.assert_array_equal(letterbox.labels_to_image(on_canvas), labels)


def test_a_padded_picture_keeps_its_pixels() -> None:
    letterbox = Padded.around((20, 32), (64, 32))
    assert letterbox.canvas == (64, 32)
    assert (letterbox.resized, letterbox.pad) == ((20, 32), (22, 0))
    on_canvas = letterbox.apply(RGB)
    np.testing.assert_array_equal(letterbox.unframe(on_canvas), RGB)
    assert (on_canvas[:22] == PAD_COLOUR).all()
    assert (on_canvas[42:] == PAD_COLOUR).all()
    assert letterbox.to_canvas(np.array([[1.0, 2, 3, 4]])).tolist() == [[1, 24, 3, 26]]
    assert letterbox.to_image(np.array([[1.0, 24, 3, 26]])).tolist() == [[1, 2, 3, 4]]
    # smaller than the least canvas on both sides, it is not enlarged
    assert Padded.around((5, 6), (32, 48)).resized == (5, 6)
    large = Padded.around((500, 300), (64, 64))
    assert large.canvas == large.size == large.resized == (500, 300)


def test_each_side_of_a_picture_is_scaled_by_itself() -> None:
    stripes = np.zeros((8, 16, 3), np.uint8)
    stripes[:, ::2] = 200
    for height in (8, 4, 16):  # columns shrink: averaged, whatever the rows do
        assert (resize_image(stripes, (height, 8)) == 100).all()
        assert (resize_image(stripes.transpose(1, 0, 2), (8, height)) == 100).all()
    assert resize_image(stripes, (8, 16)) is stripes
    grown = cv2.resize(stripes, (40, 24), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(resize_image(stripes, (24, 40)), grown)
    shrunk = cv2.resize(SMOOTH, (20, 10), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(resize_image(SMOOTH, (10, 20)), shrunk)


@pytest.mark.parametrize("size", [(1, 30), (30, 1), (21, 640), (640, 21), (33, 32), (8, 8)])
@pytest.mark.parametrize("canvas", [(32, 32), (20, 32), (32, 639), (64, 64)])
def test_a_letterbox_has_one_scale(size: tuple[int, int], canvas: tuple[int, int]) -> None:
    image = RNG.integers(0, 256, (*size, 3)).astype(np.uint8)
    box = Letterbox(size, canvas)
    height, width = box.resized
    how = cv2.INTER_AREA if height < size[0] else cv2.INTER_LINEAR
    expected = cv2.resize(image, (width, height), interpolation=how)
    np.testing.assert_array_equal(box.resize(image), expected)
    back = cv2.INTER_AREA if size[0] < height else cv2.INTER_LINEAR
    drawn = cv2.resize(expected, size[::-1], interpolation=back)
    np.testing.assert_array_equal(box.picture_to_image(box.apply(image)), drawn)
