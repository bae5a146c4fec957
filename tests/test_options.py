"""From settings to what a network is told."""

from dataclasses import fields
from typing import Any, get_type_hints

import numpy as np
import pytest

from visionkit.config import find_problems
from visionkit.options import PredictOptions, options_from
from visionkit.schema import KeepSection, OptionsSection, PredictSection

NOTHING: dict[str, Any] = {f.name: None for f in fields(PredictOptions)}


def test_nothing_said_leaves_what_held() -> None:
    assert options_from({}) == options_from(NOTHING) == PredictOptions()
    base = PredictOptions(0.5, 0.4, 9, True, (0.5, 2.0), (64, 96), 0.25, 0.7, True)
    assert options_from(NOTHING, base) == base
    assert options_from({"iou": 0.3}, base) == PredictOptions(
        0.5, 0.3, 9, True, (0.5, 2.0), (64, 96), 0.25, 0.7, True
    )


def test_values_are_turned_into_what_heads_read() -> None:
    got = options_from({"scales": [1, 0.5], "window": 64, "overlap": 0, "confidence": 1})
    assert got == PredictOptions(1.0, scales=(1.0, 0.5), window=(64, 64), overlap=0.0)
    assert all(type(s) is float for s in (*got.scales, got.overlap, got.confidence))
    assert options_from({"window": [96, 64]}).window == (96, 64)
    assert options_from({"window": "none"}, got).window is None
    assert options_from({"confidence": np.float32(0.5), "max_detections": np.int64(3)}) == (
        PredictOptions(0.5, max_detections=3)
    )


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"confidence": 25}, "confidence: must be between 0 and 1, got 25"),
        ({"iou": -0.1}, "iou: must be between 0 and 1"),
        ({"max_detections": 0}, "max_detections: must be at least 1"),
        ({"flip": "yes"}, "flip: expected true or false"),
        ({"scales": []}, "scales: must have at least 1 of them, got"),
        ({"scales": [1, 0.2]}, "scales: must be between 0.25 and 4, got 0.2"),
        ({"scales": 2}, "scales: expected a list"),
        ({"window": 31}, "window: expected"),
        ({"window": [64, 31]}, "window: must be at least 32, got 31"),
        ({"window": [64, 64, 64]}, "window: expected 2 values, got 3"),
        ({"window": "off"}, "window: expected"),
        ({"overlap": 0.91}, "overlap: must be between 0 and 0.9"),
        ({"truncation": 0}, "truncation: must be between 0.01 and 1, got 0"),
        ({"truncation": 1.5}, "truncation: must be between 0.01 and 1"),
        ({"reverse": 2}, "reverse: expected true or false"),
        ({"overlap": float("nan")}, "overlap: must be between 0 and 0.9"),
    ],
)
def test_what_is_out_of_range_is_named(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=f"^{told}") as caught:
        options_from(settings)
    assert "\n" not in str(caught.value)
    cfg = {"checkpoint": "???", "source": "a", "run_dir": "b", "batch_size": 1}
    cfg |= {"n": None, "seed": None, "label": None}
    found = find_problems(cfg | {"predict": NOTHING | settings}, "predict")
    assert [line for line in found if line.startswith(f"predict.{told}")]


def test_an_unknown_option_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="there is no option 'confidense'"):
        options_from({"confidense": 0.5})


def test_every_option_can_be_set_everywhere() -> None:
    names = {f.name for f in fields(PredictOptions)}
    assert set(get_type_hints(OptionsSection)) == set(get_type_hints(PredictSection)) == names
    assert set(get_type_hints(KeepSection)) == names - {"confidence"}
