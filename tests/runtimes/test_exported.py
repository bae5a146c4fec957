"""What all exported files do alike, with one that answers what it is told to."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from bright_files import ABOUT, SINGLE

from visionkit.about import About, Sizes
from visionkit.errors import CheckpointError, ConfigError
from visionkit.geometry import Letterbox
from visionkit.options import PredictOptions
from visionkit.runtimes.exported import ExportedRuntime, about_from, existing, package, reason
from visionkit.sample import ImageMeta

SQUARE = Letterbox((64, 64), (64, 64))
META = [ImageMeta(i, "", SQUARE) for i in range(5)]
OPTIONS = PredictOptions(0.25, 0.7, 300)
NOISE = replace(ABOUT, says="noise", latent=2, conditional=True, predict={"truncation": 0.5})


class Answers(ExportedRuntime):
    """Finds one box in each picture, as wide as its first pixel says; or draws its noise."""

    def __init__(self, about: About = ABOUT) -> None:
        super().__init__(about, "model.onnx")
        self.shapes: list[tuple[int, ...]] = []

    def run(self, inputs: Any) -> dict[str, Any]:
        assert all(array.flags.c_contiguous for array in inputs.values())
        self.shapes.append(next(iter(inputs.values())).shape)
        if "z" in inputs:
            levels = (inputs["z"][:, 0] + inputs["labels"][:, 1]).astype(np.uint8)
            return {"pictures": np.tile(levels[:, None, None, None], (1, 3, 2, 4))}
        wide = inputs["images"][:, 0, 0, 0].astype(np.float32)
        boxes = np.stack([wide * 0, wide * 0, wide, wide], 1)[:, None]
        scores = np.full((len(wide), 1), 0.5, np.float32)
        return {"boxes": boxes, "scores": scores, "labels": np.zeros((len(wide), 1), np.int64)}


def pictures(count: int, size: Sequence[int] = (64, 64)) -> Any:
    images = np.zeros((count, 3, *size), np.uint8)
    images[:, 0, 0, 0] = np.arange(1, count + 1)
    return images


@pytest.mark.parametrize("about", [ABOUT, SINGLE])
def test_a_file_that_takes_one_picture_is_given_one_at_a_time(about: About) -> None:
    runtime = Answers(about)
    found = runtime.predict(pictures(5), META, OPTIONS)
    assert [r.boxes.tolist() for r in found] == [[[0, 0, n, n]] for n in range(1, 6)]
    assert [shape[0] for shape in runtime.shapes] == ([5] if about is ABOUT else [1] * 5)


def test_it_says_what_the_file_says() -> None:
    runtime = Answers()
    assert (runtime.task, runtime.says, runtime.samples) == ("detection", "boxes", False)
    assert (runtime.classes, runtime.canvas) == (("lamp", "moon"), (64, 64))
    assert runtime.options == OPTIONS
    noise = Answers(NOISE)
    assert (noise.samples, noise.conditional, noise.latent) == (True, True, 2)


@pytest.mark.parametrize(
    ("sizes", "size", "fits"),
    [
        (Sizes(canvas=False), (64, 64), True),
        (Sizes(canvas=False), (64, 96), False),
        (Sizes(multiple=32), (96, 160), True),
        (Sizes(multiple=32), (96, 150), False),
        (Sizes(least=32), (33, 77), True),
        (Sizes(least=32), (31, 77), False),
    ],
)
def test_canvases_that_it_cannot_take_are_refused(
    sizes: Sizes, size: tuple[int, int], fits: bool
) -> None:
    runtime = Answers(replace(ABOUT, sizes=sizes))
    if fits:
        assert len(runtime.predict(pictures(1, size), META[:1], OPTIONS)) == 1
        return
    with pytest.raises(ConfigError, match=rf"^model\.onnx: it takes .*, not {size[0]} x {size[1]}"):
        runtime.predict(pictures(1, size), META[:1], OPTIONS)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"flip": True}, r"predict\.flip: .*exported with false; .*again with predict\.flip=true"),
        ({"scales": (0.5, 1.0)}, r"predict\.scales: .*with \[1\.0\]; .*scales=\[0\.5,1\.0\]"),
        ({"window": (48, 64)}, r"predict\.window: .*exported with none; .*window=\[48,64\]"),
        ({"truncation": 0.5}, r"predict\.truncation: .*exported with 1\.0"),
        ({"reverse": True}, r"predict\.reverse: .*exported with false"),
        ({"iou": 0.5}, r"predict\.iou: .*exported with 0\.7; .*predict\.iou=0\.5"),
        ({"max_detections": 301}, r"predict\.max_detections: .*gives 300 boxes"),
    ],
)
def test_what_is_built_in_cannot_be_changed(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Answers().check_options(replace(OPTIONS, **change))


def test_what_is_not_built_in_can_be_chosen() -> None:
    Answers().check_options(replace(OPTIONS, confidence=0.9, max_detections=3, overlap=0.1))
    freely = replace(OPTIONS, iou=0.3, max_detections=900)
    Answers(replace(ABOUT, decode="topk")).check_options(freely)
    Answers(replace(ABOUT, decode="raw")).check_options(freely)
    Answers(replace(ABOUT, says="masks")).check_options(freely)
    mirrored = Answers(replace(ABOUT, says="masks", predict={"flip": True}))
    mirrored.check_options(mirrored.options)
    with pytest.raises(ConfigError) as caught:
        Answers().check_options(replace(OPTIONS, flip=True, reverse=True))
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize("sizes", [Sizes(), Sizes(batch=False)])
def test_pictures_from_noise(sizes: Sizes) -> None:
    runtime = Answers(replace(NOISE, sizes=sizes))
    z, labels = np.array([[3, 0], [5, 0]], np.float32), np.array([[1, 0], [0, 1]], np.float32)
    made = runtime.make(z, labels, 0.5)
    assert [picture.shape for picture in made] == [(2, 4, 3)] * 2
    assert [int(picture[0, 0, 0]) for picture in made] == [3, 6]
    assert len(runtime.shapes) == (1 if sizes.batch else 2)
    with pytest.raises(ConfigError, match=r"predict\.truncation: .*exported with 0\.5"):
        runtime.make(z, labels, 1.0)


def test_what_goes_wrong_inside_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Any, inputs: Any) -> Any:
        raise RuntimeError("[ONNXRuntimeError] : 1 : FAIL : no room\nat line 3")

    runtime = Answers()
    monkeypatch.setattr(Answers, "run", fail)
    with pytest.raises(CheckpointError) as caught:
        runtime.predict(pictures(2), META[:2], OPTIONS)
    assert str(caught.value) == (
        "model.onnx: it can't be run on 2 x 3 x 64 x 64 values (no room); give fewer or smaller "
        "pictures at once, or export it again"
    )
    monkeypatch.setattr(Answers, "run", lambda self, inputs: {"boxes": 1})
    with pytest.raises(CheckpointError, match="it gives boxes, but not scores, labels"):
        runtime.predict(pictures(1), META[:1], OPTIONS)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"says": "poses"}, "answers with poses"),
        ({"decode": "half"}, r"answers with boxes \(half\)"),
        ({"predict": {"iou": 7}}, "its options is damaged"),
        ({"predict": {"treshold": 0.5}}, "no option 'treshold'"),
    ],
)
def test_a_file_that_says_strange_things_is_refused(change: dict[str, Any], told: str) -> None:
    with pytest.raises(CheckpointError, match=rf"^model\.onnx: .*{told}"):
        Answers(replace(ABOUT, **change))


def test_a_package_that_is_not_there() -> None:
    with pytest.raises(ConfigError) as caught:
        package("no_such_package", "export", "a.onnx")
    assert str(caught.value) == (
        "a.onnx: running it needs the package no_such_package; pip install 'visionkit[export]'"
    )
    with pytest.raises(CheckpointError, match=r"^nowhere\.onnx: no such file; check the path"):
        existing("nowhere.onnx")


@pytest.mark.parametrize(
    ("text", "told"),
    [("", "visionkit didn't export this"), ("[1]", "visionkit didn't"), ("{", "can't be read")],
)
def test_what_files_say_may_be_damaged(text: str, told: str) -> None:
    with pytest.raises(CheckpointError, match=rf"^model\.xml: .*{told}"):
        about_from(text, "model.xml")


def test_reasons_are_told_without_codes() -> None:
    coded = "[ONNXRuntimeError] : 1 : FAIL : at (a : b) [ONNXRuntimeError] : 7 : BAD : Load failed"
    assert reason(RuntimeError(coded)) == "Load failed"
    placed = "Exception from core.cpp:84:\nCheck 'a == b' failed at x.cpp:9:\nNo weights!\n\n"
    assert reason(RuntimeError(placed)) == "No weights!"
    assert reason(ValueError("plain: it failed\nmore")) == "plain: it failed"
    assert reason(KeyError()) == "KeyError"
