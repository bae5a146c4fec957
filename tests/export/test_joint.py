"""A joint network as one file: every part of it is what the network says, at unseen sizes."""

import io
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from joint_file import CANVAS, CLASSES, joint, pictures
from rich.console import Console

from visionkit.about import from_plain
from visionkit.errors import CheckpointError, ConfigError
from visionkit.export.build import build_file
from visionkit.export.compare import difference, merged
from visionkit.export.parity import Row, prove, proving_options, tolerance
from visionkit.export.proof import Proof
from visionkit.export.scores import Scores
from visionkit.options import PredictOptions
from visionkit.predictor import Predictor, load_runtime
from visionkit.results import Classification, Detections, Joint, SemanticMask
from visionkit.runtimes.network import NetworkRuntime

SIZES = (CANVAS, (96, 64), (160, 96))
NAMES = {
    "detection": ["boxes", "scores", "labels"],
    "segmentation": ["probabilities"],
    "scene": ["probabilities"],
}
OUTPUTS = [f"{part}/{name}" for part, names in NAMES.items() for name in names]


def agree(made, path, about):
    seen = [(str(n), pictures((1, 64, 64), 50 + n)[0].permute(1, 2, 0).numpy()) for n in range(4)]
    reference, file = NetworkRuntime(made, "cpu"), load_runtime(path, "cpu")
    rows = prove(reference, file, seen, SIZES, (1, 3), proving_options(about), 1e-4)
    assert len(rows) == 6
    for row in rows:
        assert row.difference["detection/boxes"] < 5e-3
        assert row.difference["detection/scores"] < 1e-5
        assert row.difference["detection/unmatched"] == row.difference["detection/labels"] == 0
        assert row.difference["segmentation/masks"] < 1e-3
        assert row.difference["scene/probabilities"] < 1e-5


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "model.onnx"
    return path, build_file(joint(), path)


def test_one_onnx_file_says_what_every_part_says(file) -> None:
    path, about = file
    assert about.says == "joint"
    assert about.sizes.batch and about.sizes.canvas
    assert {name: about.part(name).classes for name in about.parts} == CLASSES
    assert [about.part(name).says for name in about.parts] == ["boxes", "masks", "classes"]
    assert about.part("detection").candidates == 100
    graph = onnx.load(path).graph
    assert [value.name for value in graph.output] == OUTPUTS
    agree(joint(), path, about)


def test_the_backbone_is_in_the_file_once(file) -> None:
    stored = sum(np.prod(tensor.dims) for tensor in onnx.load(file[0]).graph.initializer)
    assert stored < 1.1 * sum(p.numel() for p in joint().model.parameters())


@pytest.mark.slow
def test_a_program_says_the_same(tmp_path: Path) -> None:
    about = build_file(joint(), tmp_path / "model.pt2", "program")
    agree(joint(), tmp_path / "model.pt2", about)
    beside = json.loads((tmp_path / "model.json").read_text())
    assert from_plain(beside, "model.json").strings() == about.strings()


@pytest.mark.slow
@pytest.mark.parametrize("decode", ["topk", "raw"])
def test_boxes_as_far_as_they_are_wanted(decode: str, tmp_path: Path) -> None:
    about = build_file(joint(), tmp_path / "model.onnx", decode=decode)
    assert [about.part(name).decode for name in about.parts] == [decode] * 3
    agree(joint(), tmp_path / "model.onnx", about)


