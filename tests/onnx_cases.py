"""A small network as an ONNX file: two convolutions, then boxes that are chosen and suppressed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from visionkit.about import About

ABOUT = About(
    task="detection",
    says="boxes",
    decode="nms",
    classes=("bright",),
    preprocess={"canvas": [16, 16], "colour": "RGB", "range": [0, 255], "pad": [124, 116, 104]},
    predict={"confidence": 0.25, "iou": 0.5, "max_detections": 4},
    floor=0.001,
)


def pictures(count: int, seed: int = 0, side: int = 16) -> NDArray[np.uint8]:
    lots = np.random.default_rng(seed)
    return lots.integers(0, 256, (count, 3, side, side), np.uint8)


def outputs(path: Path, images: NDArray[np.uint8]) -> list[NDArray[Any]]:
    ort = pytest.importorskip("onnxruntime")
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    found: list[NDArray[Any]] = session.run(None, {"images": images})
    return found


def weights(shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    lots = np.random.default_rng(seed)
    scale = 1 / np.sqrt(np.prod(shape[1:]))
    return (lots.standard_normal(shape) * scale).astype(np.float32)


def small_detector(
    path: Path, change: Callable[[dict[str, NDArray[Any]]], None] = lambda _: None, width: int = 8
) -> Path:
    """Write normalise -> conv -> SiLU -> conv -> SiLU -> conv -> sigmoid -> best cell by ranking.

    The first node after the last layer is named ``scores``; what is given is the map of scores, and
    the four cells with the largest ones as indices and boxes 4 pixels wide.
    """
    tensors: dict[str, NDArray[Any]] = {
        "mean": np.full((1, 3, 1, 1), 118, np.float32),
        "std": np.full((1, 3, 1, 1), 58, np.float32),
        "w1": weights((width, 3, 3, 3), 1),
        "b1": np.linspace(-1, 1, width).astype(np.float32),
        "w2": weights((width, width, 3, 3), 2),
        "b2": np.zeros(width, np.float32),
        "w3": weights((1, width, 1, 1), 3),
        "flat": np.array([0, -1], np.int64),
        "four": np.array([4], np.int64),
        "side": np.array(4.0, np.float32),
    }
    change(tensors)
    node = helper.make_node
    nodes = [
        node("Cast", ["images"], ["wide"], to=TensorProto.FLOAT),
        node("Sub", ["wide", "mean"], ["centred"]),
        node("Div", ["centred", "std"], ["scaled"]),
        node("Conv", ["scaled", "w1", "b1"], ["c1"], pads=[1] * 4, strides=[2, 2]),
        node("Sigmoid", ["c1"], ["g1"]),
        node("Mul", ["c1", "g1"], ["a1"]),
        node("Conv", ["a1", "w2", "b2"], ["c2"], pads=[1] * 4, strides=[2, 2]),
        node("Sigmoid", ["c2"], ["g2"]),
        node("Mul", ["c2", "g2"], ["a2"]),
        node("Conv", ["a2", "w3"], ["c3"]),
        node("Sigmoid", ["c3"], ["scores"]),
        node("Reshape", ["scores", "flat"], ["row"]),
        node("TopK", ["row", "four"], ["best", "cells"]),
        node("Cast", ["cells"], ["places"], to=TensorProto.FLOAT),
        node("Mul", ["places", "side"], ["boxes"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [
            helper.make_tensor_value_info(
                "images", TensorProto.UINT8, ["batch", 3, "height", "width"]
            )
        ],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 1, "h", "w"]),
            helper.make_tensor_value_info("best", TensorProto.FLOAT, ["batch", 4]),
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["batch", 4]),
        ],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, {**ABOUT.strings(), "made by": "somebody"})
    onnx.checker.check_model(model, full_check=True)
    onnx.save_model(model, str(path))
    return path
