"""Drawing: what must be seen is there, and nothing else is touched."""

import itertools

import numpy as np
import pytest

from visionkit.colours import class_colour, ink_on, palette
from visionkit.render import contact_sheet, draw, side_by_side
from visionkit.results import VOID, Classification, Detections


def detections(boxes: list[list[float]], names: tuple[str, ...] = ("cell",)) -> Detections:
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.linspace(0.9, 0.5, count, dtype=np.float32),
        np.arange(count) % len(names),
        names,
    )


def test_a_box_is_drawn_on_its_edges_and_the_source_kept() -> None:
    image = np.full((240, 320, 3), 128, np.uint8)
    out = draw(image, detections([[100, 80, 200, 180]]), line=3)
    assert (image == 128).all()
    colour = class_colour(0)
    for row, column in ((130, 100), (130, 200), (180, 150), (80, 190)):
        assert tuple(out[row, column].tolist()) == colour
    assert (out[90:170, 110:190] == 128).all()  # the inside stays visible
    assert (out[200:] == 128).all()


def test_nothing_found_draws_nothing() -> None:
    image = np.random.default_rng(0).integers(0, 255, (50, 60, 3)).astype(np.uint8)
    assert (draw(image, detections([])) == image).all()


@pytest.mark.parametrize(
    "box", [[0, 0, 90, 60], [250, 0, 320, 50], [-5, 200, 80, 260], [290, 210, 320, 240]]
)
def test_tags_stay_in_the_picture(box: list[float]) -> None:
    image = np.full((240, 320, 3), 128, np.uint8)
    out = draw(image, detections([box], ("platelet",)))
    ink = (out == np.array(class_colour(0))).all(-1).sum()
    edges = 2 * (min(box[2], 320) - max(box[0], 0) + min(box[3], 240) - max(box[1], 0))
    assert ink > 0.5 * edges + 300  # a filled tag beside the lines


def test_a_tag_needs_room() -> None:
    image = np.full((240, 320, 3), 128, np.uint8)
    crowd = [[x, y, x + 9, y + 9] for x in range(20, 300, 10) for y in range(20, 220, 10)]
    out = draw(image, detections(crowd, ("erythrocyte",)), line=1)
    # the insides of nearly all boxes can still be seen
    insides = [out[y + 3 : y + 7, x + 3 : x + 7] for x, y, _, _ in np.array(crowd, int)]
    assert np.mean([(inside == 128).all() for inside in insides]) > 0.9


@pytest.mark.parametrize("size", [(1, 1), (8, 300), (2000, 30)])
def test_any_size_of_picture(size: tuple[int, int]) -> None:
    image = np.zeros((*size, 3), np.uint8)
    out = draw(image, detections([[0, 0, size[1], size[0]], [0.2, 0.2, 0.4, 0.4]]))
    assert out.shape == image.shape
    assert out.dtype == np.uint8


def test_lines_grow_with_the_picture() -> None:
    def width(side: int) -> int:
        box = [[side * 0.25, side * 0.25, side * 0.75, side * 0.75]]
        out = draw(np.full((side, side, 3), 128, np.uint8), detections(box))
        return int((out[side // 2, : side // 2] == class_colour(0)).all(-1).sum())

    assert width(200) < width(1200) < width(4000)


def test_colours_are_stable_and_apart() -> None:
    colours = [class_colour(i) for i in range(80)]
    assert len(set(colours)) == 80
    assert class_colour(3) == colours[3]
    apart = [np.abs(np.subtract(a, b)).sum() for a, b in itertools.combinations(colours[:8], 2)]
    assert min(apart) > 60


def test_ink_reads_on_every_colour() -> None:
    def luminance(colour: tuple[int, int, int]) -> float:
        linear = [(c / 255) ** 2.2 for c in colour]
        return float(np.dot([0.2126, 0.7152, 0.0722], linear))

    for colour in [(0, 0, 0), (255, 255, 255), *(class_colour(i) for i in range(40))]:
        pair = sorted([luminance(colour), luminance(ink_on(colour))])
        assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 3.9


def test_the_palette_has_the_colours_of_the_classes() -> None:
    assert [tuple(c) for c in palette()[:255].tolist()] == [class_colour(k) for k in range(255)]
    assert not (palette()[:VOID] == palette()[VOID]).all(-1).any()


@pytest.mark.parametrize("size", [(28, 28), (1, 1), (3000, 2), (60, 200)])
def test_classes_stand_below_in_words_that_can_be_read(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 128, np.uint8)
    out = draw(image, Classification(np.array([0.25, 0.75], np.float32), ("ant", "bee")))
    assert 160 <= out.shape[1] <= 200
    factor = max(1, min(-(-160 // size[1]), 2000 // size[0]))
    assert (out == 128).all(-1).sum() == factor**2 * size[0] * size[1]
    assert out.shape[0] - factor * size[0] in range(15, 40)


def test_side_by_side_and_contact_sheet() -> None:
    left, right = np.full((100, 120, 3), 200, np.uint8), np.full((50, 60, 3), 90, np.uint8)
    both = side_by_side([left, right], ["truth", "prediction with a title that is too long"])
    assert both.shape[1] > 240  # the right one was doubled, and there is a gap
    assert (both[-1, 0] == 200).all()
    assert (both[-1, -1] == 90).all()
    sheet = contact_sheet([left, right, left], columns=2)
    assert (sheet == 200).all(-1).sum() == 2 * 100 * 120
    assert (sheet == 90).all(-1).sum() == 50 * 60
    assert contact_sheet([left]).shape[0] < 110


def test_the_stroke_font_of_opencv_4_serves_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("visionkit.lettering._FACE", None)
    image = np.full((240, 320, 3), 128, np.uint8)
    out = draw(image, detections([[100, 80, 200, 180]]))
    tag = (out[60:79, 100:160] == class_colour(0)).all(-1)
    assert 200 < tag.sum() < tag.size  # filled, with letters on it