@pytest.mark.slow
def test_openvino_keeps_the_names_of_the_parts(file, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    from visionkit.export.openvino import to_openvino

    about = to_openvino(file[0], tmp_path / "model.xml")
    agree(joint(), tmp_path / "model.xml", about)


def test_results_of_the_file_have_the_names_of_their_own_classes(file) -> None:
    image = pictures((1, 90, 120), 7)[0].permute(1, 2, 0).numpy()
    found = Predictor(load_runtime(file[0], "cpu")).predict(image)[0]
    wanted = Predictor(NetworkRuntime(joint(), "cpu")).predict(image)[0]
    assert list(found.parts) == list(CLASSES)
    for name, part in found.parts.items():
        assert part.classes == CLASSES[name]
        assert part.summary() == wanted.parts[name].summary()
    assert found.parts["segmentation"].labels.shape == (90, 120)
    assert (found.parts["detection"].scores >= 0.25).all()


def test_confidence_is_that_of_boxes_and_not_of_masks(file) -> None:
    image = pictures((1, 64, 96), 7)[0].permute(1, 2, 0).numpy()
    for runtime in (load_runtime(file[0], "cpu"), NetworkRuntime(joint(), "cpu")):
        predictor = Predictor(runtime)
        few, all_ = (predictor.predict(image, confidence=c)[0] for c in (0.9, 0.001))
        assert len(few.parts["detection"]) < len(all_.parts["detection"])
        masks = [one.parts["segmentation"].labels for one in (few, all_)]
        assert (masks[0] == masks[1]).all()
        assert masks[0].max() < len(CLASSES["segmentation"])


def test_what_is_built_in_can_not_be_changed(file) -> None:
    runtime = load_runtime(file[0], "cpu")
    with pytest.raises(ConfigError, match=r"predict\.iou: .* was exported with 0\.57") as told:
        runtime.check_options(PredictOptions(iou=0.5, max_detections=40))
    assert len(told.value.problems) == 2


def test_what_a_file_says_of_an_unknown_part_is_told(file) -> None:
    plain = json.loads(json.dumps({**file[1].__dict__, "sizes": file[1].sizes.__dict__}))
    plain["parts"]["scene"] = {"says": "classes", "colour": 1}
    with pytest.raises(CheckpointError, match="damaged"):
        from_plain(plain, "model.onnx")
    plain["parts"]["scene"] = ["classes"]
    with pytest.raises(CheckpointError, match="damaged"):
        from_plain(plain, "model.onnx")


def result(left: float = 0.0, label: int = 0, p: float = 0.5) -> Joint:
    boxes = np.array([[left, 0, left + 10, 10]], np.float32)
    labels = np.full((4, 4), label, np.uint8)
    return Joint(
        {
            "things": Detections(boxes, np.ones(1, np.float32), np.zeros(1, np.int64)),
            "stuff": SemanticMask(labels),
            "scene": Classification(np.array([p, 1 - p], np.float32)),
        }
    )


def test_each_part_differs_by_itself() -> None:
    limits = PredictOptions()
    one = difference(result(), result(left=1.0), limits)
    other = difference(result(), result(label=1), limits)
    assert one["things/boxes"] == 1.0 and one["stuff/masks"] == 0.0
    assert other["stuff/masks"] == 1.0 and other["things/boxes"] == 0.0
    lost = Joint({**result().parts, "things": result().parts["things"].above(2.0)})
    both = merged([difference(result(), lost, limits)] * 2)
    assert both["things/unmatched"] == 2  # counts are added up, whatever the part is called


def test_a_file_is_judged_by_the_worst_part() -> None:
    limits = tolerance("fp32", {})
    gaps = difference(result(), result(left=0.02, label=1), PredictOptions())
    row = Row((4, 4), 1, 1, gaps, {name: f"{name}.png" for name in gaps})
    proof = Proof("model.onnx", "model.onnx", "fp32", limits, (row,), None)
    assert proof.problem is not None
    assert "stuff: 1 of the pixels have another class, stuff/masks.png" in proof.problem
    assert "proof.masks=" in proof.problem
    console = Console(width=80, record=True, file=io.StringIO())
    proof.show(console)
    shown = [line.split() for line in console.export_text().splitlines() if line.strip()]
    assert [line[0] for line in shown] == ["things", "4x4", "stuff", "4x4", "scene", "4x4"]
    assert shown[2][1:4] == ["batch", "masks", "worst"]
    assert shown[3][1:] == ["1", "1", ["stuff", "masks.png"][-1]]


def test_the_figure_of_each_part_is_judged() -> None:
    checkpoint = {"score": 0.5, "things/AP": 0.4, "stuff/miou": 0.6}
    figures = {"score": 0.5, "things/AP": 0.41, "stuff/miou": 0.59}
    judged = ("things/AP", "stuff/miou")
    scores = Scores("test", 9, "score", "max", checkpoint, figures, judged)
    proof = Proof("model.onnx", "model.onnx", "fp32", {"figure": 1e-3}, (), scores)
    assert proof.problem is not None and "things/AP on the test split is 0.4100" in proof.problem
    same = Scores("test", 9, "score", "max", checkpoint, checkpoint, judged)
    assert Proof("m", "m", "fp32", {"figure": 1e-3}, (), same).problem is None
