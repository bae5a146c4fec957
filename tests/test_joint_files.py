"""A joint file as evaluation and its proof see it."""

from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from joint_file import joint

from visionkit.about import About, from_plain
from visionkit.data.index import DataInfo
from visionkit.errors import CheckpointError, ConfigError
from visionkit.export.command import _check_judged
from visionkit.export.scores import score_both
from visionkit.metrics.base import Evaluator
from visionkit.options import PredictOptions
from visionkit.predictor import Predictor
from visionkit.runtimes.base import Part
from visionkit.runtimes.exported import ExportedRuntime
from visionkit.runtimes.network import NetworkRuntime
from visionkit.subjects import FileSubject

PARTS: dict[str, Any] = {
    "things": {"says": "boxes", "classes": ["ant"]},
    "scene": {"says": "classes", "classes": ["in", "out"], "exclusive": True},
}
ABOUT = About(
    task="multitask",
    says="joint",
    decode="nms",
    classes=("things/ant", "scene/in", "scene/out"),
    preprocess={"canvas": [64, 64]},
    predict={},
    parts=PARTS,
)


def info(kind: str, classes: tuple[str, ...], exclusive: bool = True, **more: Any) -> DataInfo:
    return DataInfo(
        classes, (64, 64), kind, lambda: np.ones(len(classes), np.int64), exclusive, **more
    )


def refusal(parts: dict[str, DataInfo]) -> str:
    runtime: Any = SimpleNamespace(options=PredictOptions())
    with pytest.raises(ConfigError) as told:
        FileSubject(runtime, ABOUT, "model.onnx").check(info("parts", ABOUT.classes, parts=parts))
    return str(told.value)


def test_a_file_is_scored_on_labels_for_each_of_its_parts() -> None:
    things = info("boxes", ("ant",))
    scene = info("classes", ("in", "out"))
    runtime: Any = SimpleNamespace(options=PredictOptions())
    subject = FileSubject(runtime, ABOUT, "model.onnx")
    subject.check(info("parts", ABOUT.classes, parts={"things": things, "scene": scene}))
    assert "wants labels for scene, this set has things" in refusal({"things": things})
    masks = refusal({"things": info("masks", ("ant",)), "scene": scene})
    assert "labelled with masks, model.onnx, things, wants boxes" in masks
    several = info("classes", ("in", "out"), exclusive=False)
    assert "scene, says one of each" in refusal({"things": things, "scene": several})


class Silent(ExportedRuntime):
    """A file that is never asked."""

    def run(self, inputs: Any) -> Any:
        raise AssertionError


def test_a_part_that_answers_in_an_unknown_way_is_told() -> None:
    assert Silent(ABOUT, "model.onnx").parts == {
        "things": Part("boxes", ("ant",)),
        "scene": Part("classes", ("in", "out")),
    }
    odd = About(**{**ABOUT.__dict__, "parts": {"depth": {"says": "depths", "classes": []}}})
    with pytest.raises(CheckpointError, match="answers with depths"):
        Silent(odd, "model.onnx")


class Fixed(Evaluator):
    """Says the same of everything."""

    monitor, mode = "score", "max"
    judged = ("things/AP", "scene/accuracy")  # type: ignore[assignment]

    def compute(self) -> dict[str, float]:
        names = ("score", "things/AP", "things/AP/ant", "scene/accuracy", "odd/one")
        return dict.fromkeys(names, 0.5)

    def reset(self) -> None: ...

    def update(self, image_ids: Any, results: Any) -> None: ...

    def state(self) -> object:
        return None

    def merge(self, states: Any) -> None: ...

    def report(self, folder: Path) -> None: ...


def test_figures_of_parts_are_headlines_and_those_of_classes_are_not() -> None:
    file: Any = SimpleNamespace(parts=PARTS)
    scores = score_both(file, file, [], (Fixed(), Fixed()), PredictOptions(), "test")
    assert list(scores.checkpoint) == ["score", "things/AP", "scene/accuracy"]
    assert scores.judged == ("things/AP", "scene/accuracy")


def test_a_proof_judges_every_part_or_is_refused() -> None:
    settings: dict[str, Any] = {"proof": {"images": 12, "scored": 0}, "precision": "fp32"}
    _check_judged(joint(), settings)
    with pytest.raises(ConfigError, match="nothing of a file in fp16 is judged"):
        _check_judged(joint(), settings | {"precision": "fp16"})  # boxes alone are left out


def test_files_of_before_there_were_parts_are_read() -> None:
    plain = asdict(replace(ABOUT, says="boxes", classes=("ant",), parts={}))
    del plain["parts"]
    old = from_plain(plain, "model.onnx")
    assert (old.says, old.classes, old.parts) == ("boxes", ("ant",), {})


def test_what_one_part_can_not_follow_is_told_with_its_name() -> None:
    image = np.zeros((64, 96, 3), np.uint8)
    predictor = Predictor(NetworkRuntime(joint(), "cpu"))
    for option, value in (("flip", True), ("window", 64)):
        with pytest.raises(ConfigError, match=rf"^parts\.detection: predict\.{option}: "):
            predictor.predict(image, **{option: value})
