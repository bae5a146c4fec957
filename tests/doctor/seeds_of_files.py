"""Defects of picture files, and of what is stated of them."""

import io

import cv2
import numpy as np
from doctor.coco_set import jpeg, png, scenery
from doctor.seeds import seed
from PIL import Image


@seed
def file_gone(s):
    image = s.fresh()
    s.path(image).unlink()
    return "missing-file", image["file_name"]


@seed
def file_cut_off(s):
    image = s.fresh()
    data = s.path(image).read_bytes()
    s.path(image).write_bytes(data[: len(data) // 2])
    return "truncated", image["file_name"]


@seed
def file_cut_off_and_closed(s):
    image = s.fresh()
    data = s.path(image).read_bytes()
    s.path(image).write_bytes(data[: len(data) // 2] + b"\xff\xd9")
    return "damaged", image["file_name"]


@seed
def png_cut_off(s):
    image = s.fresh()
    data = png(s.pixels(image))
    s.rename(image, ".png").write_bytes(data[: len(data) // 2])
    return "truncated", image["file_name"]


@seed
def file_empty(s):
    image = s.fresh()
    s.path(image).write_bytes(b"")
    return "empty-file", image["file_name"]


@seed
def file_of_text(s):
    image = s.fresh()
    s.path(image).write_text("<html>404 not found</html>")
    return "unreadable", image["file_name"]


@seed
def tiff_with_wrong_bytes(s):
    image = s.fresh()
    data = bytearray(cv2.imencode(".tiff", s.pixels(image))[1].tobytes())
    middle = len(data) // 2
    data[middle : middle + 40] = b"\xff" * 40
    s.rename(image, ".tiff").write_bytes(data)
    return "damaged", image["file_name"]


@seed
def png_called_jpg(s):
    image = s.fresh()
    s.path(image).write_bytes(png(s.pixels(image)))
    return "wrong-suffix", image["file_name"]


@seed
def turned_by_exif(s):
    image = s.fresh()
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(s.path(image)) as picture:
        picture.load()
    picture.save(s.path(image), exif=exif)
    return "exif-rotated", image["file_name"]


@seed
def printing_colours(s):
    image = s.fresh()
    with Image.open(s.path(image)) as picture:
        cmyk = picture.convert("CMYK")
    cmyk.save(s.path(image), "JPEG")
    return "cmyk", image["file_name"]


@seed
def sixteen_bits(s):
    image = s.fresh()
    pixels = s.pixels(image).astype(np.uint16) * 257
    s.rename(image, ".png").write_bytes(png(pixels))
    return "16-bit", image["file_name"]


@seed
def twelve_bits_in_sixteen(s):
    image = s.fresh()
    pixels = s.pixels(image)[..., 0].astype(np.uint16) * 16
    s.rename(image, ".png").write_bytes(png(pixels))
    return "16-bit", "almost black"


@seed
def with_palette(s):
    image = s.fresh()
    with Image.open(s.path(image)) as picture:
        few = picture.convert("RGB").quantize(64)
    few.save(s.rename(image, ".png"))
    return "palette", image["file_name"]


@seed
def without_colours(s):
    image = s.fresh()
    s.path(image).write_bytes(jpeg(cv2.cvtColor(s.pixels(image), cv2.COLOR_BGR2GRAY)))
    return "grey", image["file_name"]


@seed
def with_transparency(s):
    image = s.fresh()
    data = png(np.dstack([s.pixels(image), np.full(s.pixels(image).shape[:2], 99, np.uint8)]))
    s.rename(image, ".png").write_bytes(data)
    return "alpha", image["file_name"]


@seed
def with_frames(s):
    image = s.fresh()
    with Image.open(s.path(image)) as picture:
        first = picture.convert("RGB")
    buffer = io.BytesIO()
    first.save(buffer, "PNG", save_all=True, append_images=[first.rotate(180)])
    s.rename(image, ".png").write_bytes(buffer.getvalue())
    return "animated", image["file_name"]


@seed
def of_one_colour(s):
    image = s.fresh()
    s.path(image).write_bytes(jpeg(np.full_like(s.pixels(image), 90)))
    return "blank", image["file_name"]


@seed
def of_few_pixels(s):
    image = s.fresh()
    s.path(image).write_bytes(jpeg(scenery(s.rng, 6, 5)))
    image.update(height=6, width=5)
    s.clear(image)
    return "tiny-picture", image["file_name"]


@seed
def of_odd_shape(s):
    image = s.fresh()
    s.path(image).write_bytes(jpeg(scenery(s.rng, 20, 400)))
    image.update(height=20, width=400)
    s.clear(image)
    return "extreme-aspect", image["file_name"]


@seed
def another_size_stated(s):
    image = s.fresh()
    image["width"] += 40
    return "wrong-size", image["file_name"]


@seed
def sides_swapped(s):
    image = s.fresh()
    s.path(image).write_bytes(jpeg(scenery(s.rng, 120, 160)))
    image.update(height=160, width=120)
    return "wrong-size", image["file_name"]


@seed
def no_size_stated(s):
    image = s.fresh()
    del image["width"], image["height"]
    return "missing-size", "1 of "
