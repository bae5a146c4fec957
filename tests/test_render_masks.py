"""Masks over their picture: what must be seen is there, with a legend that says what it is."""

import numpy as np
import pytest

from visionkit.colours import VOID_COLOUR, class_colour
from visionkit.geometry import Image
from visionkit.render import compare, draw
from visionkit.results import VOID, SemanticMask

NAMES = ("road", "sky", "car")


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is written on pictures, in order."""
    written: list[str] = []

    def put_text(image: Image, text: str, *args: object) -> None:
        written.append(text)

    monkeypatch.setattr("visionkit.render.masks.put_text", put_text)
    monkeypatch.setattr("visionkit.render.panels.put_text", put_text)
    return written


def halves(height: int = 200, width: int = 300) -> SemanticMask:
    """Road on the left, car on the right, and a corner without a class."""
    labels = np.zeros((height, width), np.uint8)
    labels[:, width // 2 :] = 2
    labels[: height // 4, : width // 4] = VOID
    return SemanticMask(labels, NAMES)


def blended(grey: int, colour: tuple[int, int, int]) -> np.ndarray:
    return 0.45 * grey + 0.55 * np.array(colour)


def swatches(out: Image, colour: tuple[int, int, int]) -> int:
    return int((out == np.array(colour)).all(-1).sum())


def test_colours_are_blended_and_borders_drawn() -> None:
    image = np.full((200, 300, 3), 100, np.uint8)
    out = draw(image, halves(), line=1)
    assert (image == 100).all()
    assert out.shape[1] == 300
    assert 200 < out.shape[0] < 260
    for (row, column), colour in {
        (150, 60): class_colour(0),
        (150, 250): class_colour(2),
        (20, 30): VOID_COLOUR,
    }.items():
        assert np.abs(out[row, column] - blended(100, colour)).max() <= 1
    assert (out[60:200, 149] == class_colour(0)).all()  # the last column of the left half
    assert np.abs(out[60:200, 148] - blended(100, class_colour(0))).max() <= 1
    legend = out[200:]
    sizes = {swatches(legend, c) for c in (class_colour(0), class_colour(2), VOID_COLOUR)}
    assert len(sizes) == 1  # as large as each other
    assert sizes.pop() >= 100
    assert swatches(legend, class_colour(1)) == 0


def test_the_legend_tells_parts_of_the_picture(words: list[str]) -> None:
    mask = halves()
    mask.labels[0, 299] = 1
    draw(np.zeros((200, 300, 3), np.uint8), mask)
    assert words == ["car 50 %", "road 44 %", "sky <1 %", "void 6 %"]
    words.clear()
    draw(np.zeros((200, 300, 3), np.uint8), mask, scores=False)
    assert words == ["car", "road", "sky", "void"]
    words.clear()
    draw(np.zeros((200, 300, 3), np.uint8), SemanticMask(np.full((200, 300), 2, np.uint8)))
    assert words == ["2 100 %"]


def test_a_small_picture_is_enlarged_by_a_whole_factor() -> None:
    image = np.random.default_rng(0).integers(0, 256, (28, 30, 3)).astype(np.uint8)
    labels = np.full((28, 30), 1, np.uint8)
    out = draw(image, SemanticMask(labels, NAMES))
    assert out.shape[1] == 180
    assert out.shape[0] > 6 * 28
    large = out[: 6 * 28].reshape(28, 6, 30, 6, 3)
    assert (large == large[:, :1, :, :1]).all()
    # the picture's own colours don't change those of the classes
    grey = image @ np.array([0.299, 0.587, 0.114])
    expected = 0.45 * grey[..., None] + 0.55 * np.array(class_colour(1))
    assert np.abs(large[:, 0, :, 0] - expected).max() <= 1


@pytest.mark.parametrize("width", [160, 400, 1500])
def test_long_legends_wrap_and_hide_nothing(width: int) -> None:
    labels = np.resize(np.arange(20, dtype=np.uint8).repeat(10), (50, width))
    names = tuple(f"class of number {k}" + " and more words" * (k == 3) for k in range(20))
    out = draw(np.zeros((50, width, 3), np.uint8), SemanticMask(labels, names))
    legend = out[50:]
    found = [swatches(legend, class_colour(k)) for k in range(20)]
    assert min(found) == max(found) >= 100
    assert out.shape[1] == width


def test_very_many_classes_are_counted(words: list[str]) -> None:
    labels = np.arange(100, dtype=np.uint8).repeat(100).reshape(100, 100)
    draw(np.zeros((100, 100, 3), np.uint8), SemanticMask(labels), scores=False)
    assert words == [*map(str, range(40)), "and 60 more classes"]


@pytest.mark.parametrize("size", [(1, 1), (8, 300), (3000, 2), (700, 31)])
def test_any_size_of_picture(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 200, np.uint8)
    labels = np.random.default_rng(0).integers(0, 3, size).astype(np.uint8)
    for out in (
        draw(image, SemanticMask(labels)),
        compare(image, SemanticMask(labels), SemanticMask(labels)),
    ):
        assert out.dtype == np.uint8
        assert out.shape[1] >= 160
        assert out.size < 10_000_000


def test_a_mask_of_another_size_is_refused() -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    right, wrong = (SemanticMask(np.zeros(s, np.uint8)) for s in ((20, 30), (30, 20)))
    with pytest.raises(ValueError, match="scale one of them first"):
        draw(image, wrong)
    for truth, said in ((right, wrong), (wrong, right)):
        with pytest.raises(ValueError, match="scale one of them first"):
            compare(image, truth, said)


def test_truth_and_prediction_side_by_side(words: list[str]) -> None:
    truth = halves()  # a sixteenth of it is void
    said = np.zeros((200, 300), np.uint8)
    said[:, 180:] = 2  # of 56250 labelled pixels, 6000 are wrong
    image = np.full((200, 300, 3), 100, np.uint8)
    out = compare(image, truth, SemanticMask(said, NAMES))
    assert words == ["truth", "prediction, 89 % right", "road", "car", "void"]
    grey = np.abs(out - blended(100, VOID_COLOUR)).max(-1) <= 1
    in_truth, in_prediction = grey[:, :300].sum(), grey[:, -300:].sum()
    # but for the lines along it, the void of the truth, in both
    assert 3500 < in_truth <= 3750
    assert 3500 < in_prediction <= 3750
    wrong = np.abs(out - blended(100, class_colour(2))).max(-1) <= 1
    assert 0.98 * 200 * 150 < wrong[:, :300].sum() <= 200 * 150
    assert 0.98 * 200 * 120 < wrong[:, -300:].sum() <= 200 * 120


def test_a_picture_without_truth_has_no_part_that_is_right(words: list[str]) -> None:
    truth = SemanticMask(np.full((200, 300), VOID, np.uint8))
    compare(np.zeros((200, 300, 3), np.uint8), truth, halves())
    assert words == ["truth", "prediction", "void"]


def test_nearly_all_is_not_all(words: list[str]) -> None:
    truth = SemanticMask(np.zeros((300, 300), np.uint8), NAMES)
    said = SemanticMask(truth.labels.copy(), NAMES)
    said.labels[5, 5] = 1
    compare(np.zeros((300, 300, 3), np.uint8), truth, said)
    assert words[1] == "prediction, 99 % right"


def test_the_stroke_font_of_opencv_4_serves_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("visionkit.lettering._FACE", None)
    out = draw(np.full((200, 300, 3), 100, np.uint8), halves())
    assert ((out[200:] > 150).all(-1)).sum() > 50  # letters
