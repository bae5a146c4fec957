"""Drawn videos: what is shown when, by both writers."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from visionkit.errors import DataError
from visionkit.outputs.base import Entry
from visionkit.outputs.film import DrawnVideo
from visionkit.outputs.places import Places
from visionkit.results import Detections
from visionkit.video import Frame, open_video

writers = pytest.mark.parametrize(
    "writer",
    [
        "opencv",
        pytest.param("pyav", marks=pytest.mark.skipif(not find_spec("av"), reason="no PyAV")),
    ],
)
NOTHING = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))


def entry(level: int, seconds: float, size: tuple[int, int] = (48, 64)) -> Entry:
    image = np.full((*size, 3), level, np.uint8)
    return Entry("a.mp4", image, NOTHING, 0, Places([Path("a.mp4")], Path("out"), True), seconds)


def written(path: Path, writer: Any, entries: list[Entry], rate: float | None = 10) -> list[Frame]:
    with DrawnVideo(path, rate, writer) as output:
        for each in entries:
            output.add(each)
    with open_video(path) as video:
        return list(video.frames())


def levels(frames: list[Frame]) -> list[int]:
    return [round(float(f.image[:40, :40].mean()) / 10) * 10 for f in frames]


@writers
def test_frames_are_shown_at_their_times(tmp_path: Path, writer: Any) -> None:
    path = tmp_path / "deep" / "out.mp4"
    entries = [entry(50, 7.0), entry(100, 7.1), entry(200, 7.4), entry(150, 7.5)]
    shown = written(path, writer, entries)
    assert levels(shown) == [50, 100, 100, 100, 200, 150]
    np.testing.assert_allclose([f.seconds for f in shown], np.arange(6) / 10, atol=1e-3)
    assert [p.name for p in path.parent.iterdir()] == ["out.mp4"]


@writers
def test_frames_that_come_too_fast_or_after_a_long_pause(tmp_path: Path, writer: Any) -> None:
    entries = [entry(50, 0), entry(100, 0.01), entry(200, 0.1), entry(150, 60.0), entry(50, 60.1)]
    assert levels(written(tmp_path / "out.mp4", writer, entries)) == [50, 200, 150, 50]


@writers
def test_all_frames_have_the_size_of_the_first(tmp_path: Path, writer: Any) -> None:
    entries = [entry(50, 0, (47, 63)), entry(100, 0.1, (47, 63)), entry(200, 0.2, (94, 63))]
    shown = written(tmp_path / "out.mp4", writer, entries)
    assert [f.image.shape for f in shown] == [(48, 64, 3)] * 3
    assert abs(int(shown[0].image[47, 63, 0]) - 50) < 12  # the edge goes on
    assert abs(int(shown[2].image[24, 32, 0]) - 200) < 12
    assert int(shown[2].image[24, 4, 0]) < 150  # half as large, and so half as wide


@writers
def test_another_error_leaves_no_file_and_ctrl_c_a_whole_one(tmp_path: Path, writer: Any) -> None:
    path = tmp_path / "out.mp4"
    for error in (DataError("the disk is full"), KeyboardInterrupt()):
        with pytest.raises(type(error)), DrawnVideo(path, 10, writer) as output:
            output.add(entry(50, 0))
            output.add(entry(100, 0.1))
            raise error
        left = [p.name for p in tmp_path.iterdir()]
        assert left == (["out.mp4"] if isinstance(error, KeyboardInterrupt) else [])
    with open_video(path) as video:
        assert len(list(video.frames())) == 2


@writers
def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path, writer: Any) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"out\.mp4: can't be written") as caught:
        written(tmp_path / "file" / "out.mp4", writer, [entry(50, 0)])
    assert "\n" not in str(caught.value)


def test_a_film_that_cannot_take_its_place_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    output = DrawnVideo(tmp_path / "out.mp4", 10, "opencv")
    output.add(entry(50, 0))
    monkeypatch.setattr("visionkit.outputs.film.os.replace", full)
    with pytest.raises(DataError, match="No space left"):
        output.finish()
    assert not list(tmp_path.iterdir())


def test_no_frames_make_no_file(tmp_path: Path) -> None:
    with DrawnVideo(tmp_path / "out.mp4"):
        pass
    assert not list(tmp_path.iterdir())
