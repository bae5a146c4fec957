"""``.pt2`` files through torch."""

import json
import logging
import re
import shutil
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bright import BOX, FakeLoaded, picture
from bright_files import ABOUT, torch_network, write_program

from visionkit import load
from visionkit.errors import CheckpointError, ConfigError
from visionkit.predictor import Predictor
from visionkit.runtimes.network import NetworkRuntime


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_program(tmp_path_factory.mktemp("program") / "model.pt2")


def check(file: Path) -> None:
    images = [picture(BOX), picture(None), picture((3, 5, 40, 30), (90, 50))]
    mine = load(file, "cpu").predict(images, confidence=0.01)
    wanted = Predictor(NetworkRuntime(FakeLoaded(), "cpu")).predict(images, confidence=0.01)
    assert [len(r) for r in mine] == [1, 0, 1]
    for one, other in zip(mine, wanted, strict=True):
        np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-3)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-6)
        assert one.names == other.names


def test_it_is_loaded_as_a_checkpoint_is(program: Path) -> None:
    check(program)


@pytest.mark.slow
def test_what_was_compiled_is_loaded_alike(tmp_path: Path) -> None:
    if not shutil.which("g++"):
        pytest.skip("compiling needs g++")
    from torch._inductor import aot_compile
    from torch.export.pt2_archive._package import package_pt2

    shapes: Any = {0: torch.export.Dim("batch"), 2: torch.export.Dim("height")}
    example = torch.zeros(2, 3, 40, 64, dtype=torch.uint8)
    graph = torch.export.export(torch_network(), (example,), dynamic_shapes=(shapes,))
    files: Any = aot_compile(graph.module(), (example,), options={"aot_inductor.package": True})
    entry = {"visionkit.json": json.dumps(asdict(ABOUT))}
    package_pt2(tmp_path / "model.pt2", aoti_files=files, extra_files=entry)
    check(tmp_path / "model.pt2")
    with pytest.raises(ConfigError, match=r"^device: .*was compiled for cpu"):
        load(tmp_path / "model.pt2", "cuda")


def damaged(program: Path, folder: Path, how: str) -> Path:
    file = folder / "model.pt2"
    content = program.read_bytes()
    if how == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif how == "text":
        file.write_bytes(b"hello")
    elif how == "graph":
        with zipfile.ZipFile(program) as source, zipfile.ZipFile(file, "w") as target:
            for name in source.namelist():
                graph = name.endswith("models/model.json")
                target.writestr(name, b"{}" if graph else source.read(name))
    return file


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("missing", "no such file; check the path"),
        ("text", "not a .pt2 file, or a damaged one"),
        ("cut", "not a .pt2 file, or a damaged one"),
        (
            "graph",
            rf"torch {re.escape(torch.__version__)} can't load it \(.*\), torch 2\.0 wrote it",
        ),
    ],
)
def test_files_that_are_no_model(
    how: str,
    told: str,
    program: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(CheckpointError, match=rf"model\.pt2: .*{told}") as caught:
        load(damaged(program, tmp_path, how), "cpu")
    assert "\n" not in str(caught.value)
    assert not caplog.records
    assert logging.getLogger("torch.export").level == logging.NOTSET


def test_files_of_others(tmp_path: Path) -> None:
    theirs = write_program(tmp_path / "theirs.pt2", None)
    with pytest.raises(CheckpointError, match=r"theirs\.pt2: visionkit didn't export this file"):
        load(theirs)


@pytest.mark.parametrize("device", ["nowhere", "cuda:77", "meta"])
def test_devices_that_are_not_there(device: str, program: Path) -> None:
    for make in (lambda: load(program, device), lambda: NetworkRuntime(FakeLoaded(), device)):
        with pytest.raises(ConfigError, match=f"^device: torch can't compute on {device} here"):
            make()
