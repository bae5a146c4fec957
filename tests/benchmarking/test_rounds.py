"""Turns, and what is made of their times."""

from pathlib import Path

import pytest
from bench_cases import FakeRunner

from visionkit.benchmarking.cases import Case, Memory, Setup, Times
from visionkit.benchmarking.process import Ready
from visionkit.benchmarking.rounds import ROUNDS, bytes_of, measure, row

SMALL, WIDE, MANY = Case(64, 64, 1), Case(64, 96, 1), Case(64, 64, 8)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"x" * 3_000_000)
    return path


def test_a_row_sums_up_calls(file: Path) -> None:
    times = [Times(0.001, 0.010, 0.001)] * 18 + [Times(0.002, 0.020, 0.003), Times(0.1, 0.1, 0.1)]
    found = row(
        Setup("onnx", file, 2), MANY, times, Memory(5_000_000, 2_000_000), Ready(1.5, "cpu"), 0.5
    )
    assert (found.runtime, found.device) == ("onnx", "cpu")
    assert (found.height, found.width, found.batch, found.calls) == (64, 64, 8, 20)
    assert found.preprocess_ms == pytest.approx(1)
    assert found.network_ms == pytest.approx(10)
    assert found.postprocess_ms == pytest.approx(1)
    assert found.inference_ms == pytest.approx(11)
    # the 95th percentile lies a twentieth of the way from the 19th value to the 20th
    assert found.inference_p95_ms == pytest.approx(23 + 0.05 * (200 - 23))
    assert found.latency_ms == pytest.approx(12)
    assert found.latency_p95_ms == pytest.approx(25 + 0.05 * (300 - 25))
    assert found.pictures_per_second == pytest.approx(8 / 0.011)
    assert (found.first_call_s, found.load_s) == (0.5, 1.5)
    assert (found.file_mb, found.peak_mb, found.gpu_peak_mb) == (3.0, 5.0, 2.0)


def test_setups_take_turns_and_cases_grow(file: Path) -> None:
    notes: list[str] = []
    runners = [FakeRunner(name, file, notes) for name in ("eager", "onnx")]
    rows, failed = measure(runners, [WIDE, MANY, SMALL], 1.0)
    assert failed == []
    cases = [(r.height, r.width, r.batch, r.runtime) for r in rows]
    assert cases == [
        (height, width, batch, name)
        for height, width, batch in ((64, 64, 1), (64, 64, 8), (64, 96, 1))
        for name in ("eager", "onnx")
    ]
    assert all(r.calls == 2 * ROUNDS for r in rows)
    assert notes[:2] == ["eager load", "onnx load"]
    again = [FakeRunner("onnx", file, [], WIDE, "warm_up", dies=True)]
    assert [r.batch for r in measure(again, [MANY, WIDE, SMALL], 1.0)[0]] == [
        1
    ]  # the rest is larger
    of_case = notes[2 : 2 + 2 + 2 * ROUNDS + 2]
    assert of_case[:2] == ["eager warm_up", "onnx warm_up"]
    assert of_case[2:6] == ["eager measure", "onnx measure", "onnx measure", "eager measure"]
    assert of_case[-2:] == ["eager memory", "onnx memory"]


def test_who_cannot_load_is_left_out(file: Path) -> None:
    notes: list[str] = []
    runners = [FakeRunner("eager", file, notes, fails="load"), FakeRunner("onnx", file, notes)]
    rows, failed = measure(runners, [SMALL], 1.0)
    assert failed == ["eager: it has no mind to"]
    assert [r.runtime for r in rows] == ["onnx"]
    assert "eager warm_up" not in notes


@pytest.mark.parametrize("when", ["warm_up", "measure", "memory"])
def test_who_fails_at_a_case_goes_on_with_others(file: Path, when: str) -> None:
    runners = [FakeRunner("eager", file, [], WIDE, when), FakeRunner("onnx", file, [])]
    rows, failed = measure(runners, [SMALL, WIDE, Case(96, 96, 1)], 1.0)
    assert failed == ["eager at 64x96, batch 1: it has no mind to"]
    assert [(r.height, r.width, r.runtime) for r in rows] == [
        (64, 64, "eager"),
        (64, 64, "onnx"),
        (64, 96, "onnx"),
        (96, 96, "eager"),
        (96, 96, "onnx"),
    ]


def test_whose_process_ends_is_asked_no_more(file: Path) -> None:
    runners = [FakeRunner("eager", file, [], SMALL, "measure", dies=True)]
    rows, failed = measure(runners, [SMALL, WIDE], 1.0)
    assert rows == []
    assert failed == ["eager at 64x64, batch 1: it has no mind to"]


def test_weights_beside_a_file_belong_to_it(tmp_path: Path) -> None:
    for name, size in [
        ("a.onnx", 10), ("a.onnx.data", 100), ("b.xml", 7), ("b.bin", 70), ("c.ckpt", 3),
        ("c.bin", 30), ("d.pt2", 5),
    ]:  # fmt: skip
        (tmp_path / name).write_bytes(b"x" * size)
    sizes = [bytes_of(tmp_path / name) for name in ("a.onnx", "b.xml", "c.ckpt", "d.pt2")]
    assert sizes == [110, 77, 3, 5]
