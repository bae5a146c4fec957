"""Prediction as a command, with a model that finds bright rectangles."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from bright import BOX, FakeLoaded, Inverts, Shades, command, picture, save, stand_in
from PIL import Image

from visionkit.errors import DataError
from visionkit.predict import mask_names, picture_names
from visionkit.results import VOID


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> FakeLoaded:
    return stand_in(monkeypatch)


def test_the_command_writes_pictures_json_and_a_table(loaded: FakeLoaded, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    save(source / "x" / "same.png", picture(BOX))
    save(source / "y" / "same.png", picture(None))
    (source / "y" / "broken.jpg").write_bytes(b"\xff\xd8 no more")
    done, text = command(f"{source}/**", out)
    assert done == {"images": 2, "objects": 1, "unreadable": 1, "run_dir": str(out)}
    assert cv2.imread(str(out / "x" / "same.png")).shape == (64, 128, 3)
    assert (out / "y" / "same.png").is_file()
    records = json.loads((out / "predictions.json").read_text())
    assert records[0] == {
        "file": str(source / "x" / "same.png"),
        "width": 128,
        "height": 64,
        "boxes": [[40.0, 20.0, 80.0, 60.0]],
        "scores": [pytest.approx(400 / 4096)],
        "labels": [0],
        "names": ["lamp"],
    }
    assert records[1]["boxes"] == []
    assert "1 lamp" in text
    assert "nothing found" in text
    assert text.count("warning: ") == 1
    assert text.rstrip().endswith(f"1 objects in 2 pictures, 1 unreadable: {out}/")


def test_masks_are_written_with_a_palette(loaded: FakeLoaded, tmp_path: Path) -> None:
    loaded.model, loaded.canvas = Shades(), (96, 96)
    source, out = tmp_path / "in", tmp_path / "out"
    image = picture((40, 20, 80, 60), (64, 96))
    image[:16] = 125
    save(source / "x" / "a.png", image)
    save(source / "a.png", image)
    done, text = command(f"{source}/**", out)
    assert done == {"images": 2, "unreadable": 0, "run_dir": str(out)}
    records = json.loads((out / "predictions.json").read_text())
    assert [r["mask"] for r in records] == ["masks/a.png", "masks/x/a.png"]
    labels = np.where(image[..., 0] == 255, 1, 0)
    labels[:16] = VOID
    with Image.open(out / records[1]["mask"]) as mask:
        assert mask.mode == "P"
        np.testing.assert_array_equal(np.asarray(mask), labels)
    assert records[0]["names"] == ["lamp", "moon"]
    assert records[0]["shares"] == [pytest.approx(s / (64 * 96)) for s in (48 * 96 - 1600, 1600)]
    drawn = cv2.imread(str(out / "x" / "a.png"))
    assert drawn.shape[0] > 64 * 2  # enlarged, with a legend
    assert "lamp 49 %, moon 26 %" in text
    assert text.rstrip().endswith(f"2 pictures and their masks: {out}/")


def test_masks_take_no_other_file_s_place(tmp_path: Path) -> None:
    out = tmp_path / "out"
    files = [Path("p/a.png"), Path("p/a.jpg"), Path("p/masks/a.png"), Path("p/b.c.png")]
    masks = mask_names(picture_names(files, out), out)
    below = [str(m.relative_to(out / "masks")) for m in masks.values()]
    # a drawn picture is masks/a.png
    assert below == ["a_2.png", "a_3.png", "masks/a.png", "b.c.png"]
    inside = [out / "a.png", out / "masks" / "a.png"]  # predicted where they lie
    names = picture_names(inside, out)
    masks = mask_names(names, out)
    every = [*inside, *names.values(), *masks.values()]
    assert len({str(p) for p in every}) == 6


def test_long_lists_are_shortened(loaded: FakeLoaded, tmp_path: Path) -> None:
    for i in range(30):
        save(tmp_path / "in" / f"{i:02}.png", picture(BOX))
    _, text = command(tmp_path / "in", tmp_path / "out")
    assert "23.png" in text
    assert "24.png" not in text
    assert "and 6 more pictures" in text


def test_no_readable_picture_is_an_error(loaded: FakeLoaded, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match="none of 1 pictures could be read") as caught:
        command(tmp_path, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out" / "predictions.json").exists()


def test_sources_are_never_overwritten(loaded: FakeLoaded, tmp_path: Path) -> None:
    for name in ("a.png", "a.bmp", "b.png"):
        save(tmp_path / name, picture(BOX))
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    done, _ = command(tmp_path, tmp_path)
    assert done["images"] == 3
    assert all((tmp_path / name).read_bytes() == data for name, data in before.items())
    assert len(list(tmp_path.glob("*.png"))) == 2 + 3
    names = picture_names([Path("p/a.png"), Path("p/a.bmp"), Path("p/q/a.jpeg")], Path("out"))
    assert [str(n) for n in names.values()] == ["out/a.png", "out/a_2.png", "out/q/a.jpg"]


def test_a_run_dir_that_cannot_be_written_is_one_line(loaded: FakeLoaded, tmp_path: Path) -> None:
    save(tmp_path / "a.png", picture(BOX))
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(DataError, match="can't be written"):
        command(tmp_path / "a.png", blocked / "out")


def test_made_pictures_are_written_beside_the_drawn_ones(
    loaded: FakeLoaded, tmp_path: Path
) -> None:
    loaded.model = Inverts()
    source, out = tmp_path / "in", tmp_path / "out"
    save(source / "a.png", picture(BOX))
    done, text = command(source, out)
    assert done == {"images": 1, "unreadable": 0, "run_dir": str(out)}
    (record,) = json.loads((out / "predictions.json").read_text())
    assert record == {
        "file": str(source / "a.png"),
        "width": 128,
        "height": 64,
        "made": "made/a.png",
    }
    made = cv2.imread(str(out / "made" / "a.png"))
    assert made.shape == (64, 128, 3)
    assert made[40, 60].tolist() == [0, 0, 0]
    assert made[5, 5].tolist() == [225, 225, 225]
    assert cv2.imread(str(out / "a.png")).shape[1] > 2 * 128  # source and made
    assert "64 x 128" in text
    assert text.rstrip().endswith(f"1 pictures and what was made of them: {out}/")
