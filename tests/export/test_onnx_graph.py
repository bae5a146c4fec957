"""Which part of an ONNX graph is network."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper
from onnx_cases import small_detector

from visionkit.errors import CheckpointError
from visionkit.export.onnx_graph import OnnxGraph, read_about, read_onnx


def _made(graph: OnnxGraph, nodes: frozenset[int]) -> list[str]:
    return [graph.graph.node[n].output[0] for n in sorted(nodes)]


def test_the_network_lies_between_the_first_layer_and_the_last(tmp_path: Path) -> None:
    graph = OnnxGraph(read_onnx(small_detector(tmp_path / "a.onnx")))
    assert _made(graph, graph.network.nodes) == ["c1", "g1", "a1", "c2", "g2", "a2", "c3"]
    assert _made(graph, graph.network.last) == ["c3"]


def test_what_chooses_boxes_between_two_stages_is_outside() -> None:
    """Layers before and behind a choice; the map also goes straight into the second stage."""
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w"], ["map"]),
        node("Relu", ["map"], ["features"]),
        node("Conv", ["features", "w"], ["said"]),
        node("Mul", ["said", "two"], ["decoded"]),
        node("TopK", ["decoded", "k"], ["best", "at"]),
        node("Mul", ["best", "two"], ["shifted"]),
        node("Mul", ["shifted", "features"], ["cut"]),
        node("Conv", ["cut", "w"], ["second"]),
        node("Shape", ["features"], ["shape"]),
        node("Sigmoid", ["second"], ["y"]),
    ]
    float_map = ["b", 1, "h", 1]
    graph = helper.make_graph(
        nodes,
        "two stages",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, float_map)],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, float_map),
            helper.make_tensor_value_info("shape", TensorProto.INT64, [4]),
        ],
        [
            numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "w"),
            numpy_helper.from_array(np.float32(2), "two"),
            numpy_helper.from_array(np.array([1]), "k"),
        ],
    )
    found = OnnxGraph(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]))
    # `cut` is reached from `features`, and reaches a layer; `shifted` is reached from no layer
    assert _made(found, found.network.nodes) == ["map", "features", "said", "cut", "second"]
    assert _made(found, found.network.last) == ["said", "second"]


def test_a_branch_s_body_uses_what_is_outside() -> None:
    value = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1])
    body = helper.make_graph([helper.make_node("Neg", ["x"], ["out"])], "body", [], [value])
    branch = helper.make_node("If", ["c"], ["y"], then_branch=body, else_branch=body)
    graph = helper.make_graph(
        [branch],
        "branches",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1]),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    found = OnnxGraph(helper.make_model(graph))
    assert found.users["x"] == found.users["c"] == {0}


def test_files_that_are_no_export_are_refused_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"absent.onnx: no such file; check"):
        read_onnx(tmp_path / "absent.onnx")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not protobuf")
    with pytest.raises(CheckpointError, match=r"broken.onnx: not an ONNX file, or a damaged one"):
        read_onnx(broken)
    model = read_onnx(small_detector(tmp_path / "a.onnx"))
    del model.metadata_props[:]
    with pytest.raises(CheckpointError, match=r"a.onnx: visionkit didn't export this file"):
        read_about(model, tmp_path / "a.onnx")
