"""What results say of themselves."""

import json

import numpy as np
import pytest

from visionkit.naming import named
from visionkit.results import VOID, Classification, Detections, Joint, SemanticMask


def said(*probabilities: float, exclusive: bool = True) -> Classification:
    return Classification(np.array(probabilities, np.float32), ("ant", "bee", "cat"), exclusive)


def test_one_class() -> None:
    result = said(0.125, 0.75, 0.125)
    assert (result.label, result.name, result.score) == (1, "bee", 0.75)
    assert result.labels == [1]
    assert result.top(2) == [("bee", 0.75), ("ant", 0.125)]  # the first of equals
    assert result.summary() == "bee 0.75"
    assert result.to_dict() == {
        "labels": [1],
        "names": ["bee"],
        "scores": [0.75],
        "top": {"bee": 0.75, "ant": 0.125, "cat": 0.125},
    }
    assert result.above(0.9).labels == [1]  # a picture is of some class
    assert result.scaled(2) is result


def test_several_classes() -> None:
    result = said(0.5, 0.25, 0.75, exclusive=False)
    assert result.labels == [2, 0]
    assert result.above(0.25).labels == [2, 0, 1]
    assert result.above(0.9).summary() == "nothing found"


def test_names_may_be_unknown() -> None:
    assert Classification(np.array([0.25, 0.75], np.float32)).name == "1"


def test_boxes_are_counted_and_scaled() -> None:
    boxes = np.array([[0, 0, 10, 20], [5, 5, 6, 6], [1, 1, 2, 2]], np.float32)
    found = Detections(boxes, np.ones(3, np.float32), np.array([1, 0, 1]), ("a", "b"))
    assert found.summary() == "2 b, 1 a"
    assert found.summary(most=1) == "2 b, and 1 more classes"
    assert found.above(2).summary() == "nothing found"
    assert found.scaled(0.5).boxes[0].tolist() == pytest.approx([0, 0, 5, 10])


MASK = SemanticMask(np.array([[2, 2, 0, VOID], [2, 0, 2, 3]], np.uint8), ("sky", "road", "car"))


def test_a_mask_tells_the_parts_of_the_picture() -> None:
    assert MASK.shares() == {2: 0.5, 0: 0.25, 3: 0.125}  # the rest has no class
    assert list(MASK.shares()) == [2, 0, 3]
    assert MASK.summary() == "car 50 %, sky 25 %, 3 12 %"  # of a class without a name
    assert MASK.summary(most=1) == "car 50 %, and 2 more classes"
    assert MASK.to_dict() == {
        "labels": [2, 0, 3],
        "names": ["car", "sky", "3"],
        "shares": [0.5, 0.25, 0.125],
    }
    assert MASK.above(0.9) is MASK
    nothing = SemanticMask(np.full((3, 3), VOID, np.uint8))
    assert nothing.shares() == {}
    assert nothing.summary() == "nothing found"
    assert nothing.to_dict() == {"labels": [], "names": [], "shares": []}


def test_a_mask_is_scaled_without_mixing_labels() -> None:
    double = MASK.scaled(2)
    np.testing.assert_array_equal(double.labels, MASK.labels.repeat(2, 0).repeat(2, 1))
    assert double.classes == MASK.classes
    np.testing.assert_array_equal(double.scaled(0.5).labels, MASK.labels)
    assert MASK.scaled(0.01).labels.shape == (1, 1)
    rng = np.random.default_rng(0)
    odd = SemanticMask(rng.integers(0, 9, (37, 53)).astype(np.uint8)).scaled(1.7)
    assert odd.labels.shape == (63, 90)
    assert odd.labels.dtype == np.uint8


def test_probabilities_that_are_no_numbers_are_null_in_json() -> None:
    found = Classification(np.array([0.5, np.nan], np.float32), ("ant", "bee"))
    assert found.to_dict()["top"] == {"ant": 0.5, "bee": None}
    nothing = Classification(np.array([np.nan], np.float32), ("ant",)).to_dict()
    assert json.loads(json.dumps(nothing, allow_nan=False))["scores"] == [None]


def test_several_parts() -> None:
    boxes = Detections(
        np.array([[0, 0, 4, 4], [2, 2, 6, 6]], np.float32),
        np.array([0.75, 0.25], np.float32),
        np.array([1, 0], np.int64),
    )
    mask = SemanticMask(np.zeros((2, 2), np.uint8))
    result = Joint({"things": boxes, "stuff": mask})
    assert result.classes == ()
    known = named(result, (), {"things": ("ant", "bee"), "stuff": ("ground",), "other": ()})
    assert known.summary() == "things: 1 bee, 1 ant; stuff: ground 100 %"
    assert known.above(0.5).summary() == "things: 1 bee; stuff: ground 100 %"
    assert result.scaled(2).parts["things"].boxes[1].tolist() == [4, 4, 12, 12]
    assert result.scaled(2).parts["stuff"].labels.shape == (4, 4)
    assert json.loads(json.dumps(known.to_dict())) == {
        "things": {
            "boxes": [[0, 0, 4, 4], [2, 2, 6, 6]],
            "scores": [0.75, 0.25],
            "labels": [1, 0],
            "names": ["bee", "ant"],
        },
        "stuff": {"labels": [0], "names": ["ground"], "shares": [1.0]},
    }
    assert named(boxes, ("ant", "bee")).names == ["bee", "ant"]
