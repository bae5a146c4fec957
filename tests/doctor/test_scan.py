import os

import numpy as np
import pytest
from doctor.coco_set import jpeg, scenery

from visionkit.data.layout import make_index
from visionkit.doctor import scan
from visionkit.doctor.overheard import damage, overhearing


def index_of(folder, count, stated=(96, 128)):
    rng = np.random.default_rng(0)
    files = [folder / f"{i}.jpg" for i in range(count)]
    for file in files:
        file.write_bytes(jpeg(scenery(rng)))
    index = make_index(
        files=[str(file) for file in files],
        sizes=[stated] * count,
        owner=[],
        boxes=[],
        labels=[],
        classes=["a"],
        category_ids=[1],
    )
    return files, index


def test_every_picture_is_looked_at_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(scan, "_PART", 2)
    files, index = index_of(tmp_path, 11)
    files[4].write_bytes(b"")
    files[7].write_bytes(jpeg(scenery(np.random.default_rng(9), 40, 50)))
    looks = scan.scan({"train": index, "val": index}, threads=2)
    assert list(looks) == ["train", "val"]
    for split, each in looks.items():
        assert len(each) == 11
        found = {d.file: (d.kind, d.split) for look in each for d in look.defects}
        assert found == {
            str(files[4]): ("empty-file", split),
            str(files[7]): ("wrong-size", split),
        }
    assert looks["train"][0].digest != looks["train"][1].digest
    sizes = scan.shapes_of(looks["train"], index).tolist()
    assert sizes[4] == [96, 128]  # as stated
    assert sizes[7] == [40, 50]


def test_damage_within_a_jpeg_is_told_of_the_right_file(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(scan, "_PART", 3)
    files, index = index_of(tmp_path, 9)
    for i in (2, 8):
        data = files[i].read_bytes()
        files[i].write_bytes(data[: len(data) // 2] + b"\xff\xd9")
    looks = scan.scan({"train": index}, threads=2)["train"]
    found = {i: look.defects[0] for i, look in enumerate(looks) if look.defects}
    assert list(found) == [2, 8]
    assert found[2].kind == "damaged"
    assert found[2].cause == "is read in part only (premature end of data segment)"
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("Corrupt JPEG data: premature end of data segment\n", "premature end of data segment"),
        ("Corrupt JPEG data: 94 extraneous bytes before marker 0xd9\n", ""),
        (
            "Corrupt JPEG data: 4 extraneous bytes before marker\nPremature end of JPEG file\n",
            "Premature end of JPEG file",
        ),
        ("libpng warning: iCCP: known incorrect sRGB profile\n", ""),
        ("", ""),
    ],
)
def test_what_means_damage(text, what):
    assert damage(text) == what


def test_the_error_stream_comes_back(capfd):
    with overhearing() as (said, stream):
        os.write(2, b"one\n")
        assert said() == "one\n"
        assert said() == ""
        os.write(2, b"two\n")
        os.write(2, b"three\n")
        assert said() == "two\nthree\n"
        stream.write("for the person\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "for the person\nafter\n"
