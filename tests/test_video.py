"""Frames of videos and cameras, by both readers."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from videos import FRAMES, RATE, SIZE, cut_short, damaged, film, frame, turned

from visionkit.errors import DataError
from visionkit.video import OpencvVideo, camera_number, is_video, open_video

READERS = [
    pytest.param("opencv"),
    pytest.param(
        "pyav", marks=pytest.mark.skipif("not __import__('importlib').util.find_spec('av')")
    ),
]
readers = pytest.mark.parametrize("reader", READERS)


def frames(path: Path, reader: Any, every: int = 1) -> tuple[list[Any], list[str]]:
    errors: list[DataError] = []
    with open_video(path, reader) as video:
        found = list(video.frames(every, errors))
    assert all("\n" not in str(e) and str(e).startswith(str(path)) for e in errors)
    return found, [str(e).removeprefix(f"{path}: ") for e in errors]


@readers
@pytest.mark.parametrize("name", ["a.avi", "a.mp4"])
def test_frames_come_in_order_with_their_times(tmp_path: Path, reader: Any, name: str) -> None:
    path = film(tmp_path / name)
    with open_video(path, reader) as video:
        assert (video.name, video.rate, video.count, video.live) == (str(path), RATE, FRAMES, False)
    found, errors = frames(path, reader)
    assert errors == []
    assert [f.number for f in found] == list(range(FRAMES))
    np.testing.assert_allclose([f.seconds for f in found], np.arange(FRAMES) / RATE, atol=1e-6)
    for number, got in enumerate(found):
        assert got.image.shape == (*SIZE, 3)
        assert got.image.dtype == np.uint8
        assert np.abs(got.image.astype(int) - frame(number)).mean() < 8
    fewer, _ = frames(path, reader, every=5)
    assert [f.number for f in fewer] == [0, 5, 10]
    np.testing.assert_array_equal(fewer[1].image, found[5].image)
    np.testing.assert_allclose([f.seconds for f in fewer], [0, 0.5, 1], atol=1e-6)


@readers
def test_colours_are_red_green_blue(tmp_path: Path, reader: Any) -> None:
    path = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), RATE, (32, 32))
    writer.write(np.full((32, 32, 3), (20, 60, 220), np.uint8))
    writer.release()
    (only,), _ = frames(path, reader)
    np.testing.assert_allclose(only.image.mean((0, 1)), [220, 60, 20], atol=6)


@readers
def test_damaged_frames_are_told_and_left_out(tmp_path: Path, reader: Any) -> None:
    path = damaged(tmp_path / "a.avi", 4, 5, 8)
    found, errors = frames(path, reader)
    assert [f.number for f in found] == [0, 1, 2, 3, 6, 7, 9, 10, 11]
    assert found[4].seconds == pytest.approx(0.6)
    assert [e.split("can't be decoded")[0] for e in errors] == [
        "the frame at 0.40 s ",
        "the frame at 0.50 s ",
        "the frame at 0.80 s ",
    ]
    with open_video(path, reader) as video, pytest.raises(DataError, match=r"at 0\.40 s"):
        list(video.frames())


@readers
def test_what_breaks_off_is_told(tmp_path: Path, reader: Any) -> None:
    found, errors = frames(cut_short(tmp_path / "a.avi", 7), reader)
    assert [f.number for f in found] == list(range(7))
    assert errors[-1].startswith("breaks off after ")


@readers
def test_what_ends_too_soon_is_told(tmp_path: Path, reader: Any) -> None:
    errors: list[DataError] = []
    with open_video(film(tmp_path / "a.avi"), reader) as video:
        assert video.count == FRAMES
        video.count = 10 * FRAMES
        assert len(list(video.frames(errors=errors))) == FRAMES
    assert f"breaks off after {FRAMES} of about {10 * FRAMES} frames" in str(errors[0])


@readers
def test_frames_are_upright(tmp_path: Path, reader: Any) -> None:
    found, errors = frames(turned(tmp_path / "a.mp4"), reader)
    assert errors == []
    for number in (0, 5):
        upright = np.rot90(frame(number), -1)
        assert found[number].image.shape == upright.shape
        assert np.abs(found[number].image.astype(int) - upright).mean() < 8


@readers
@pytest.mark.parametrize("data", [b"", b"hello" * 99, None])
def test_what_is_no_video_is_refused(tmp_path: Path, reader: Any, data: bytes | None) -> None:
    path = tmp_path / "a.mp4"
    whole = film(path).read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if data is None else data)
    with pytest.raises(DataError, match=r"a\.mp4: can't be read as a video") as caught:
        open_video(path, reader)
    assert "\n" not in str(caught.value)


def test_what_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [camera_number(s) for s in (0, "2", "camera:1", "camera:", "a", "1.5")] == [
        0,
        2,
        1,
        None,
        None,
        None,
    ]
    assert [is_video(s) for s in ("a.MP4", "0", "a.png", "folder", "camera:0")] == [
        True,
        True,
        False,
        False,
        True,
    ]
    (tmp_path / "0").write_text("")  # a picture without a suffix, say
    (tmp_path / "clips.mp4").mkdir()
    assert not is_video("0")
    assert not is_video("clips.mp4")
    assert not is_video("*.mp4")  # patterns mean pictures
    film(tmp_path / "a[1].mp4")
    assert is_video("a[1].mp4")
    with pytest.raises(DataError, match=r"missing\.mp4: no such video"):
        open_video("missing.mp4")


class Camera:
    """Gives three frames, then no more."""

    def __init__(self, source: Any) -> None:
        self.source, self.left = source, 3

    def isOpened(self) -> bool:  # noqa: N802
        return self.source == 1

    def set(self, what: int, value: float) -> None:
        self.buffer = value

    def get(self, what: int) -> float:
        return {cv2.CAP_PROP_FPS: 30.0, cv2.CAP_PROP_FRAME_COUNT: -1.0}.get(what, 0.0)

    def grab(self) -> bool:
        self.left -= 1
        return self.left >= 0

    def retrieve(self) -> tuple[bool, Any]:
        return True, np.full((8, 8, 3), (1, 2, 3), np.uint8)

    def release(self) -> None:
        self.source = None


def test_cameras_are_read_until_they_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    errors: list[DataError] = []
    with open_video("camera:1") as video:
        assert isinstance(video, OpencvVideo)
        assert (video.name, video.live, video.rate, video.count) == ("camera:1", True, 30, None)
        found = list(video.frames(errors=errors))
    assert [f.number for f in found] == [0, 1, 2]
    assert found[0].image[0, 0].tolist() == [3, 2, 1]
    assert 0 <= found[0].seconds <= found[2].seconds < 5
    assert "no more frames" in str(errors[0])
    with pytest.raises(DataError, match="camera:7: no such camera"):
        open_video(7)
