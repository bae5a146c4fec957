"""Looking more than once at pictures, with a runtime that finds bright rectangles."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import pytest

from visionkit.errors import ConfigError
from visionkit.looks import Inset
from visionkit.options import PredictOptions
from visionkit.predictor import Predictor
from visionkit.results import Detections
from visionkit.runtimes.base import Runtime
from visionkit.sample import ImageMeta

CANVAS = (64, 64)


class Spots(Runtime):
    """A box around each bright spot of at least ``least`` pixels; its score is its level / 255."""

    task, says, classes, canvas = "detection", "boxes", ("spot",), CANVAS
    options = PredictOptions(confidence=0.1)

    def __init__(self, least: int = 1) -> None:
        self.least = least
        self.asked: list[PredictOptions] = []
        self.shapes: list[tuple[int, ...]] = []
        self.seen: list[Any] = []

    def check_options(self, options: PredictOptions) -> None:
        if options.flip or options.window or options.scales != (1.0,):
            raise ConfigError("predict: one look only")

    def predict(self, images: Any, meta: Sequence[ImageMeta], options: PredictOptions) -> list[Any]:
        self.check_options(options)
        self.asked.append(options)
        self.shapes.append(images.shape)
        self.seen += list(images)
        return [
            self._spots(i[0], m).above(options.confidence)
            for i, m in zip(images, meta, strict=True)
        ]

    def _spots(self, level: Any, meta: ImageMeta) -> Detections:
        _, _, stats, _ = cv2.connectedComponentsWithStats((level > 150).astype(np.uint8))
        rows = [s for s in stats[1:].tolist() if s[4] >= self.least]
        boxes = np.array([[x, y, x + w, y + h] for x, y, w, h, _ in rows], np.float64)
        scores = [float(level[y : y + h, x : x + w].max()) / 255 for x, y, w, h, _ in rows]
        order = np.argsort(-np.array(scores), kind="stable")
        placed = meta.letterbox.to_image(boxes.reshape(-1, 4))
        labels = np.zeros(len(rows), np.int64)
        return Detections(placed[order], np.array(scores, np.float32)[order], labels)

    def make(self, z: Any, labels: Any, truncation: float) -> Any:
        raise AssertionError


def picture(size: tuple[int, int], *boxes: tuple[int, int, int, int], level: int = 255) -> Any:
    image = np.full((*size, 3), 30, np.uint8)
    for x1, y1, x2, y2 in boxes:
        image[y1:y2, x1:x2] = level
    return image


def boxes_of(result: Detections) -> list[list[float]]:
    return sorted(np.round(result.boxes, 2).tolist())


def test_small_things_are_found_in_windows_and_large_ones_in_the_whole() -> None:
    small = [(10, 10, 18, 16), (100, 40, 108, 46), (60, 200, 66, 210), (246, 246, 254, 254)]
    image = picture((256, 256), *small, (128, 60, 232, 180))
    # a canvas shows the whole picture at a quarter: too small for the small ones
    runtime = Spots(least=20)
    predictor = Predictor(runtime)
    (whole,) = predictor.predict(image)
    assert len(whole) == 1
    (result,) = predictor.predict(image, window=64, overlap=0.5)
    assert boxes_of(result) == sorted([*map(list, small), [128, 60, 232, 180]])
    assert result.classes == ("spot",)
    assert sum(shape[0] for shape in runtime.shapes[1:]) == 1 + 7 * 7
    assert {shape[2:] for shape in runtime.shapes} == {CANVAS}
    assert max(shape[0] for shape in runtime.shapes) == 8


def test_what_windows_cut_is_joined_where_the_whole_is_too_coarse() -> None:
    # 100 pixels long and 4 high: a line of a pixel's height in the whole picture
    bar = (30, 100, 130, 104)
    runtime = Spots(least=100)
    (result,) = Predictor(runtime).predict(picture((256, 256), bar), window=64, overlap=0.25)
    assert boxes_of(result) == [list(map(float, bar))]


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.75])
@pytest.mark.parametrize("size", [(256, 256), (200, 150), (64, 300), (40, 300)])
def test_nothing_is_found_twice(size: tuple[int, int], overlap: float) -> None:
    rng = np.random.default_rng(0)
    boxes: list[tuple[int, int, int, int]] = []
    taken = np.zeros(size, bool)
    while len(boxes) < 6:
        h, w = rng.integers(6, 30, 2).tolist()
        y, x = (int(rng.integers(0, s - d + 1)) for s, d in zip(size, (h, w), strict=True))
        area = np.s_[max(0, y - 3) : y + h + 3, max(0, x - 3) : x + w + 3]
        if not taken[area].any():
            taken[area] = True
            boxes.append((x, y, x + w, y + h))
    (result,) = Predictor(Spots()).predict(picture(size, *boxes), window=64, overlap=overlap)
    assert len(result) == 6
    for box in boxes:
        assert np.abs(result.boxes - box).max(1).min() <= 2.5  # the whole is coarser


def test_a_window_that_covers_the_picture_is_none() -> None:
    runtime = Spots()
    Predictor(runtime).predict(picture((50, 60), (5, 5, 20, 20)), window=64)
    assert [shape[0] for shape in runtime.shapes] == [1]


def test_mirrored_views_come_back_in_place() -> None:
    runtime = Spots()
    image = picture((48, 64), (4, 10, 20, 30))
    (result,) = Predictor(runtime).predict(image, flip=True)
    np.testing.assert_array_equal(runtime.seen[1], runtime.seen[0][..., ::-1])
    assert boxes_of(result) == [[4, 10, 20, 30]]
    assert result.scores.tolist() == [1]
    assert runtime.asked[0].confidence == pytest.approx(0.001)
    assert not runtime.asked[0].flip


def test_scores_are_means_and_held_against_the_confidence_at_last() -> None:
    class Fickle(Spots):
        """Says nothing of what lies in the left half."""

        def predict(self, images: Any, meta: Any, options: Any) -> list[Any]:
            results = super().predict(images, meta, options)
            return [
                Detections(r.boxes[r.boxes[:, 0] >= 32], r.scores[r.boxes[:, 0] >= 32], r.labels)
                for r in results
            ]

    image = picture((64, 64), (40, 10, 50, 20), level=204)  # 0.8, and not seen when mirrored
    (result,) = Predictor(Fickle()).predict(image, flip=True, confidence=0.3)
    np.testing.assert_allclose(result.scores, [0.4], rtol=1e-6)
    (result,) = Predictor(Fickle()).predict(image, flip=True, confidence=0.5)
    assert len(result) == 0


def test_scales_keep_small_canvases_and_enlarge_others() -> None:
    runtime = Spots()
    image = picture((64, 64), (8, 8, 40, 40))
    (result,) = Predictor(runtime).predict(image, scales=(0.5, 1, 1.25))
    assert sorted(shape[2:] for shape in runtime.shapes) == [(64, 64), (128, 128)]
    assert [shape[0] for shape in runtime.shapes] == [2, 1]
    np.testing.assert_allclose(boxes_of(result), [[8, 8, 40, 40]], atol=0.7)
    half, full, large = (seen[0] > 150 for seen in runtime.seen)
    assert [int(seen.sum()) for seen in (half, full, large)] == [16 * 16, 32 * 32, 40 * 40]
    assert half[20:36, 20:36].all()  # in the middle of the canvas


def test_an_inset_goes_there_and_back() -> None:
    inset = Inset((30, 60), (64, 64), (32, 32))
    assert inset.resized == (16, 32)
    assert inset.pad == (24, 16)
    boxes = np.array([[0, 0, 60, 30], [6, 3, 20, 9]], np.float32)
    np.testing.assert_allclose(inset.to_image(inset.to_canvas(boxes)), boxes, atol=1e-4)


def test_limits_hold_for_the_whole_and_order_is_kept() -> None:
    images = [picture((64, 96), (4 + i, 4, 14 + i, 14), (50, 30, 60, 40)) for i in range(5)]
    predictor = Predictor(Spots())
    results = predictor.predict(images, flip=True, max_detections=1, batch_size=3)
    assert [len(r) for r in results] == [1] * 5
    results = predictor.predict(images, flip=True, batch_size=3)
    assert [boxes_of(r)[0][0] for r in results] == pytest.approx([4, 5, 6, 7, 8], abs=0.8)


def test_other_answers_keep_the_views_of_their_network() -> None:
    runtime = Spots()
    runtime.says = "masks"
    with pytest.raises(ConfigError, match="one look only"):
        Predictor(runtime).stream(picture((64, 64)), flip=True)


def test_what_one_look_leaves_over_another_may_confirm() -> None:
    class Short(Spots):
        """Heeds ``max_detections``, and is bolder of the left spot where it isn't mirrored."""

        def predict(self, images: Any, meta: Any, options: Any) -> list[Any]:
            results = []
            for n, found in enumerate(super().predict(images, meta, options)):
                left = found.boxes[:, 0] < 32
                # in the second look it is seen at the right
                scores = np.where(left, 0.9, 0.8) if n == 0 else np.where(left, 0.8, 0.2)
                order = np.argsort(-scores)[: options.max_detections]
                scores = scores.astype(np.float32)[order]
                results.append(Detections(found.boxes[order], scores, found.labels[order]))
            return results

    image = picture((64, 64), (4, 10, 20, 30), (40, 10, 50, 20))
    (result,) = Predictor(Short()).predict(image, flip=True, max_detections=1)
    assert boxes_of(result) == [[40, 10, 50, 20]]  # 0.8 and 0.8, before 0.9 and 0.2
    np.testing.assert_allclose(result.scores, [0.8], rtol=1e-6)
