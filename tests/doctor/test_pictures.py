import cv2
import numpy as np
import pytest
from doctor.coco_set import jpeg, png, scenery
from PIL import Image

from visionkit.doctor.pictures import digest_of, look_at
from visionkit.geometry import read_image


@pytest.fixture
def pixels():
    return scenery(np.random.default_rng(0), 40, 60)


def kinds(look):
    return [defect.kind for defect in look.defects]


def write(path, data):
    path.write_bytes(data)
    return str(path)


def test_a_sound_picture(tmp_path, pixels):
    look = look_at(write(tmp_path / "a.JPG", jpeg(pixels)), (40, 60), "val")
    assert (look.size, look.form, look.defects) == ((40, 60), "JPEG RGB", ())
    assert look.thumb.shape == (16, 16, 3)
    assert look.digest == digest_of(read_image(tmp_path / "a.JPG"))


def test_pixels_count_not_the_file(tmp_path, pixels):
    looks = [
        look_at(write(tmp_path / "a.png", png(pixels)), None),
        look_at(write(tmp_path / "a.bmp", cv2.imencode(".bmp", pixels)[1].tobytes()), None),
        look_at(write(tmp_path / "b.png", png(pixels[:, :-1])), None),
    ]
    assert looks[0].digest == looks[1].digest != looks[2].digest
    assert [look.form for look in looks] == ["PNG RGB", "BMP RGB", "PNG RGB"]
    flat = np.zeros((4, 6, 3), np.uint8)
    assert digest_of(flat) != digest_of(flat.reshape(6, 4, 3))


def test_the_code_tells_where_brightness_rises(tmp_path):
    ramp = np.repeat(np.linspace(0, 255, 90).astype(np.uint8)[None], 80, 0)
    for pixels, code in ((ramp, 2**64 - 1), (ramp[:, ::-1], 0)):
        look = look_at(write(tmp_path / "a.png", png(np.ascontiguousarray(pixels))), None)
        assert look.code == code
    half = np.concatenate([ramp[:40], ramp[40:, ::-1]])
    assert look_at(write(tmp_path / "a.png", png(half)), None).code == (2**32 - 1) << 32


def test_small_pictures_have_no_thumbnail(tmp_path, pixels):
    look = look_at(write(tmp_path / "a.png", png(pixels[:31])), None)
    assert look.thumb is None
    assert look.digest is not None


@pytest.mark.parametrize(
    ("data", "kind", "cause"),
    [
        (None, "missing-file", "isn't there"),
        (b"", "empty-file", "the file is empty"),
        (b"hello", "unreadable", "not a picture that can be decoded"),
        (jpeg(np.zeros((9, 9, 3), np.uint8))[:300], "truncated", "truncated JPEG"),
    ],
)
def test_what_cannot_be_read(tmp_path, data, kind, cause):
    file = tmp_path / "a.jpg"
    if data is not None:
        file.write_bytes(data)
    look = look_at(str(file), (9, 9), "train")
    (defect,) = look.defects
    assert (look.size, look.digest, look.thumb) == (None, None, None)
    assert (defect.kind, defect.cause, defect.effect) == (kind, cause, "stops")
    assert (defect.file, defect.split) == (str(file), "train")


@pytest.mark.parametrize(
    ("orientation", "stated", "size", "says"),
    [
        (6, (60, 40), (60, 40), "turns it by 90 degrees: read so, upright"),
        (6, (40, 60), (40, 60), "read as stored all the same"),
        (6, None, (60, 40), "read so, upright"),
        (3, (40, 60), (40, 60), "turns it by 180 degrees: read so, upright"),
        (1, (40, 60), (40, 60), None),
    ],
)
def test_exif(tmp_path, pixels, orientation, stated, size, says):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif)
    look = look_at(str(tmp_path / "a.jpg"), stated)
    assert look.size == size
    assert kinds(look) == (["exif-rotated"] if says else [])
    assert says is None or says in look.defects[0].cause


def test_a_wrong_size_names_both(tmp_path, pixels):
    look = look_at(write(tmp_path / "a.png", png(pixels)), (60, 40))
    assert kinds(look) == ["wrong-size"]
    assert look.defects[0].cause == "is 60 x 40 pixels, the annotations say 40 x 60"


def test_sixteen_bits_of_colour_and_grey(tmp_path, pixels):
    deep = pixels.astype(np.uint16) * 257
    look = look_at(write(tmp_path / "a.png", png(deep)), None)
    assert kinds(look) == ["16-bit"]
    assert "black" not in look.defects[0].cause
    assert kinds(look_at(write(tmp_path / "a.png", png(deep[..., 0])), None)) == ["16-bit", "grey"]
    tiff = cv2.imencode(".tiff", deep)[1].tobytes()
    assert kinds(look_at(write(tmp_path / "a.tiff", tiff), None)) == ["16-bit"]


def test_one_colour_is_told_only_of_all_pixels(tmp_path):
    one = np.full((400, 400, 3), (10, 20, 30), np.uint8)
    look = look_at(write(tmp_path / "a.png", png(one)), None)
    assert kinds(look) == ["blank"]
    assert "RGB 30, 20, 10" in look.defects[0].cause
    one[200, 200] += 1
    assert kinds(look_at(write(tmp_path / "a.png", png(one)), None)) == []
