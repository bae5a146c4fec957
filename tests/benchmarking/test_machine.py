"""Where something was measured."""

import platform
from pathlib import Path

import pytest
import torch

from visionkit.benchmarking import machine as module
from visionkit.benchmarking.machine import machine, processor, versions


def test_a_machine_is_described() -> None:
    found = machine()
    assert found["cores"] >= 1
    assert found["processor"]
    assert found["system"].startswith(platform.system())
    assert (found["gpu"] is None) == (not torch.cuda.is_available())
    assert found["memory_gb"] is None or found["memory_gb"] > 0.1


def test_the_processor_has_the_name_that_linux_knows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nmodel name\t: Acme 9000 @ 1 GHz\nmodel name\t: Other\n")
    monkeypatch.setattr(module, "Path", lambda _: file)
    assert processor() == "Acme 9000 @ 1 GHz"
    file.write_text("processor\t: 0\n")  # as ARM's says
    assert processor() == (platform.processor() or platform.machine())
    file.unlink()
    assert processor() == (platform.processor() or platform.machine())


def test_versions_of_what_is_there() -> None:
    found = versions()
    assert found["python"] == platform.python_version()
    assert found["torch"] == torch.__version__.partition("+")[0] or found["torch"]
    assert "nonsense" not in found
