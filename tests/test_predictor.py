"""Prediction through the library, with a model that finds bright rectangles."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from bright import BOX, FakeLoaded, Shades, picture, save, stand_in
from tiny import CSP
from videos import damaged

from visionkit.errors import DataError
from visionkit.models.model import build_model
from visionkit.options import PredictOptions
from visionkit.predictor import Predictor, load
from visionkit.results import VOID
from visionkit.runtimes.network import NetworkRuntime
from visionkit.video import Frame, Video


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> FakeLoaded:
    return stand_in(monkeypatch)


def test_boxes_come_in_original_pixels_with_names(loaded: FakeLoaded, tmp_path: Path) -> None:
    save(tmp_path / "b.png", picture(BOX))
    save(tmp_path / "a.png", picture(None))
    results = load("any.ckpt", "cpu").predict(tmp_path, confidence=0.01)
    assert [len(r) for r in results] == [0, 1]
    assert results[1].boxes.tolist() == [[40, 20, 80, 60]]
    assert results[1].names == ["lamp"]
    (same,) = load("any.ckpt", "cpu").predict(picture(BOX), confidence=0.01)
    assert same.boxes.tolist() == results[1].boxes.tolist()


def test_options_hold_for_the_call_only(loaded: FakeLoaded) -> None:
    predictor = Predictor(NetworkRuntime(loaded, "cpu"))
    before = loaded.model.options
    assert len(predictor.predict(picture(BOX))[0]) == 0  # 400 of 4096 pixels: below 0.25
    wanted = {"confidence": 0.05, "iou": 0.6, "max_detections": 9}
    assert len(predictor.predict(picture(BOX), **wanted)[0]) == 1
    assert loaded.model.seen == [PredictOptions(0.25, 0.7, 300), PredictOptions(0.05, 0.6, 9)]
    assert loaded.model.options == before


def test_before_a_window_pictures_keep_their_size(loaded: FakeLoaded) -> None:
    loaded.model = Shades()
    predictor = Predictor(NetworkRuntime(loaded, "cpu"))
    rng = np.random.default_rng(0)
    sizes = [(40, 60), (40, 60), (20, 50), (100, 90), (100, 90), (100, 90), (20, 50)]
    images = [rng.choice([20, 125, 230], size).astype(np.uint8) for size in sizes]
    results = predictor.predict(images, window=48, batch_size=2)
    assert loaded.model.sizes == [2, 1, 2, 1, 1]  # one canvas each, in order
    assert {o.window for o in loaded.model.seen} == {(48, 48)}
    for image, result in zip(images, results, strict=True):
        expected = np.where(image == 20, 0, np.where(image == 125, VOID, 1))
        np.testing.assert_array_equal(result.labels, expected)
    loaded.model.sizes.clear()
    (whole,) = predictor.predict(images[3], window="none")
    assert whole.labels.shape == (100, 90)  # by way of the canvas of 64
    assert loaded.model.seen[-1].window is None


def test_large_pictures_before_a_window_go_one_by_one(
    loaded: FakeLoaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded.model = Shades()
    monkeypatch.setattr("visionkit.streaming.PIXELS", 2 * 60 * 60)
    images = [np.zeros((60, side), np.uint8) for side in (60, 60, 60, 90, 90, 130)]
    Predictor(NetworkRuntime(loaded, "cpu")).predict(images, window=48)
    assert loaded.model.sizes == [2, 1, 1, 1, 1]
    loaded.model.sizes.clear()
    Predictor(NetworkRuntime(loaded, "cpu")).predict(images)
    assert loaded.model.sizes == [6]


def test_a_window_as_large_as_the_picture_sees_it_whole() -> None:
    torch.manual_seed(0)
    loss = {"_target_": "visionkit.losses.segmentation.SegmentationLoss"}
    parts = {
        "backbone": CSP,
        "neck": {"_target_": "visionkit.necks.identity.Identity"},
        "head": {"_target_": "visionkit.heads.segmentation.fcn.FcnHead", "loss": loss},
    }
    loaded = FakeLoaded(build_model(parts, 5), tuple("abcde"), (70, 90), "segmentation", {})
    predictor = Predictor(NetworkRuntime(loaded, "cpu"))
    image = np.random.default_rng(0).integers(0, 256, (70, 90, 3)).astype(np.uint8)
    (whole,) = predictor.predict(image)
    (same,) = predictor.predict(image, window=(70, 90))
    np.testing.assert_array_equal(same.labels, whole.labels)
    assert same.classes == tuple("abcde")
    # a smaller picture is padded, not enlarged
    (small,) = predictor.predict(image[:40, :50], window=(70, 90))
    assert small.labels.shape == (40, 50)
    (views,) = predictor.predict(image, window=48, overlap=0.25, scales=(0.5, 1), flip=True)
    assert views.labels.shape == (70, 90)
    assert views.labels.dtype == np.uint8


def test_what_a_checkpoint_says_holds_unless_something_else_is_said(loaded: FakeLoaded) -> None:
    loaded.model = Shades()
    loaded.predict |= {"scales": [0.5, 1], "window": [64, 32], "overlap": 0.25, "flip": True}
    predictor = Predictor(NetworkRuntime(loaded, "cpu"))
    trained = PredictOptions(0.25, 0.7, 300, True, (0.5, 1.0), (64, 32), 0.25)
    assert predictor.options == trained
    predictor.predict(picture(BOX), flip=False, window=None)
    predictor.predict(picture(BOX), scales=(1,), window="none")
    assert [(o.flip, o.scales, o.window) for o in loaded.model.seen] == [
        (False, (0.5, 1.0), (64, 32)),
        (True, (1.0,), None),
    ]


def test_batches_keep_the_order(loaded: FakeLoaded) -> None:
    predictor = Predictor(NetworkRuntime(loaded, "cpu"))
    images = [picture((0, 0, 20 + 4 * i, 40)) for i in range(7)]
    results = predictor.predict(images, confidence=0.01, batch_size=3)
    assert loaded.model.sizes == [3, 3, 1]
    assert [int(r.boxes[0, 2]) for r in results] == [20 + 4 * i for i in range(7)]


def test_wrong_calls_fail_at_once(loaded: FakeLoaded) -> None:
    predictor = Predictor(NetworkRuntime(loaded, "cpu"))
    with pytest.raises(ValueError, match="confidence"):
        predictor.stream(picture(BOX), confidence=25)
    with pytest.raises(ValueError, match="window: expected"):
        predictor.stream(picture(BOX), window=16)
    with pytest.raises(TypeError, match="there is no option 'treshold'"):
        predictor.stream(picture(BOX), treshold=0.5)
    with pytest.raises(ValueError, match="batch_size"):
        predictor.stream(picture(BOX), batch_size=0)
    with pytest.raises(DataError, match="no such file"):
        predictor.stream("nowhere.png")


def test_a_bad_picture_raises_unless_errors_are_collected(
    loaded: FakeLoaded, tmp_path: Path
) -> None:
    save(tmp_path / "b.png", picture(BOX))
    (tmp_path / "a.png").write_bytes(b"")
    predictor = Predictor(NetworkRuntime(loaded, "cpu"))
    with pytest.raises(DataError, match=r"a\.png: the file is empty"):
        predictor.predict(tmp_path)
    errors: list[DataError] = []
    (only,) = predictor.stream(tmp_path, errors=errors)
    assert only[0] == str(tmp_path / "b.png")
    assert only[1].shape == (64, 128, 3)
    assert len(errors) == 1


def test_a_video_is_watched_frame_by_frame(loaded: FakeLoaded, tmp_path: Path) -> None:
    predictor = Predictor(NetworkRuntime(loaded, "cpu"))
    path = damaged(tmp_path / "clip.avi", 3)
    errors: list[DataError] = []
    seen = list(predictor.watch(path, every=2, batch_size=4, errors=errors, confidence=0.01))
    assert [frame.number for frame, _ in seen] == [0, 2, 4, 6, 8, 10]
    assert [r.boxes[0, 0] for _, r in seen] == pytest.approx([0, 6, 12, 18, 24, 30], abs=3)
    assert {r.names[0] for _, r in seen} == {"lamp"}
    assert loaded.model.sizes == [4, 2]
    assert len(errors) == 1
    with pytest.raises(ValueError, match="confidence"):
        predictor.watch(path, confidence=25)
    with pytest.raises(DataError, match="no such video"):
        predictor.watch("nowhere.mp4")


def test_every_is_one_or_more(loaded: FakeLoaded) -> None:
    with pytest.raises(ValueError, match="every is 1 or more, got 0"):
        load("best.ckpt").watch("clip.mp4", every=0)


def test_live_frames_do_not_wait_for_one_another(loaded: FakeLoaded) -> None:
    taken: list[int] = []

    class Live(Video):
        name, rate, count, live = "camera:0", None, None, True

        def frames(self, every: int = 1, errors: object = None) -> Iterator[Frame]:
            for number in range(3):
                taken.append(number)
                yield Frame(picture(BOX), number, 0.0)

        def close(self) -> None:
            pass

    results = Predictor(NetworkRuntime(loaded, "cpu")).watch(Live(), batch_size=8)
    assert next(results)[0].number == 0
    assert taken == [0]
    assert len(list(results)) == 2
    assert loaded.model.sizes == [1, 1, 1]
