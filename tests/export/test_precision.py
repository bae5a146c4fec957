"""ONNX files in float16 and in int8."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx import numpy_helper
from onnx_cases import ABOUT, outputs, pictures, small_detector

from visionkit.about import from_strings
from visionkit.errors import ConfigError
from visionkit.export.precision import Inputs, to_fp16, to_int8


def _texts(path: Path) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


def _weights(path: Path) -> dict[str, NDArray[Any]]:
    graph = onnx.load(path).graph
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def _examples(count: int = 8) -> Iterator[Inputs]:
    return ({"images": pictures(1, seed)} for seed in range(count))


def _follow(scores: NDArray[Any], best: NDArray[Any], boxes: NDArray[Any]) -> None:
    """Check that the best cells and their boxes are those of the scores, to the last bit."""
    flat = scores.reshape(len(scores), -1)
    cells = np.argsort(-flat, axis=1, kind="stable")[:, :4]
    np.testing.assert_array_equal(boxes, cells * 4)
    np.testing.assert_array_equal(best, np.take_along_axis(flat, cells, 1))


def test_half_precision_computes_the_same_to_its_digits(tmp_path: Path) -> None:
    full = small_detector(tmp_path / "full.onnx", width=32)
    half = tmp_path / "half.onnx"
    to_fp16(full, half)
    onnx.checker.check_model(str(half), full_check=True)
    images = pictures(3)
    (scores, best, _), (scores_16, best_16, boxes_16) = (
        outputs(full, images),
        outputs(half, images),
    )
    assert scores_16.dtype == best_16.dtype == boxes_16.dtype == np.float32
    difference = np.abs(scores - scores_16).max()
    assert 0 < difference < 2e-3  # float16 has eleven bits
    np.testing.assert_allclose(best_16, best, atol=2e-3)
    _follow(scores_16, best_16, boxes_16)
    assert half.stat().st_size < 0.7 * full.stat().st_size


def test_what_is_no_layer_or_comes_last_stays_in_float32(tmp_path: Path) -> None:
    to_fp16(small_detector(tmp_path / "full.onnx"), tmp_path / "half.onnx")
    kinds = {name: value.dtype for name, value in _weights(tmp_path / "half.onnx").items()}
    assert kinds["w1_half"] == kinds["w2_half"] == kinds["b1_half"] == np.float16
    assert kinds["mean"] == kinds["std"] == kinds["w3"] == kinds["side"] == np.float32
    assert not {"w1", "w2", "b1"} & kinds.keys()
    nodes = {n.output[0]: n for n in onnx.load(tmp_path / "half.onnx").graph.node}
    assert list(nodes["c1_half"].input) == ["scaled_half", "w1_half", "b1_half"]
    assert list(nodes["c3"].input) == ["a2", "w3"]


def test_weights_that_float16_can_t_hold_stay_as_they_are(tmp_path: Path) -> None:
    def enlarge(tensors: dict[str, NDArray[Any]]) -> None:
        tensors["w2"][0, 0, 0, 0] = 70000.0

    to_fp16(small_detector(tmp_path / "full.onnx", enlarge), tmp_path / "half.onnx")
    kept = _weights(tmp_path / "half.onnx")
    assert kept["w2"].max() == 70000.0
    assert "w1_half" in kept and "w2_half" not in kept
    found = outputs(tmp_path / "half.onnx", pictures(2))[0]
    np.testing.assert_allclose(found, outputs(tmp_path / "full.onnx", pictures(2))[0], atol=5e-3)


def test_files_say_their_precision_and_all_they_said_before(tmp_path: Path) -> None:
    full = small_detector(tmp_path / "full.onnx")
    to_fp16(full, tmp_path / "fp16.onnx")
    to_int8(full, tmp_path / "int8.onnx", _examples(2))
    for precision in ("fp16", "int8"):
        texts = _texts(tmp_path / f"{precision}.onnx")
        assert texts["made by"] == "somebody"
        about = from_strings(texts, "it")
        assert about.precision == precision
        assert {**vars(about), "precision": "fp32"} == vars(from_strings(ABOUT.strings(), "it"))


def test_a_file_may_take_its_own_place(tmp_path: Path) -> None:
    path = small_detector(tmp_path / "a.onnx")
    to_fp16(path, path)
    assert "w1_half" in _weights(path)
    assert list(tmp_path.iterdir()) == [path]


def test_eight_bits_come_close_on_what_scales_were_found_with(tmp_path: Path) -> None:
    full = small_detector(tmp_path / "full.onnx", width=32)
    small = tmp_path / "small.onnx"
    to_int8(full, small, _examples())
    onnx.checker.check_model(str(small), full_check=True)
    images = pictures(4)
    (scores, _, _), (scores_8, best_8, boxes_8) = outputs(full, images), outputs(small, images)
    assert 0 < np.abs(scores - scores_8).max() < 0.03
    _follow(scores_8, best_8, boxes_8)


def test_layers_have_weights_of_eight_bits_but_for_the_last(tmp_path: Path) -> None:
    full = small_detector(tmp_path / "full.onnx")
    for last, whole_bytes in ((False, 2), (True, 3)):
        to_int8(full, tmp_path / "small.onnx", _examples(2), last=last)
        found = _weights(tmp_path / "small.onnx").values()
        assert sum(w.dtype == np.int8 and w.ndim == 4 for w in found) == whole_bytes


def test_each_output_of_a_layer_may_have_its_own_scale(tmp_path: Path) -> None:
    def unlike(tensors: dict[str, NDArray[Any]]) -> None:
        # large weights of one output, which cancel out on grey pictures
        tensors["w1"][0, 0] += 50
        tensors["w1"][0, 1] -= 50

    full = small_detector(tmp_path / "full.onnx", unlike)
    grey = [{"images": pictures(1, seed)[:, :1].repeat(3, 1)} for seed in range(8)]
    errors = []
    for each in (True, False):
        to_int8(full, tmp_path / "small.onnx", grey, per_channel=each)
        found, wanted = (
            outputs(path, grey[0]["images"])[0] for path in (tmp_path / "small.onnx", full)
        )
        errors.append(float(np.abs(found - wanted).mean()))
    assert errors[0] < errors[1] / 3


def test_seven_bits_are_used_where_eight_would_overflow(tmp_path: Path) -> None:
    full = small_detector(tmp_path / "full.onnx")
    to_int8(full, tmp_path / "small.onnx", _examples(2), reduce_range=True)
    layers = [w for w in _weights(tmp_path / "small.onnx").values() if w.ndim == 4]
    found = [int(np.abs(w.astype(int)).max()) for w in layers if w.dtype == np.int8]
    assert found == [64, 64]


def test_scales_need_examples(tmp_path: Path) -> None:
    full = small_detector(tmp_path / "full.onnx")
    with pytest.raises(
        ConfigError, match="precision: int8 finds its scales on pictures, and there"
    ):
        to_int8(full, tmp_path / "small.onnx", [])
    assert not (tmp_path / "small.onnx").exists()


def test_a_graph_without_layers_has_nothing_to_quantise(tmp_path: Path) -> None:
    path, other = tmp_path / "full.onnx", tmp_path / "other.onnx"
    model = onnx.load(small_detector(path))
    (first,) = (n for n, node in enumerate(model.graph.node) if node.output[0] == "scaled")
    del model.graph.node[first + 1 :], model.graph.output[:]
    model.graph.output.add(name="scaled").type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    onnx.save_model(model, path)
    with pytest.raises(ConfigError, match=r"full.onnx has no layers for int8; take fp32"):
        to_int8(path, other, _examples())
    to_fp16(path, other)
    np.testing.assert_array_equal(outputs(other, pictures(1))[0], outputs(path, pictures(1))[0])


def test_what_onnx_runtime_can_not_do_is_a_line(tmp_path: Path) -> None:
    full, wrong = small_detector(tmp_path / "full.onnx"), {"images": np.zeros((1, 2), np.uint8)}
    with pytest.raises(ConfigError, match=r"^precision: ONNX Runtime can't make int8 .*take fp32$"):
        to_int8(full, tmp_path / "small.onnx", [wrong])
    assert not (tmp_path / "small.onnx").exists()
