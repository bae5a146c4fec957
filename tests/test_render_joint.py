"""Several answers on one picture: each is where it would be alone, and nothing hides another."""

from typing import Any

import numpy as np
import pytest

from visionkit.colours import class_colour
from visionkit.geometry import Image
from visionkit.render import compare, draw
from visionkit.results import VOID, Classification, Detections, Joint, SemanticMask

GREY: Image = np.full((200, 300, 3), 100, np.uint8)
RING = (60.0, 50.0, 120.0, 150.0)


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is written on pictures, in order."""
    written: list[str] = []

    def put_text(image: Image, text: str, *args: object) -> None:
        written.append(text)

    for module in ("boxes", "masks", "panels"):
        monkeypatch.setattr(f"visionkit.render.{module}.put_text", put_text)
    return written


def boxes(label: int = 0, names: tuple[str, ...] = ("ring", "star")) -> Detections:
    where = np.array([RING], np.float32)
    return Detections(where, np.array([0.5], np.float32), np.array([label]), names)


def mask(size: tuple[int, int] = (200, 300)) -> SemanticMask:
    labels = np.zeros(size, np.uint8)
    labels[:, size[1] // 2 :] = 1
    return SemanticMask(labels, ("ground", "star", "ring"))


def scene(best: int = 1) -> Classification:
    return Classification(np.eye(2, dtype=np.float32)[best], ("in", "out"))


def near(pixel: Any, label: int) -> bool:
    """Whether a pixel has the colour of a class; edges of lines are softened."""
    return bool(np.abs(pixel.astype(int) - class_colour(label)).max() <= 20)


def test_boxes_lie_over_the_mask_and_classes_stand_below(words: list[str]) -> None:
    out = draw(GREY, Joint({"scene": scene(), "things": boxes(), "stuff": mask()}), line=1)
    assert (GREY == 100).all()
    assert out.shape[1] == 300 and out.shape[0] > 220
    blended = 0.45 * 100 + 0.55 * np.array(class_colour(0))
    assert np.abs(out[180, 20] - blended).max() <= 1  # the mask
    assert near(out[100, 60], 2)  # the side of the box
    assert words == ["ring 0.50", "ground 50 %", "star 50 %", "out 1.00"]


def test_a_class_has_one_colour_in_all_parts(words: list[str]) -> None:
    star = draw(GREY, Joint({"things": boxes(label=1), "stuff": mask()}), line=1)
    assert near(star[100, 60], 1)  # as in the mask, where it is second
    other = draw(GREY, Joint({"things": boxes(0, ("kite",)), "stuff": mask()}), line=1)
    assert near(other[100, 60], 3)  # none of the mask's
    unnamed = draw(GREY, Joint({"things": boxes(0, ()), "stuff": mask()}), line=1)
    assert near(unnamed[100, 60], 0)


def test_boxes_alone_and_classes_keep_the_picture() -> None:
    alone = draw(GREY, boxes(), line=1)
    np.testing.assert_array_equal(draw(GREY, Joint({"things": boxes()}), line=1), alone)
    both = draw(GREY, Joint({"things": boxes(), "scene": scene()}), line=1)
    np.testing.assert_array_equal(both[:200], alone)
    assert both.shape[0] > 200


def test_a_small_picture_is_enlarged_with_its_boxes(words: list[str]) -> None:
    small = np.full((40, 60, 3), 100, np.uint8)
    found = Detections(
        np.array([[10, 10, 30, 30]], np.float32), np.ones(1, np.float32), np.zeros(1, np.int64)
    )
    out = draw(small, Joint({"things": found, "stuff": mask((40, 60))}), line=1)
    assert out.shape[1] == 180
    assert near(out[60, 30], 0)


def test_two_masks_have_a_picture_each(words: list[str]) -> None:
    floor = SemanticMask(np.full((200, 300), VOID, np.uint8), ("floor",))
    out = draw(GREY, Joint({"stuff": mask(), "floor": floor, "things": boxes()}))
    assert out.shape[0] > 400
    assert words.count("ring 0.50") == 2
    assert "void 100 %" in words
    said = Joint({"day": scene(0), "place": scene(1)})
    words.clear()
    draw(GREY, said)
    assert words == ["day: in 1.00", "place: out 1.00"]


def test_the_truth_stands_beside_what_was_predicted(words: list[str]) -> None:
    known = mask()
    known.labels[:100] = VOID
    truth = Joint({"things": boxes(), "stuff": known, "scene": scene(1)})
    found = Joint({"things": boxes(1), "stuff": mask(), "scene": scene(0), "more": scene()})
    out = compare(GREY, truth, found)
    assert out.shape[1] > 600
    assert words == [
        "ring",
        "star 0.50",
        "truth",
        "prediction, 100 % right",
        "ground",
        "star",
        "void",
        "truth: out",
        "predicted: in 1.00",
    ]
    words.clear()
    assert compare(GREY, Joint({"things": boxes()}), found).shape[1] > 600
    assert words == ["ring", "star 0.50", "truth", "prediction"]
    single = compare(GREY, Joint({"scene": scene()}), found)
    assert single.shape[1] == 300 and single.shape[0] > 200


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="scale one of them"):
        draw(GREY, Joint({"stuff": mask((20, 30))}))
