"""Prediction as a command, with a model that finds bright rectangles."""

import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from bright import (
    BOX,
    FakeLoaded,
    Inverts,
    Shades,
    command,
    config,
    picture,
    save,
    stand_in,
)
from PIL import Image
from rich.console import Console
from videos import FRAMES, damaged, film

from visionkit.errors import ConfigError, DataError
from visionkit.geometry import read_image
from visionkit.predict import _check_fit, run
from visionkit.results import VOID
from visionkit.video import open_video


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


def test_formats_are_chosen(loaded: FakeLoaded, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    save(source / "a.png", picture(BOX))
    save(source / "b.png", picture(None))
    run(config(source, out) | {"formats": ["csv", "coco", "yolo"]}, Console(file=io.StringIO()))
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()) == [
        "classes.txt",
        "coco.json",
        "coco_results.json",
        "labels/a.txt",
        "labels/b.txt",
        "predictions.csv",
    ]
    assert (
        (out / "labels" / "a.txt").read_text().startswith("0 0.468750 0.625000 0.312500 0.625000")
    )
    with pytest.raises(ConfigError, match="formats: video needs a video"):
        run(config(source, out) | {"formats": ["video"]})


def test_a_video_is_drawn_and_its_frames_are_timed(loaded: FakeLoaded, tmp_path: Path) -> None:
    source, out = film(tmp_path / "clip.avi"), tmp_path / "out"
    done, text = command(source, out)
    assert done == {"images": FRAMES, "objects": FRAMES, "unreadable": 0, "run_dir": str(out)}
    assert sorted(p.name for p in out.iterdir()) == ["clip.mp4", "predictions.json"]
    records = json.loads((out / "predictions.json").read_text())
    assert [r["frame"] for r in records] == list(range(FRAMES))
    assert [r["seconds"] for r in records] == pytest.approx([n / 10 for n in range(FRAMES)])
    for n, record in enumerate(records):
        assert record["boxes"][0] == pytest.approx([3 * n, 14, 3 * n + 20, 34], abs=3)
    with open_video(out / "clip.mp4") as video:
        assert (video.count, video.rate) == (FRAMES, 10)
        drawn = next(video.frames())
    assert np.abs(drawn.image[14, 3:17].astype(int) - 255).max() > 60  # a coloured side
    assert "0.30 s" in text
    assert text.rstrip().endswith(f"{FRAMES} objects in {FRAMES} frames: {out}/")


def test_some_frames_are_looked_at_and_broken_ones_told(loaded: FakeLoaded, tmp_path: Path) -> None:
    source, out = damaged(tmp_path / "clip.avi", 4), tmp_path / "out"
    chosen = {"every": 2, "frames": 3, "formats": ["pictures", "video"]}
    console = Console(file=io.StringIO(), width=200)
    done = run(config(source, out) | chosen, console)
    assert done["images"] == 3
    assert sorted(p.name for p in (out / "clip").iterdir()) == [
        "000000.jpg",
        "000002.jpg",
        "000006.jpg",
    ]
    assert not (out / "predictions.json").exists()
    with open_video(out / "clip.mp4") as video:
        assert video.rate == 5
        assert len(list(video.frames())) == 4  # the broken one's time is filled
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "clip.avi: the frame at 0.40 s can't be decoded" in text
    assert "3 objects in 3 frames, 1 unreadable" in text


def test_options_without_an_effect_are_refused(loaded: FakeLoaded, tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", picture(BOX))
    for key, value in (("every", 2), ("frames", 3)):
        with pytest.raises(ConfigError, match=f"^{key}: is for videos and cameras"):
            run(config(tmp_path / "in", tmp_path / "out") | {key: value})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "chosen", [{"formats": ["json"]}, {"annotations": "a.json"}, {"every": 2}, {"frames": 1}]
)
def test_noise_has_no_formats_and_no_frames(tmp_path: Path, chosen: dict[str, Any]) -> None:
    (key,) = chosen
    nothing = config("", tmp_path) | {"source": None}
    with pytest.raises(ConfigError, match=f"^{key}: is for pictures that a model looks at"):
        _check_fit(nothing | chosen, samples=True)
    _check_fit(nothing, samples=True)


def test_ctrl_c_keeps_what_was_found(
    loaded: FakeLoaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(6):
        save(tmp_path / "in" / f"{n}.png", picture(BOX))
    predict, calls = loaded.model.predict, []

    def pressed(batch: object) -> object:
        calls.append(batch)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return predict(batch)

    monkeypatch.setattr(loaded.model, "predict", pressed)
    out, console = tmp_path / "out", Console(file=io.StringIO(), width=200)
    with pytest.raises(KeyboardInterrupt):
        run(config(tmp_path / "in", out) | {"formats": ["json", "csv", "pictures"]}, console)
    assert len(json.loads((out / "predictions.json").read_text())) == 4
    assert len((out / "predictions.csv").read_text().splitlines()) == 5
    assert read_image(out / "3.png").shape == (64, 128, 3)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert text.rstrip().endswith(f"4 objects in 4 pictures; interrupted: {out}/")


def test_a_terminal_sees_how_far_it_is(loaded: FakeLoaded, tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", picture(BOX))
    save(tmp_path / "in" / "b.png", picture(BOX))
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    run(config(tmp_path / "in", tmp_path / "out"), console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "2/2" in text
    _, plain = command(tmp_path / "in", tmp_path / "out")
    assert "2/2" not in plain


def test_many_warnings_are_shortened(loaded: FakeLoaded, tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", picture(BOX))
    for n in range(30):
        (tmp_path / "in" / f"bad{n:02}.png").write_bytes(b"")
    done, text = command(tmp_path / "in", tmp_path / "out")
    assert done["unreadable"] == 30
    assert text.count("warning: ") == 20
    assert "... and 10 more warnings" in text
    assert "1 objects in 1 pictures, 30 unreadable" in text
