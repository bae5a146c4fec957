"""Accuracy, or throughput, against latency."""

from pathlib import Path

import cv2
from bench_cases import result, result_row

from visionkit.benchmarking.plot import Point, draw, points

AP = {"name": "AP", "mode": "max"}


def test_points_are_of_the_smallest_batch_and_of_the_best_throughput() -> None:
    report = result(
        result_row(batch=8, inference_ms=20.0, pictures_per_second=400.0),
        result_row(batch=2, inference_ms=8.0, pictures_per_second=250.0),
        result_row(height=32, inference_ms=1.0, pictures_per_second=900.0),
        result_row(runtime="eager", inference_ms=9.0, pictures_per_second=100.0),
        scores={"64x64": 0.5},
    )
    assert points(report, by_figure=False) == {
        "eager": [Point(9.0, 100.0, "64x64", 1)],
        "onnx": [Point(1.0, 900.0, "32x64", 1), Point(8.0, 400.0, "64x64", 2)],
    }
    assert points(report, by_figure=True) == {
        "eager": [Point(9.0, 0.5, "64x64", 1)],
        "onnx": [Point(8.0, 0.5, "64x64", 2)],
    }


def test_others_are_drawn_beside_it_if_they_have_the_figure(tmp_path: Path) -> None:
    mine = result(result_row(), figure=AP, scores={"64x64": 0.5}, split="val")
    same = result(
        result_row(inference_ms=90.0), name="same", figure=AP, scores={"64x64": 0.6}, split="val"
    )
    slow = same | {"name": "slow", "threads": 1}
    bare = result(result_row(), name="bare")
    path = tmp_path / "benchmark.png"
    assert draw(path, [mine, same, slow, bare]) == [
        "slow: measured on another machine, or with other threads",
        "bare: not in the plot, it has no AP",
    ]
    assert cv2.imread(str(path)).shape[0] > 400
    # without a figure of its own, everything has a throughput
    assert draw(path, [bare, mine]) == []


def test_lines_of_one_name_are_told_apart(tmp_path: Path) -> None:
    from visionkit.benchmarking.plot import _series

    lines = _series([result(result_row()), result(result_row())], by_figure=False)
    assert list(lines) == ["mine, onnx", "mine, onnx (2)"]
    assert len({colour for colour, _, _ in lines.values()}) == 2
