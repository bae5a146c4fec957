"""``visionkit benchmark``, from the command line to the files that it leaves."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from bright_files import SINGLE, write_onnx
from rich.console import Console

from visionkit import benchmark
from visionkit.benchmarking.pictures import drawn
from visionkit.benchmarking.report import read_report
from visionkit.compose import compose
from visionkit.config import check, find_problems
from visionkit.errors import ConfigError, DataError

pytest.importorskip("onnxruntime")

CODE = """
import sys
from visionkit.cli import main
done = main(["benchmark", *sys.argv[1:]])
loaded = [name for name in ("torch", "lightning", "albumentations", "onnx") if name in sys.modules]
sys.exit(done or (f"loaded: {loaded}" if loaded else 0))
"""


def config(path: Path, folder: Path, *words: str):
    quick = ["seconds=0.02", "threads=1", "batch_sizes=[1,3]", f"run_dir={folder}"]
    return compose([f"checkpoint={path}", *quick, *words], "benchmark")


def run(path: Path, folder: Path, *words: str):
    console = Console(file=io.StringIO(), width=200)
    found = benchmark.run(config(path, folder, *words), console)
    return found, console.file.getvalue()


def test_the_command_needs_no_torch_for_a_file_that_needs_none(tmp_path: Path) -> None:
    path, folder = write_onnx(tmp_path / "bright.onnx"), tmp_path / "out"
    words = [f"checkpoint={path}", f"run_dir={folder}", "seconds=0.02", "sizes=[64,[64,96]]"]
    done = subprocess.run(
        [sys.executable, "-c", CODE, *words, "threads=1"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "bright, onnx" in done.stdout
    assert done.stdout.rstrip().endswith(f"everything is in {folder}")
    report = read_report(folder / "benchmark.json")
    assert [(r["width"], r["batch"]) for r in report["rows"]] == [
        *((64, 1), (64, 8), (96, 1), (96, 8)),
    ]
    row = report["rows"][0]
    assert row["inference_ms"] >= max(row["network_ms"], row["postprocess_ms"]) > 0
    assert row["latency_ms"] > row["preprocess_ms"] > 0
    assert row["file_mb"] == path.stat().st_size / 1e6
    assert report["threads"] == 1
    assert report["parameters"] is None
    assert report["figure"] is None
    assert (folder / "benchmark.png").stat().st_size > 5000
    assert len(list((folder / "pictures").iterdir())) == 8


def test_what_a_file_does_not_take_is_told(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "bright.onnx", SINGLE)
    report, text = run(path, tmp_path / "out", "sizes=[64,96]")
    # a batch goes through it one by one
    assert [(r["height"], r["batch"]) for r in report["rows"]] == [(64, 1), (64, 3)]
    assert len(report["left_out"]) == 2
    assert report["left_out"][0].startswith("onnx at 96x96, batch 1: ")
    assert "left out: onnx at 96x96, batch 3: " in text
    with pytest.raises(ConfigError, match="nothing could be measured"):
        run(path, tmp_path / "none", "sizes=[96]", "batch_sizes=[1]")


def test_a_figure_that_cannot_be_had_costs_no_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, folder = write_onnx(tmp_path / "bright.onnx"), tmp_path / "out"
    written: list[int] = []

    class NoScore:
        name = "val"

        def pictures(self, into: Path) -> list[Path]:
            return drawn(into)

        def score(self, canvas: tuple[int, int]) -> None:
            written.append(len(read_report(folder / "benchmark.json")["rows"]))
            raise RuntimeError("labels are missing")

    monkeypatch.setattr(benchmark, "_split", lambda *_: NoScore())
    report, text = run(path, folder)
    assert written == [2]  # what was measured is safe before
    assert report["left_out"] == ["score at 64x64: RuntimeError: labels are missing"]
    assert (len(report["rows"]), report["scores"]) == (2, {})
    assert "left out: score at 64x64" in text


def test_others_are_in_the_plot(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "bright.onnx")
    run(path, tmp_path / "first", "name=one")
    other = tmp_path / "first" / "benchmark.json"
    content = json.loads(other.read_text())
    other.write_text(json.dumps(content | {"threads": 64}))
    _, text = run(path, tmp_path / "second", f"against=[{other}]")
    assert "warning: one: measured on another machine, or with other threads" in text
    with pytest.raises(DataError, match="can't be read"):
        run(path, tmp_path / "third", "against=[nowhere.json]")
    assert not (tmp_path / "third").exists()


def test_a_file_is_run_by_what_it_is_for(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "bright.onnx")
    with pytest.raises(ConfigError, match="run by onnx alone, not by eager"):
        run(path, tmp_path / "out", "runtimes=[eager]")


def test_the_configuration_is_checked(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "bright.onnx")
    check(config(path, tmp_path, "sizes=[320,[320,640]]", "runtimes=[onnx,eager]"), "benchmark")
    words = ["runtimes=[onx]", "sizes=[8]", "batch_sizes=[]", "seconds=0", "split=all"]
    problems = find_problems(config(path, tmp_path, *words), "benchmark")
    assert [line.partition(":")[0] for line in problems] == [
        *("runtimes", "sizes", "batch_sizes", "split", "seconds"),
    ]
    assert "did you mean 'onnx'?" in problems[0]
