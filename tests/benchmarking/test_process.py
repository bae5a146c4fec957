"""A process for each runtime: it answers, refuses, and ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from bench_cases import pictures
from bright_files import write_onnx

from visionkit.benchmarking.cases import Case, Setup
from visionkit.benchmarking.process import Runner, RunnerError, peak_memory

pytest.importorskip("onnxruntime")


def runner(path: Path, folder: Path, name: str = "onnx") -> Runner:
    return Runner(Setup(name, path, 1, "cpu"), pictures(folder, 2))


def test_a_runtime_answers_from_its_process(tmp_path: Path) -> None:
    asked = runner(write_onnx(tmp_path / "model.onnx"), tmp_path)
    assert not asked.alive
    try:
        ready = asked.load()
        assert asked.alive
        assert ready.device == "cpu"
        assert ready.seconds > 0
        assert asked.warm_up(Case(64, 96, 2), 0.0) > 0
        times = asked.measure(Case(64, 96, 2), 0.05)
        assert all(part > 0 for call in times for part in call)
        memory = asked.memory()
        assert memory.gpu is None
        assert memory.main is None or memory.main > 1 << 24
        with pytest.raises(RunnerError, match=r"sides from .*, not 16 x 16"):
            asked.warm_up(Case(16, 16, 1), 0.0)
        assert asked.measure(Case(64, 64, 1), 0.0), "a refusal isn't its end"
    finally:
        asked.close()
    assert not asked.alive


def test_a_file_that_cannot_be_loaded_is_told_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no model")
    asked = runner(tmp_path / "model.onnx", tmp_path)
    try:
        with pytest.raises(RunnerError, match="not an ONNX file") as told:
            asked.load()
        assert "\n" not in str(told.value)
    finally:
        asked.close()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no such signal here")
def test_a_process_that_is_killed_is_told(tmp_path: Path) -> None:
    asked = runner(write_onnx(tmp_path / "model.onnx"), tmp_path)
    try:
        asked.load()
        os.kill(asked._process.pid, signal.SIGKILL)
        with pytest.raises(RunnerError, match="want of memory"):
            asked.measure(Case(64, 64, 1), 0.0)
        assert not asked.alive
    finally:
        asked.close()


def test_what_was_never_started_is_closed(tmp_path: Path) -> None:
    runner(tmp_path / "no.onnx", tmp_path).close()


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="the peak is told elsewhere")
def test_the_peak_of_memory_is_the_process_s_own() -> None:
    """Not that of the process which started it: this one has far more by now."""
    code = (
        "from visionkit.benchmarking.process import peak_memory; before = peak_memory(); "
        "kept = b'x' * 50_000_000; print(before, peak_memory())"
    )
    ours = bytearray(os.urandom(1 << 20) * 150)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert len(ours) < peak_memory()
    assert before < 120_000_000
    assert 45_000_000 < after - before < 70_000_000
