"""What a benchmark found, in a file and on the screen."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from bench_cases import result, result_row
from rich.console import Console

from visionkit.benchmarking.report import print_report, read_report
from visionkit.errors import DataError


def printed(report: dict[str, Any]) -> list[str]:
    console = Console(file=io.StringIO(), width=120)
    print_report(report, console)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_the_table_says_what_was_measured_and_where() -> None:
    lines = printed(
        result(
            result_row(runtime="eager", file_mb=9.0),
            result_row(inference_ms=12.34, inference_p95_ms=123.4, peak_mb=None),
            result_row(batch=8),
            result_row(height=96),
            parameters=2_500_000,
            gflops={"64x64": 0.5},
            split="val",
            figure={"name": "AP", "mode": "max"},
            scores={"64x64": 0.25},
            left_out=["openvino: it isn't there"],
        )
    )
    assert lines[0] == "mine, 2.50 M parameters, 0.5 GFLOPs at 64x64, onnx 2.2 MB"
    assert lines[1] == "8086, 2 threads of 1 cores, python 3.99"
    assert lines[2] == "pictures: 8 drawn ones"
    assert lines[3] == "AP on the val split: 0.2500 at 64x64"
    cells = [line.split() for line in lines[4:9]]
    assert " ".join(cells[0]) == "size batch runtime read network post median p95 img/s MB AP"
    assert " ".join(cells[1]) == "64x64 1 eager 1.00 2.00 0.50 2.50 3.00 400 88 0.250"
    assert " ".join(cells[2]) == "onnx 1.00 2.00 0.50 12.3 123 400 - 0.250"
    assert cells[3][:3] == ["64x64", "8", "onnx"]
    assert cells[4][0] == "96x64"
    assert cells[4][-1] == "-"
    assert lines[-1] == "left out: openvino: it isn't there"


def test_a_gpu_has_a_column_of_its_own() -> None:
    lines = printed(result(result_row(), result_row(runtime="eager", gpu_peak_mb=77.0)))
    assert lines[3].split()[-2:] == ["GPU", "MB"]
    assert [line.split()[-1] for line in lines[4:6]] == ["-", "77"]


def test_a_report_of_another_run_is_read(tmp_path: Path) -> None:
    path = tmp_path / "benchmark.json"
    path.write_text(json.dumps(result(result_row())))
    assert read_report(path) == result(result_row())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "can't be read"),
        ("{", "no JSON"),
        ("[]", "didn't write it"),
        (json.dumps(result() | {"format": 99}), "didn't write it"),
        (json.dumps(result({"runtime": "onnx"})), "didn't write it"),
        (json.dumps({k: v for k, v in result().items() if k != "scores"}), "didn't write it"),
    ],
)
def test_what_is_no_report_is_refused(tmp_path: Path, text: str | None, words: str) -> None:
    path = tmp_path / "benchmark.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=words) as told:
        read_report(path)
    assert str(told.value).startswith(f"against: {path}: ")
    assert "\n" not in str(told.value)
